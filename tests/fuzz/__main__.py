"""Run mutants of all formats: ``python -m tests.fuzz COUNT [SEED]``, or one again: ``--case NUMBER SEED``."""

from __future__ import annotations

import collections
import sys
import tempfile
from pathlib import Path

from tests.fuzz.cases import run_case, write_seeds


def main() -> int:
    """Print the number of mutants by what came of them, and each that did harm; return the exit code."""
    words = sys.argv[1:]
    is_one = words[:1] == ["--case"]
    number, seed = (int(word) for word in [*words[is_one:], "0"][:2])
    with tempfile.TemporaryDirectory() as scratch:
        templates = write_seeds(Path(scratch) / "seeds")
        failures, counts = 0, collections.Counter[str]()
        for case in [number] if is_one else range(number):
            result = run_case(templates, case, seed, Path(scratch) / "case")
            counts[result.ending] += 1
            if result.problem or is_one:
                failures += bool(result.problem)
                print(
                    f"--- case {case} seed {seed}: {result.title}: {result.problem}\n{result.printed[-3000:]}",
                    flush=True,
                )
        print(", ".join(f"{ending}: {count:,}" for ending, count in sorted(counts.items())), f"failures: {failures}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
