"""The figures and tables of a report, as files, and what each shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tqdm.auto import tqdm

from leaderboard.analyses import paper_makers
from leaderboard.analyses.paper import NotThere, PaperFigure, Sources
from leaderboard.report.content import FigureLine

FIGURES = "figures"
GR_LR = "GR against LR in per cent (right and up is better)"
SHOWS = {  # by the function that draws it
    "editors": f"{GR_LR}: a line an editor, over its knob.",
    "samples": f"{GR_LR}: a line for each number of editing samples, on images that no edit saw.",
    "recipes": f"{GR_LR}: a line for each value of the setting in which the trained networks differ.",
    "places": "GR and LR in per cent of fine-tuning three FFNs or attentions in a row, named by their blocks.",
    "masks of samples": "Overlap (IoU, per cent) of the masks of each two samples, two of each of three groups.",
    "masks of groups": "Mean overlap (IoU, per cent) of masks within and across groups.",
    "training": "Sparsity of the masks and KL divergence over the iterations of the training.",
    "natural counts": "Editing samples of each mined group: images that the base gets wrong.",
    "generated counts": "Editing samples of each generated group: images that the base gets wrong.",
}


def draw_figures(figures: Sequence[PaperFigure], sources: Sources, folder: Path) -> list[FigureLine]:
    """Make each figure and table in ``figures`` below the folder, as far as its runs or analyses are there."""
    lines = []
    for figure in tqdm(figures, desc="figures", unit="figure", leave=False):
        made_of, missing = "", ""
        try:
            made_of = _shortened(paper_makers.make(figure, sources, folder / FIGURES))
        except NotThere as reason:
            missing = str(reason)
        files = sorted(path.relative_to(folder).as_posix() for path in (folder / FIGURES).glob(f"{figure.name}.*"))
        lines.append(
            FigureLine(
                figure.name, figure.heading, SHOWS[figure.drawn_as], made_of, tuple(files), missing, figure.needs
            )
        )
    return lines


def _shortened(made_of: str) -> str:
    """The sources of a figure, in words, without the folders of this machine."""
    return "/".join(Path(made_of).parts[-2:]) if Path(made_of).is_absolute() else made_of
