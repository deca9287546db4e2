"""The ground of every package: errors, files, working folders, devices, timing, the command line."""

from benchmark.core.stopping import end_at_once_while_importing

end_at_once_while_importing()  # every package imports this one first, and only then what takes seconds
