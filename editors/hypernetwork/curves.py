"""The training curves beside a checkpoint: numbers as csv, and the picture of the paper's Fig. H."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from benchmark.files import replacing, write_text

TITLES = {
    "kl": "KL on held-out pseudo-samples",
    "sparsity": "mask sparsity",
    "loss": "training loss",
    "held_out_loss": "held-out loss",
}


def write(rows: Sequence[dict[str, float]], out: Path) -> None:
    """Write ``<out>.csv`` and ``<out>.png`` from rows of iteration, kl, sparsity, loss and perhaps held_out_loss."""
    if not rows:
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(out.with_suffix(".csv"), text.getvalue())

    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3), layout="constrained")
    panels = figure.subplots(1, 3)
    iterations = [row["iteration"] for row in rows]
    for axes, names in zip(panels, (["kl"], ["sparsity"], ["loss", "held_out_loss"]), strict=True):
        for name in names:
            if name in rows[0]:
                axes.plot(iterations, [row[name] for row in rows], label=TITLES[name])
        axes.set(xlabel="iteration", ylim=(0, 1) if names == ["sparsity"] else None)
        axes.legend(frameon=False, fontsize="small")
    with replacing(out.with_suffix(".png")) as temporary:
        figure.savefig(temporary, dpi=120)
