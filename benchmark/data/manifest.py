"""``build.json``: the description that a built data set holds of itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmark.core.errors import UserError


def read_build(folder: Path) -> dict[str, Any]:
    """The contents of `folder`/build.json, which `benchmark.build` wrote. Raises `UserError` if it can't be read."""
    try:
        build = json.loads((folder / "build.json").read_text(encoding="utf-8"))
        if not isinstance(build, dict) or not build.keys() >= {"name", "version", "groups", "locality"}:
            raise ValueError("not what benchmark.build writes")
    except (OSError, ValueError) as error:
        problem = error.strerror if isinstance(error, OSError) else str(error)
        raise UserError(f"{folder / 'build.json'}: {problem}; build the data set with benchmark.build") from error
    return build
