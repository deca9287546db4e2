"""The result of some groups alone: records as they would be if only samples of these groups had been edited."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from leaderboard.records.outcomes import Outcomes
from leaderboard.records.record import Record
from leaderboard.scores import metrics
from leaderboard.scores.summary import outcome_section, score_sections


def only(record: Record, run: Outcomes, groups: Sequence[str], names: Sequence[str] = ()) -> Record:
    """The record of the edits in `groups` (ids), with their scores, intervals, counts and median times.

    Its protocol names the groups, by their `names` if there are any, and the number of edits if they were drawn; so
    records of other groups are not comparable with it, and each group gets a table of its own.
    """
    edits = run.edits[run.edits["group_id"].isin(groups)].reset_index(drop=True)
    of_groups = replace(run, edits=edits)
    protocol, costs = record.protocol, record.costs
    medians = edits[["seconds", "score_seconds"]].median()
    return record.model_copy(
        update={
            "protocol": protocol.model_copy(
                update={
                    "edited_groups": list(names or groups),
                    "limit": None if protocol.limit is None else len(edits),
                }
            ),
            "costs": costs.model_copy(
                update={
                    "median_edit_seconds": float(medians["seconds"]),
                    "median_score_seconds": float(medians["score_seconds"]),
                }
            ),
            "outcomes": outcome_section(of_groups),
            "scores": score_sections(metrics.compute_hits(of_groups)),
        }
    )


def by_group(record: Record, run: Outcomes) -> list[Record]:
    """A record for each group with an edit, in the outcomes' order, without the GR of its subset."""
    names = run.samples.drop_duplicates("group_id").set_index("group_id")["group"]
    records = [only(record, run, [group], [f"{group} {names[group]}"]) for group in run.edits["group_id"].unique()]
    subsets = {name for name in record.scores if name.startswith("gr_")} - {"gr_released"}
    return [
        alone.model_copy(update={"scores": {name: s for name, s in alone.scores.items() if name not in subsets}})
        for alone in records
    ]
