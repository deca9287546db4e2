"""Sentences on the benchmark that a chain built, for the head of its report."""

from __future__ import annotations

from pathlib import Path

from benchmark.data.manifest import read_build
from benchmark.data.scored import LOCALITY
from benchmark.subsets.tally import find_differences


def describe_data(folder: Path) -> list[str]:
    """Say how a built data set differs from the paper's, and what its build decided; nothing of one that is not there.

    Raises `UserError` for a folder whose build.json cannot be read.
    """
    if not (folder / "build.json").is_file():
        return []
    build = read_build(folder)
    counts = {group["id"]: group["count"] for group in build["groups"]} | {LOCALITY: build["locality"]["count"]}
    differences = find_differences(counts)
    partial = [f"The data set is partial: {'; '.join(differences)}."] if differences else []
    return [*partial, *map(str, build.get("choices", []))]
