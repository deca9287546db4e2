"""Tables from records alone, in cells or as Markdown.

Runs that are not comparable are never mixed: there is one table for each combination of data, base,
precision, limit and seed.
"""

from __future__ import annotations

from collections.abc import Sequence

from leaderboard.records.record import Record, Score

NUMBER = "{:.1f}"


def columns(records: Sequence[Record]) -> list[tuple[str, str]]:
    """(key, heading) of the score columns: SR, GR by subset and overall, LR, then the released variants."""
    subsets = dict.fromkeys(name for r in records for name in r.scores if name.startswith("gr_"))
    subsets.pop("gr_released", None)
    return [
        ("sr", "SR"),
        *((name, f"GR {name.removeprefix('gr_').replace('_', ' ')}") for name in subsets),
        ("gr", "GR all"),
        ("lr", "LR"),
        ("gr_released", "GR released"),
        ("lr_agreement", "LR agreement"),
    ]


def cell(score: Score | None, interval: bool = False) -> str:
    """Per cent with one digit, and the 95 % interval where wanted and known."""
    if score is None or score.value is None:
        return "–"
    value = NUMBER.format(100 * score.value)
    if not interval or score.low is None or score.high is None:
        return value
    return f"{value} [{NUMBER.format(100 * score.low)}, {NUMBER.format(100 * score.high)}]"


def heading(record: Record) -> str:
    """What all rows of one table share."""
    protocol, data = record.protocol, record.data
    sample = (
        f"{protocol.limit} editing samples drawn with seed {protocol.seed}" if protocol.limit else "all editing samples"
    )
    several = f", {protocol.samples_per_edit} an edit," if protocol.samples_per_edit > 1 else ""
    return (
        f"{record.base.name} on {data.name} {data.version}: {sample}{several} in {data.groups} groups, "
        f"{data.locality_images:,} locality images, {protocol.precision}, protocol {protocol.version}"
    )


def rows(records: Sequence[Record], intervals: bool = False) -> list[list[str]]:
    """Header and one row a record."""
    wanted = columns(records)
    table = [["editor", *(title for _, title in wanted), "failed", "steps", "s/edit"]]
    for one in records:
        table.append(
            [
                one.editor.spec,
                *(cell(one.scores.get(name), intervals) for name, _ in wanted),
                str(one.outcomes.failed),
                f"{one.outcomes.median_steps:g}",
                f"{one.costs.median_edit_seconds:.2g}",
            ]
        )
    return table


def markdown(records: Sequence[Record], intervals: bool = True) -> str:
    """All records as Markdown tables, one for each set of comparable runs."""
    tables: dict[str, list[Record]] = {}
    for one in records:
        tables.setdefault(
            heading(one) + f", data {one.data.fingerprint[:8]}, weights {one.base.weights_sha256[:8]}", []
        ).append(one)
    parts = []
    for title, group in tables.items():
        header, *body = rows(group, intervals)
        lines = [f"**{title}**", "", _line(header), _line(["---", *("---:" for _ in header[1:])]), *map(_line, body)]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n\nPer cent; in brackets 95 % bootstrap intervals over groups and drawings.\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|").replace("\n", " ") for text in cells) + " |"
