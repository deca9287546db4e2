"""The commands behind docs/speed.md, one after the other, and its tables made of what they wrote."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.core.readers import read_json


@dataclass(frozen=True)
class Row:
    """One command, in words; `name`: that of the JSON file that it writes, without the device."""

    command: str
    name: str


COMPARISONS = (
    Row("leaderboard.bench --base vits16", "score-vits16"),
    Row("leaderboard.bench --base vits16 --masked", "score-vits16-masked"),
    Row("leaderboard.bench --base vitb16", "score-vitb16"),
    Row("leaderboard.bench --base vitb16 --masked", "score-vitb16-masked"),
    Row("editors.bench --base vits16", "edit-vits16"),
    Row("editors.bench --base mini", "edit-mini"),
    Row("editors.bench metatrain --base vits16", "metatrain-vits16"),
)
TWO_PASSES = (
    Row("leaderboard.bench two-pass --base mini", "two-pass-mini"),
    Row("leaderboard.bench two-pass --base vitb16", "two-pass-vitb16"),
)
CPU = "cpu"
GPU = "cuda"


def commands(device: str, folder: Path) -> list[str]:
    """The command lines, behind ``python -m``, with their JSON files in `folder`."""
    return [f"{row.command} --device {device} --json {folder}" for row in (*COMPARISONS, *TWO_PASSES)]


def markdown(folder: Path) -> str:
    """The tables of docs/speed.md, from the JSON files of a CPU and of a GPU in `folder`; a dash for a missing one."""
    devices = {device: _devices(folder, device) for device in (CPU, GPU)}
    named = "; ".join(f"{device}: {' and '.join(names) or 'not measured'}" for device, names in devices.items())
    header = [
        "python -m ...",
        "plain",
        "ours",
        "ratio",
        "arithmetic allows",
        "long tail",
        "GPU: plain",
        "ours",
        "ratio",
    ]
    lines = [named, "", *_table(header, [[f"`{row.command}`", *_compared(folder, row)] for row in COMPARISONS])]
    header = ["python -m ...", "again", "verdicts that differ", "GPU: again", "verdicts that differ", "ratio"]
    lines += ["", *_table(header, [[f"`{row.command}`", *_two_passes(folder, row)] for row in TWO_PASSES])]
    return "\n".join(lines) + "\n"


def _compared(folder: Path, row: Row) -> Iterator[str]:
    for device in (CPU, GPU):
        if (kept := _kept(folder, row, device)) is None:
            yield from "-" * (3 if device == GPU else 5)
            continue
        speed = kept["speed"]
        ours, plain = speed["ours"]["median"], speed["plain"]["median"]
        yield from (f"{plain:.3g} s", f"{ours:.3g} s", f"{plain / ours:.2f}x")
        if device == CPU:
            yield f"{speed['plain_flops'] / speed['ours_flops']:.1f}x"
            yield f"{kept['long']['median'] / ours:.2f}x" if "long" in kept else ""


def _two_passes(folder: Path, row: Row) -> Iterator[str]:
    for device in (CPU, GPU):
        if (kept := _kept(folder, row, device)) is None:
            yield from "-" * (3 if device == GPU else 2)
            continue
        yield f"{kept['tally']['again'] / kept['tally']['images']:.1%}"
        yield f"{kept['flips']} of {kept['edits'] * kept['images']:,}"
        if device == GPU:
            plain, twice = kept["times"]
            yield f"{plain['median'] / twice['median']:.1f}x"


def _kept(folder: Path, row: Row, device: str) -> dict[str, Any] | None:
    path = folder / f"{row.name}-{device}.json"
    return read_json(path) if path.is_file() else None


def _devices(folder: Path, device: str) -> list[str]:
    kept = (_kept(folder, row, device) for row in (*COMPARISONS, *TWO_PASSES))
    return list(dict.fromkeys(each["device"] for each in kept if each))


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for cells in (header, ["---", *["---:"] * (len(header) - 1)], *rows):
        yield f"| {' | '.join(cells)} |"
