"""Structured fuzzing: files of each format that commands read, changed at random, and what the commands make of them.

    python -m tests.fuzz 3000            a count, and a seed behind it
    python -m tests.fuzz --case 17 0     one case again, by its number and seed, with what the command printed

Every case must end with exit code 0, or with 2 and one line on standard error, below a stated limit of memory and time.
"""
