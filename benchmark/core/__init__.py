"""The ground of every package: errors, files, working folders, devices, timing, the command line."""
