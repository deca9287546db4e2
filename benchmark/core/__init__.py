"""What every package stands on: errors, files, working folders, devices, timing, the command line."""
