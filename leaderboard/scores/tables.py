"""Tables from records alone, in cells or as Markdown.

Runs that are not comparable are never mixed: there is one table for each `Record.comparable_key`.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.core.text import escape
from leaderboard.records.record import Record
from leaderboard.records.runs import group_comparable
from leaderboard.records.sections import Score

NUMBER = "{:.1f}"
WITHOUT_INTERVAL = ("lr_groups", "gr_released", "lr_agreement_groups")  # none is computed
NOTE = (
    "Per cent; in brackets 95 % intervals: Wilson's over edits for SR; for the others bootstrap intervals over groups, "
    "over drawings where a subset has one group, and a dash where there is nothing to resample or nothing differs."
)


def columns(records: Sequence[Record]) -> list[tuple[str, str]]:
    """(key, heading) of the score columns: SR, GR by subset and overall, LR, then the released variants.

    LR stands there as a mean over edits and, beside it, over groups.
    """
    subsets = dict.fromkeys(name for r in records for name in r.scores if name.startswith("gr_"))
    subsets.pop("gr_released", None)
    return [
        ("sr", "SR"),
        *((name, f"GR {name.removeprefix('gr_').replace('_', ' ')}") for name in subsets),
        ("gr", "GR all"),
        ("lr", "LR"),
        ("lr_groups", "LR groups"),
        ("gr_released", "GR released"),
        ("lr_agreement", "LR agreement"),
        ("lr_agreement_groups", "LR agreement groups"),
    ]


def cell(score: Score | None, interval: bool = False) -> str:
    """Per cent with one digit; with `interval`, the 95 % interval, or a dash where there is none.

    >>> cell(Score(value=0.951, low=0.93, high=0.97), interval=True)
    '95.1 [93.0, 97.0]'
    """
    if score is None or score.value is None:
        return "–"
    value = NUMBER.format(100 * score.value)
    if not interval:
        return value
    if score.low is None or score.high is None:
        return f"{value} [–]"
    return f"{value} [{NUMBER.format(100 * score.low)}, {NUMBER.format(100 * score.high)}]"


def heading(record: Record) -> str:
    """The values that all rows of one table share, in a line; `details` has the rest."""
    protocol, data = record.protocol, record.data
    return (
        f"{record.base.name} on {data.name} {data.version}: {edits_of(record)}, seed {protocol.seed}, "
        f"{data.locality_images:,} locality images, {protocol.precision} on {protocol.device}, "
        f"batches of {protocol.edit_batch} edits and {protocol.score_batch} images, protocol {protocol.version}, "
        f"scoring {protocol.scoring}"
    )


def details(record: Record) -> str:
    """The other values that all rows of one table share: hashes of data and base, and releases."""
    base = record.base
    model = f"base {base.identity[:8]}" if base.identity else f"weights {base.weights_sha256[:8]}"
    return f"data {record.data.fingerprint[:8]}, {model}, {record.comparable_key().libraries}"


def edits_of(record: Record) -> str:
    """The edited samples in words: their number, drawn or all, their groups, the number an edit, and its time limit."""
    protocol, total = record.protocol, record.data.groups
    samples = f"all {record.outcomes.edits:,}" if protocol.limit is None else f"{protocol.limit:,} drawn"
    chosen = protocol.edited_groups
    groups = f"{total} groups" if chosen is None else f"{len(chosen)} of {total} groups ({', '.join(chosen)})"
    limit = "" if protocol.edit_timeout is None else f", at most {protocol.edit_timeout:g} s each"
    return f"{samples} editing samples from {groups}, {protocol.samples_per_edit} an edit{limit}"


def editor_cell(record: Record) -> str:
    """The editor's spec, and what a reader must know of its run: whether it could have had a hand in the scores."""
    notes = ["judged by the editor"] if record.outcomes.judged_by_editor else []
    notes += ["in process"] if record.protocol.in_process else []
    return f"{record.editor.spec} ({', '.join(notes)})" if notes else record.editor.spec


def rows(records: Sequence[Record], intervals: bool = False) -> list[list[str]]:
    """Header and one row a record."""
    score_columns = columns(records)
    table = [["editor", *(title for _, title in score_columns), "failed", "steps", "s/edit"]]
    for record in records:
        table.append(
            [
                editor_cell(record),
                *(
                    cell(record.scores.get(name), intervals and name not in WITHOUT_INTERVAL)
                    for name, _ in score_columns
                ),
                str(record.outcomes.failed),
                f"{record.outcomes.median_steps:g}",
                f"{record.costs.median_edit_seconds:.2g}",
            ]
        )
    return table


def markdown(records: Sequence[Record], intervals: bool = True) -> str:
    """All records as Markdown tables, one for each set of comparable runs."""
    texts = []
    for group in group_comparable(records):
        title = escape(f"{heading(group[0])}, {details(group[0])}")
        header, *body = rows(group, intervals)
        rule = ["---", *("---:" for _ in header[1:])]
        body = [[escape(editor), *scores] for editor, *scores in body]
        lines = [f"**{title}**", "", *map(_line, [[escape(name) for name in header], rule, *body])]
        texts.append("\n".join(lines))
    return "\n\n".join([*texts, NOTE]) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
