"""``build.json``: the description that a built data set holds of itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.core.errors import UserError
from benchmark.core.readers import read_json
from benchmark.data.scored import EDIT, UNGROUPED

if TYPE_CHECKING:
    import pandas as pd


def read_build(folder: Path) -> dict[str, Any]:
    """The contents of `folder`/build.json, which `benchmark.build` wrote. Raises `UserError` if it can't be read."""
    file, fix = folder / "build.json", "build the data set with benchmark.build"
    build = read_json(file, fix=fix)
    if not build.keys() >= {"name", "version", "groups", "locality"}:
        raise UserError(f"{file}: not what benchmark.build writes; {fix}")
    return build


def check_counts(folder: Path, build: dict[str, Any], splits: Mapping[str, pd.DataFrame]) -> None:
    """Raise `UserError` unless `folder` has all images that its `build` counts, and no others, by its tables."""
    expected = {name: count for name, (count, _) in _counts(folder, build).items()}
    if not expected:
        return
    actual = Counter(map(str, splits[EDIT]["group_id"]))
    actual.update({split: len(splits[split]) for split in UNGROUPED if split in splits})
    for name in [*expected, *actual]:
        if actual[name] != expected.get(name, 0):
            raise UserError(
                f"{folder}: {actual[name]:,} images of {name}, but build.json counts {expected.get(name, 0):,}: files "
                "are missing, or of two builds; fetch or build it again"
            )


def paper_counted(folder: Path, build: dict[str, Any]) -> set[str]:
    """Ids of the groups, and "locality", that hold as many images as the paper's: those of the authors' archives."""
    counts, is_whole = _counts(folder, build), build.get("partial") is False
    return {
        name for name, (count, of_paper) in counts.items() if of_paper is not None and (is_whole or count == of_paper)
    }


def _counts(folder: Path, build: dict[str, Any]) -> dict[str, tuple[int, int | None]]:
    """The images by group id or ungrouped split: their count, and the paper's; nothing if `build` counts none."""
    try:
        ungrouped = [{"id": split, **build[split]} for split in UNGROUPED if build.get(split)]
        counted = [*build["groups"], *ungrouped]
        return {str(part["id"]): (int(part["count"]), part["expected"]) for part in counted}
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{folder / 'build.json'}: no counts of groups and locality; build the data set with benchmark.build"
        ) from error
