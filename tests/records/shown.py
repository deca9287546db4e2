"""The rows of each table and picture that README.md and docs/ show of the committed records; the making of tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache
from pathlib import Path

import pandas as pd

from editors.core.registry import choose
from leaderboard.analyse import On
from leaderboard.analyses.iou import overlap
from leaderboard.analyses.swaps import count_swaps
from leaderboard.records import outcomes
from leaderboard.records.record import Record
from leaderboard.records.runs import find_newest
from leaderboard.records.sections import Score
from leaderboard.scores import paired, ranking, tables
from leaderboard.scores.tables import cell
from leaderboard.submissions.submission import RESULTS

EXAMPLE = "editors/examples/weights.py:MyEditor"
HYPERNETWORK = "hypernetwork:sparsity=0.95"
EDITORS = {  # docs/editors.md: each editor at the setting that was chosen for it, and what it edits
    "null-edit": "–",
    "ft": "blocks 8-10, FFN",
    "ft-l1:c=0.005": "8-10, FFN",
    "ft-l2:c=0.001": "8-10, FFN",
    "random-mask:sparsity=0.5": "8-10, FFN",
    "kn:sparsity=0.95": "8-10, FFN",
    "spt:sparsity=0.95": "8-10, FFN",
    HYPERNETWORK: "8-10, FFN",
    "lora:rank=16": "1-12, q and v",
    "ke:scale=1.0": "10-12, FFN",
    "mend:step_scale=1.0": "10-12, FFN",
    "t-patcher:memory_weight=0.0": "12, FFN, one neuron",
    "t-patcher:memory_weight=5.0": "12, FFN, one neuron",
    "rome:clamp=4.0": "12, FFN, rank one",
    "head-only": "head",
    "head-only:interpolate=0.5": "head, half the way",
    EXAMPLE: "head",
    "grace:epsilon=1.25": "none; memory at block 11",
    "grace:epsilon=1.5": "none; memory at block 11",
}
METHOD = ("null-edit", "ft", "ft-l1:*", "ft-l2:*", "random-mask:*", "hypernetwork:*", EXAMPLE)
RESULTS_SHOWN = ("ft", HYPERNETWORK, "mend:step_scale=1.0", "grace:epsilon=1.25", "head-only", EXAMPLE)
PAIRS_OF_EDITORS = (  # the first run minus the second
    *(
        (spec, HYPERNETWORK)
        for spec in ("kn:sparsity=0.95", "spt:sparsity=0.95", "mend:step_scale=1.0", "head-only", "grace:epsilon=1.5")
    ),
    *((spec, "random-mask:sparsity=0.95") for spec in ("kn:sparsity=0.95", "spt:sparsity=0.95")),
)
PAIRS_OF_LIKE_GR = (
    *(
        ("head-only", spec)
        for spec in ("mend:step_scale=2.0", "spt:sparsity=0.75", "hypernetwork:sparsity=0.75", "ke:scale=2.0")
    ),
    *((EXAMPLE, spec) for spec in ("grace:epsilon=1.25", "ft-l2:c=0.05")),
)
PAIRS_OF_METHOD = tuple(
    (HYPERNETWORK, spec)
    for spec in (*(f"random-mask:sparsity={sparsity}" for sparsity in (0.95, 0.9, 0.75, 0.5)), "ft-l2:c=0.01", EXAMPLE)
)
PICTURES = {  # GR-LR curves: the runs of each
    "gr-lr": METHOD[1:],
    "editors": (
        "ft", "ft-l2:*", "hypernetwork:s*", "ke:*", "kn:s*", "lora:*", "mend:*", "rome:*", "spt:*", "t-patcher:*"
    ),
    "editors-beyond": ("ft", "ft:*", "grace:*", "head-only*", "hypernetwork:s*", "mend:*", "random-mask:*"),
}  # fmt: skip
USUAL_NETWORK = "T=5"  # of the ablations; at the usual value of each study the same network was trained again
SCORES = ("sr", "gr", "gr_pairs", "lr", "lr_taken", "lr_far")
PAIRED = ("gr", "lr", "lr_taken", "lr_far")
MASKS = (HYPERNETWORK, "random-mask:sparsity=0.95")  # the picture of their masks' overlap is iou

Run = tuple[Path, Record]


class Committed:
    """The committed runs of one folder of results, by the editors' specs, in the order of their folders."""

    def __init__(self, folder: str) -> None:
        self.runs: dict[str, Run] = {run[1].editor.spec: run for run in find_newest([RESULTS / folder])}

    @property
    def records(self) -> list[Record]:
        """All records."""
        return [record for _, record in self.runs.values()]

    @cached_property
    def resampled(self) -> dict[str, paired.Resampled]:
        """All scores by spec, resampled together."""
        return dict(zip(self.runs, paired.read_together(self.runs.values()), strict=True))

    def choose(self, patterns: Sequence[str]) -> list[Run]:
        """The runs whose specs match, in the order of the patterns. Raises `SystemExit` for one that matches none."""
        chosen: dict[str, Run] = {}
        for pattern in patterns:
            matching = {spec: run for spec, run in self.runs.items() if fnmatchcase(spec, pattern)}
            if not matching:
                raise SystemExit(f"{pattern}: no committed run has this spec; mend the lists in {__file__}")
            chosen |= matching
        return list(chosen.values())


@lru_cache
def committed(folder: str = "mini-1") -> Committed:
    """The runs of a folder of results, read once."""
    return Committed(folder)


def short(spec: str) -> str:
    """The spec without the folder and ending of a checkpoint's file."""
    return re.sub(r"checkpoint=[^,]*?mini-(\w+)\.safetensors", r"checkpoint=\1", spec)


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> str:
    """A table in Markdown, its first columns, `words` of them, to the left, the others to the right."""
    rule = ["---"] * words + ["---:"] * (len(header) - words)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *rows))


def _scores(record: Record, names: Sequence[str], intervals: bool = True) -> list[str]:
    return [cell(record.scores.get(name), interval=intervals and name != "sr") for name in names]


def _steps(record: Record) -> str:
    return f"{record.outcomes.median_steps:g}" if record.outcomes.median_steps else "–"


def every_run() -> str:
    """docs/mini-1.md."""
    return tables.markdown(committed().records, intervals=True).strip()


def editors() -> str:
    """The chosen setting of each editor, and what it costs."""
    header = ["editor", "edits", "SR", "GR all", "GR pairs", "LR", "LR taken", "LR far", "steps", "ms/edit"]
    rows = [
        [
            record.editor.spec,
            EDITORS[record.editor.spec],
            *_scores(record, SCORES),
            _steps(record),
            f"{1000 * record.costs.median_edit_seconds:.0f}",
        ]
        for _, record in committed().choose(list(EDITORS))
    ]
    return markdown(header, rows, words=2)


def swaps() -> str:
    """The part of D_l that is of the class taken from, and what the lost images are called."""
    rows = []
    for path, record in committed().choose(list(EDITORS)[1:]):
        counts = count_swaps(outcomes.read(path.parent, record.outcomes.sha256))
        shares = [cell(Score(value=share)) for share in (counts.of_z, counts.of_others, counts.exchanged)]
        rows.append([record.editor.spec, *shares])
    return markdown(["editor", "LR on images of class z", "LR on all others", "of the lost, now called y"], rows)


def method(folder: str = "mini-1", patterns: Sequence[str] = METHOD) -> str:
    """Settings of the paper's method, and of what it is compared with."""
    rows = [
        [short(record.editor.spec), *_scores(record, SCORES), _steps(record)]
        for _, record in committed(folder).choose(patterns)
    ]
    return markdown(["editor", "SR", "GR all", "GR pairs", "LR", "LR taken", "LR far", "steps"], rows)


def differences(pairs: Sequence[tuple[str, str]]) -> str:
    """Scores of one run minus those of another, over the same edits."""
    resampled, rows = committed().resampled, []
    for first, second in pairs:
        scores = paired.differences(resampled[first], resampled[second])
        rows.append([first, second, *(cell(scores.get(name), interval=True) for name in PAIRED)])
    return markdown(["editor", "minus", "GR all", "LR", "LR taken", "LR far"], rows, words=2)


def correlations() -> str:
    """Rank correlation of each LR with GR, over the settings that succeed."""
    counted = [record for record in committed().records if (record.scores["sr"].value or 0) >= ranking.LEAST_SUCCESS]
    table = pd.DataFrame([{name: record.scores[name].value for name in PAIRED} for record in counted])
    values = table.corr(method="spearman")["gr"]
    header = [f"{len(counted)} settings", "LR", "LR taken", "LR far"]
    return markdown(header, [["rank correlation with GR", *(f"{values[name]:.2f}" for name in PAIRED[1:])]])


def ranks() -> str:
    """The ranking of all editors by their areas."""
    ranked = ranking.rank(committed().records, list(committed().resampled.values()))
    rows = [
        [
            short(each.line.description),
            "–" if each.ranks is None else "-".join(map(str, dict.fromkeys(each.ranks))),
            cell(each.area, interval=True),
        ]
        for each in ranked
    ]
    return markdown(["editor", "rank", "area"], rows)


def masks() -> str:
    """Overlap of masks within and across groups."""
    on = On()
    judge = on.judge()
    results = [overlap(choose(spec, "mini"), judge, 0.95, on.settings, progress=False) for spec in MASKS]
    rows = [[result.editor, *(cell(score, interval=True) for score in result.means.values())] for result in results]
    return markdown(["editor", "within a group", "across groups", "difference"], rows)


def ablations() -> str:
    """Networks that differ in one field of the recipe, at the paper's sparsity, and each minus the usual one."""
    folder = committed("mini-1-ablation")
    runs = {network(record): record for _, record in folder.choose(["*,sparsity=0.95"])}
    usual = folder.resampled[runs[USUAL_NETWORK].editor.spec]
    rows = []
    for name, record in runs.items():
        scores = paired.differences(folder.resampled[record.editor.spec], usual)
        rows.append(
            [name, *_scores(record, ("gr", "lr")), *(cell(scores[each], interval=True) for each in ("gr", "lr"))]
        )
    return markdown(["network", "GR all", "LR", f"GR minus {USUAL_NETWORK}'s", "LR minus its"], rows)


def network(record: Record) -> str:
    """The study and the value of the network that a run used, from its file's name."""
    return Path(str(record.editor.config["checkpoint"])).name.partition("-seed")[0]


def results() -> str:
    """Few editors for the README, without intervals."""
    rows = [
        [f"`{record.editor.spec}`", *_scores(record, ("sr", "gr", "lr", "lr_taken", "lr_far"), intervals=False)]
        for _, record in committed().choose(RESULTS_SHOWN)
    ]
    return markdown(["editor", "SR", "GR", "LR", "LR taken", "LR far"], rows)


TABLES: dict[str, Callable[[], str]] = {
    "every-run": every_run,
    "editors": editors,
    "swaps": swaps,
    "correlations": correlations,
    "differences-of-editors": lambda: differences(PAIRS_OF_EDITORS),
    "differences-at-like-gr": lambda: differences(PAIRS_OF_LIKE_GR),
    "method": method,
    "method-at-another-rate": lambda: method("mini-1-lr", ("*",)),
    "differences-of-method": lambda: differences(PAIRS_OF_METHOD),
    "masks": masks,
    "ranking": ranks,
    "ablations": ablations,
    "results": results,
}
