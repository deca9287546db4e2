"""The benchmark as the harness sees it: samples, groups, columns, the embedded set."""
