"""python -m tests.survival [--quick] [CASE ...]: make every fault, and print what broke."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.survival.faults import LIBRARY, preload


def main() -> int:
    """Make the faults in a process that is watched; the exit code is 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.survival", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help="commands to disturb; all of them by default")
    parser.add_argument("--quick", action="store_true", help="each place once, with one kind of fault in turn")
    options = parser.parse_args()
    if LIBRARY not in os.environ:
        with tempfile.TemporaryDirectory() as folder:
            words = [sys.executable, "-m", "tests.survival", *sys.argv[1:]]
            return subprocess.run(words, env=preload(Path(folder).resolve() / "watch.so"), check=False).returncode
    from tests.survival.cases import CASES
    from tests.survival.server import Server

    server, start, n_broken = Server(Path(os.environ[LIBRARY]).parent), time.monotonic(), 0
    print("| command | operations | places | faults | broken | seconds |\n|---|---:|---:|---:|---:|---:|", flush=True)
    for name in options.cases or CASES:
        began = time.monotonic()
        report = server.survive(CASES[name], options.quick)
        n_broken += len(report.failures)
        counts = (report.operations, report.places, report.faults, len(report.failures))
        print(f"| {name} | {' | '.join(map(str, counts))} | {time.monotonic() - began:.0f} |", flush=True)
        print("".join(f"  {failure}\n" for failure in report.failures), end="", file=sys.stderr, flush=True)
    print(f"{time.monotonic() - start:.0f} seconds")
    return int(n_broken > 0)


if __name__ == "__main__":
    sys.exit(main())
