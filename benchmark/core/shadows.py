"""A file or folder that hides one of this project's packages: ``editors.py`` where ``python -m`` is run, say."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SISTERS = ("mad", "generation", "editors", "leaderboard")


def check_sisters() -> None:
    """Raise `ImportError`, or end ``python -m`` in one line, where another module has the name of one of our packages.

    Python looks for modules in the working folder first, so that its own error would be one of a name within.
    """
    for name in SISTERS:
        try:
            spec = importlib.util.find_spec(name)
        except ValueError:  # made by hand, not found by Python
            continue
        if (
            spec is None
            or spec.origin is None
            or Path(spec.origin).resolve() == (ROOT / name / "__init__.py").resolve()
        ):
            continue
        line = f"{spec.origin} hides this project's package {name}; rename it, or work in another folder"
        if sys.argv[:1] == ["-m"]:  # while Python looks for the module that it shall run
            print(f"error: {line}", file=sys.stderr)
            raise SystemExit(2)
        raise ImportError(line, name=name)
