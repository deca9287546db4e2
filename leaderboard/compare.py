"""Rank finished runs over the same edits, and subtract one from the others, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import tyro

from benchmark.core.cli import run
from benchmark.core.errors import UserError
from benchmark.core.terminal import show_table
from leaderboard.records.record import Record
from leaderboard.records.runs import check_comparable, find_named
from leaderboard.records.sections import Score
from leaderboard.scores import paired, ranking, tables
from leaderboard.scores.ranking import LEAST_SUCCESS, Ranked
from leaderboard.scores.tables import cell

NOTE = (
    f"Area of the (GR, LR) square that an editor's settings with an SR of {100 * LEAST_SUCCESS:g} % or more dominate; "
    "ranks that the data allow at 95 %, for all editors at once."
)


def main(runs: Annotated[tuple[str, ...], tyro.conf.Positional] = ()) -> None:
    """Rank editors, and subtract one run's scores from the others', paired over the same edits.

    The last of RUNS is subtracted, if it is one run; else the setting of the first-ranked editor with the largest
    GR times LR. All runs below out/leaderboard are compared where none is named.

    Args:
        runs: Folders of runs, at any depth, or editors as tables show them, such as ft-l2:c=0.1, whose newest
            comparable runs in out/leaderboard are taken.
    """
    named = find_named(runs)
    compared = list({path.resolve(): (path, record) for group in named for path, record in group}.values())
    records = [record for _, record in compared]
    if len(records) < 2:
        raise UserError(f"there is one run alone, of {records[0].editor.spec}; name a second one to compare it with")
    check_comparable(records, repeated=True)
    resampled = paired.read_together(compared)
    ranked = ranking.rank(records, resampled)
    other = named[-1][0][1] if len(named[-1]) == 1 else _largest(ranked[0])
    print(f"{tables.heading(records[0])}\n")
    _show_ranking(ranked, other)
    order = {record.key: n for n, record in enumerate(_in_order(ranked))}
    by_rank = sorted(zip(records, resampled, tables.names(records), strict=True), key=lambda row: order[row[0].key])
    subtrahend, name = next((scores, name) for record, scores, name in by_rank if record.key == other.key)
    print(f"\nminus {name}\n")
    _show_differences(
        records,
        [(name, paired.differences(scores, subtrahend)) for record, scores, name in by_rank if record.key != other.key],
    )
    print(f"\n{tables.NOTE_ON_DIFFERENCES}")


def _largest(ranked: Ranked) -> Record:
    """The setting of an editor with the largest GR times LR."""
    return max(
        _in_order([ranked]), key=lambda record: (record.scores["gr"].value or 0) * (record.scores["lr"].value or 0)
    )


def _in_order(ranked: Sequence[Ranked]) -> list[Record]:
    return [record for each in ranked for repetition in each.line.runs for record in repetition]


def _show_ranking(ranked: Sequence[Ranked], other: Record) -> None:
    """Print the ranks, and how far each editor's area is from that of the editor of `other`."""
    reference = next(each for each in ranked if other.key in {record.key for record in _in_order([each])})
    rows = []
    for each in ranked:
        best, worst = each.ranks or (None, None)
        rows.append(
            [
                each.line.description,
                "–" if best is None else str(best) if best == worst else f"{best}-{worst}",
                f"{each.counted} of {len(_in_order([each]))}",
                cell(each.area, interval=True),
                "" if each is reference else cell(each.minus(reference), interval=True),
            ]
        )
    show_table(["editor", "rank", "settings", "area", f"minus {reference.line.description}"], rows, drop=["settings"])
    print(f"\n{NOTE}")


def _show_differences(records: Sequence[Record], rows: Sequence[tuple[str, dict[str, Score]]]) -> None:
    titles = {name: title for name, title in tables.columns(records) if name in rows[0][1]}
    subsets = [title for name, title in titles.items() if name.startswith("gr_")]
    drop = [titles[name] for name in tables.LEAST_TELLING if name in titles] + subsets + ["SR"]
    show_table(
        ["editor", *titles.values()],
        [[name, *(cell(scores[score], interval=True) for score in titles)] for name, scores in rows],
        drop,
    )


if __name__ == "__main__":
    run(main)
