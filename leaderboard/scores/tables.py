"""Tables from records alone, in cells or as Markdown.

Runs that are not comparable are never mixed: there is one table for each `Record.comparable_key`. `show` prints them.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.core.terminal import console, is_screen, show_table
from benchmark.core.text import escape
from leaderboard.records.record import Record
from leaderboard.records.runs import group_comparable, tell_apart
from leaderboard.records.sections import DataSection, Score
from leaderboard.scores.kept import KEPT

WITHOUT_INTERVAL = ("lr_groups", "gr_released", "lr_agreement_groups")  # none is computed
LEAST_TELLING = ("lr_agreement_groups", "lr_groups", "gr_released", "lr_agreement", "lr_far")  # the first above all
NOTE = "Per cent."
NOTE_ON_INTERVALS = (
    "Per cent; in brackets 95 % intervals: Wilson's over edits for SR; for the others bootstrap intervals over groups, "
    "over drawings where a subset has one group, and a dash where there is nothing to resample or nothing differs."
)

NOTE_ON_DIFFERENCES = (
    "Per cent; in brackets 95 % intervals of the differences, paired: bootstrap over groups, over drawings where a "
    "subset has one group, and a dash where nothing differs."
)


def columns(records: Sequence[Record]) -> list[tuple[str, str]]:
    """(key, heading) of the score columns: SR, GR by subset and overall, LR, then the released variants.

    LR stands there as a mean over edits and, further on, over groups. "LR taken" is of images of the class that the
    base took an edit's sample for, "LR far" of a random draw of what the base gets right.
    """
    subsets = dict.fromkeys(name for r in records for name in r.scores if name.startswith("gr_"))
    subsets.pop("gr_released", None)
    return [
        ("sr", "SR"),
        *((name, f"GR {name.removeprefix('gr_').replace('_', ' ')}") for name in subsets),
        ("gr", "GR all"),
        ("lr", "LR"),
        ("lr_taken", "LR taken"),
        ("lr_far", "LR far"),
        ("lr_groups", "LR groups"),
        ("gr_released", "GR released"),
        ("lr_agreement", "LR agreement"),
        ("lr_agreement_groups", "LR agreement groups"),
    ]


def cell(score: Score | None, interval: bool = False) -> str:
    """Per cent with one digit; with `interval`, the 95 % interval, or a dash where there is none.

    >>> cell(Score(value=0.951, low=0.93, high=0.97), interval=True)
    '95.1 [93.0, 97.0]'
    >>> cell(Score(value=-0.0001))
    '0.0'
    """
    if score is None or score.value is None:
        return "–"
    value = _per_cent(score.value)
    if not interval:
        return value
    if score.low is None or score.high is None:
        return f"{value} [–]"
    return f"{value} [{_per_cent(score.low)}, {_per_cent(score.high)}]"


def _per_cent(share: float) -> str:
    return f"{round(100 * share, 1) + 0.0:.1f}"  # 0.0, and not -0.0


def heading(record: Record) -> str:
    """The values that all rows of one table share, in a line; `details` has the rest."""
    protocol, data = record.protocol, record.data
    return (
        f"{record.base.name} on {data.name} {data.version}: {edits_of(record)}, seed {protocol.seed}, "
        f"{data.locality_images:,} locality images{_further(data)}, {record.comparable_key().precision} on "
        f"{protocol.device}, batches of {protocol.edit_batch} edits and {protocol.score_batch} images, "
        f"protocol {protocol.version}, scoring {protocol.scoring}"
    )


def _further(data: DataSection) -> str:
    """The further images that must not change, in words; empty where the data set has none."""
    counts = {"of classes taken from": data.taken_images, "far": data.far_images}
    return "".join(f", {count:,} {noun}" for noun, count in counts.items() if count is not None)


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


def shared(record: Record) -> str:
    """Base, data and edits, which all runs of a figure share, in one line."""
    return f"{record.base.name}, {record.data.name} ({record.data.version}), {edits_of(record)}"


def editor_cell(record: Record) -> str:
    """The editor's spec, and the `notes` on its run."""
    return f"{record.editor.spec} ({', '.join(notes(record))})" if notes(record) else record.editor.spec


def notes(record: Record) -> list[str]:
    """Words that a reader must know of a run: the editor's package, its faults, and what hand it had in the scores."""
    package = record.editor.package
    words = [f"{package.name} {package.version}"] if package else []
    failed = [check.name for check in record.checks or () if check.passed is False]
    words += [f"fails a check: {', '.join(failed)}"] if failed else []
    words += ["judged by the editor"] if record.outcomes.judged_by_editor else []
    words += ["in process"] if record.protocol.in_process else []
    words += ["two passes"] if record.two_pass else []
    return words


def names(records: Sequence[Record]) -> list[str]:
    """The cells that name the runs of one table: their editors, and what tells runs of one editor and setting apart."""
    return [
        f"{editor_cell(record)} ({apart})" if apart else editor_cell(record)
        for record, apart in zip(records, tell_apart(records), strict=True)
    ]


def failure_lines(records: Sequence[Record]) -> list[str]:
    """A line for each record with failed edits: how many they are, and why.

    Records from before count no reasons.
    """
    lines = []
    for record in (record for record in records if record.outcomes.failed):
        counts = record.outcomes.failures or {}
        others = record.outcomes.failed - sum(counts.values())
        reasons = [f"{reason} ({count:,})" for reason, count in counts.items()]
        reasons += [f"other reasons ({others:,})"] if counts and others else []
        failed = f"{record.outcomes.failed:,} of {record.outcomes.edits:,} edits failed"
        lines.append(f"{record.editor.spec}: {failed}{': ' if reasons else ''}{', '.join(reasons)}")
    return lines


def rows(records: Sequence[Record], intervals: bool = False) -> list[list[str]]:
    """Header and one row a record; steps that nobody counted are a dash."""
    score_columns = columns(records)
    table = [["editor", *(title for _, title in score_columns), "failed", "steps", "s/edit"]]
    for record, name in zip(records, names(records), strict=True):
        table.append(
            [
                name,
                *(
                    cell(record.scores.get(score), intervals and score not in WITHOUT_INTERVAL)
                    for score, _ in score_columns
                ),
                str(record.outcomes.failed),
                f"{record.outcomes.median_steps:g}" if record.outcomes.median_steps else "–",
                _seconds(record.costs.median_edit_seconds),
            ]
        )
    return table


def show(records: Sequence[Record], intervals: bool = False) -> None:
    """Print all records, for a command: on a screen what it has room for, elsewhere the whole tables as Markdown."""
    screen = console()
    if not is_screen():
        screen.print(markdown(records, intervals), soft_wrap=True)
        return
    for group in group_comparable(records):
        header, *body = rows(group, intervals)
        costs = [[_seconds(record.costs.fit_seconds), _mebibytes(record)] for record in group]
        table = [[*cells, *more] for cells, more in zip([header, *body], [["s/fit", "MiB"], *costs], strict=True)]
        titles = dict(columns(group))
        empty = {titles[name] for name in KEPT if not any(name in record.scores for record in group)}
        if not any(record.outcomes.failed for record in group):
            empty.add("failed")
        table = [[cell for name, cell in zip(table[0], cells, strict=True) if name not in empty] for cells in table]
        subsets = [title for name, title in titles.items() if name.startswith("gr_") and name not in LEAST_TELLING]
        drop = [
            "MiB",
            "s/fit",
            *(titles[name] for name in LEAST_TELLING),
            "steps",
            *reversed(subsets),
            "s/edit",
            titles["lr_taken"],
        ]
        screen.print(f"{heading(group[0])}\n")
        show_table(table[0], table[1:], drop)
        screen.print(f"\n{NOTE_ON_INTERVALS if intervals else NOTE} Seconds on {group[0].environment.device_name}.")
        screen.print("".join(f"{line}\n" for line in failure_lines(group)))


def _seconds(seconds: float) -> str:
    return f"{seconds:.2g}" if seconds < 100 else f"{seconds:,.0f}"


def _mebibytes(record: Record) -> str:
    return "–" if record.costs.peak_memory_mb is None else f"{record.costs.peak_memory_mb:,.0f}"


def markdown(records: Sequence[Record], intervals: bool = False) -> str:
    """All records as Markdown tables, one for each set of comparable runs, and below each why edits failed."""
    texts = []
    for group in group_comparable(records):
        title = escape(f"{heading(group[0])}, {details(group[0])}")
        header, *body = rows(group, intervals)
        rule = ["---", *("---:" for _ in header[1:])]
        body = [[escape(editor), *scores] for editor, *scores in body]
        lines = [f"**{title}**", "", *map(_line, [[escape(name) for name in header], rule, *body])]
        texts.append("\n".join(lines))
        if failed := failure_lines(group):
            texts.append("\n".join(f"- {escape(line)}" for line in failed))
    return "\n\n".join([*texts, NOTE_ON_INTERVALS if intervals else NOTE]) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
