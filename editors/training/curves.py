"""The training curves beside a checkpoint: numbers as csv, and a figure of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.core.csvs import write_csv
from benchmark.core.files import replacing


@dataclass(frozen=True)
class Panel:
    """One plot of the row: from columns of the curve to their titles; `rate` draws it from 0 to 1."""

    lines: Mapping[str, str]
    rate: bool = False


def write(rows: Sequence[dict[str, float]], out: Path, panels: Sequence[Panel]) -> None:
    """Write ``<out>.csv`` and ``<out>.png`` from rows that hold `iteration` and the panels' columns (or some)."""
    if not rows:
        return
    write_csv(out.with_suffix(".csv"), list(rows[0]), ([*row.values()] for row in rows))

    from matplotlib.figure import Figure

    figure = Figure(figsize=(3 * len(panels), 3), layout="constrained")
    iterations = [row["iteration"] for row in rows]
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for name, title in panel.lines.items():
            if name in rows[0]:
                axes.plot(iterations, [row[name] for row in rows], label=title)
        axes.set(xlabel="iteration", ylim=(0, 1) if panel.rate else None)
        axes.legend(frameon=False, fontsize="small")
    with replacing(out.with_suffix(".png")) as temporary:
        figure.savefig(temporary, dpi=120)
