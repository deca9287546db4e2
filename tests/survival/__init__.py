"""Every write of every command is once the last one, and once fails; then the same command runs again, undisturbed.

`python -m tests.survival` repeats it all, `--quick` what continuous integration does. docs/reliability.md says what is
promised and how it is counted; the files of this folder, from the ground up:

    watch.c      stands in front of libc, and asks before every operation that changes a file
    faults.py    counts these operations, knows their places in our code, and kills or fails one of them
    contents.py  what a folder holds, but for times
    cases/       the commands, each as small as it can be
    server.py    a process that has imported everything, and forks a child for every run
"""
