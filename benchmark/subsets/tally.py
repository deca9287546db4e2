"""The report of a build: counts beside the paper's, skipped files, images that stand twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.core.csvs import write_csv
from benchmark.core.errors import UserError
from benchmark.data.groups import PAPER_LOCALITY
from benchmark.data.scored import FAR, LOCALITY, TAKEN
from benchmark.subsets.subset import paper_groups

SHOWN = 5  # files that an error names


@dataclass
class Report:
    """The counts and problems of the images that a build has read so far."""

    counts: Counter[str] = field(default_factory=Counter)  # images by group id, or split without groups
    skipped: list[tuple[str, str]] = field(default_factory=list)  # path, reason
    notes: list[str] = field(default_factory=list)  # decisions of the readers and of the build, a sentence each
    places: dict[str, tuple[str, str]] = field(default_factory=dict)  # sha256 -> (group, path)
    twins: list[tuple[str, str, str]] = field(default_factory=list)  # images there twice: both groups, both paths
    made_again: frozenset[str] = frozenset()  # groups whose images were generated here

    def note(self, group: str, path: str, digest: str) -> None:
        """Count an image, and note one that was there before."""
        self.counts[group] += 1
        first_group, first_path = self.places.setdefault(digest, (group, path))
        if (first_group, first_path) != (group, path):
            self.twins.append((first_group, group, f"{first_path} is {path}"))


def expected_counts() -> dict[str, int]:
    """The paper's number of images by group id, and of locality images."""
    return {group.id: group.count for group in paper_groups() if group.count is not None} | {LOCALITY: PAPER_LOCALITY}


def find_differences(counts: Mapping[str, int]) -> list[str]:
    """Every group whose count is not the paper's, with both numbers (SPEC, 2)."""
    titles = {group.id: f"{group.id} {group.name}" for group in paper_groups()}
    return [
        f"{titles.get(group, group)} {counts.get(group, 0):,} instead of {expected:,}"
        for group, expected in expected_counts().items()
        if counts.get(group, 0) != expected
    ]


def check_counts(counts: Mapping[str, int], made_again: Collection[str] = (), hint: str = "") -> None:
    """Raise `UserError` unless every count is the paper's, but for groups that were `made_again`.

    `hint` may say why one is not.
    """
    expected = {group: count for group, count in expected_counts().items() if group in made_again}
    differences = find_differences({**counts, **expected})
    if differences:
        raise UserError(
            f"the number of images differs from the paper's: {'; '.join(differences)}{hint}; give the complete inputs, "
            "or build what there is with --allow-partial"
        )


def describe_generated(counts: Mapping[str, int], made_again: Collection[str]) -> list[str]:
    """A sentence on groups that were generated here in another number than the paper's; none if there is no such."""
    differences = find_differences({**expected_counts(), **{group: counts[group] for group in made_again}})
    return (
        [f"Generated here, since the paper's choice is not published: {', '.join(differences)}."] if differences else []
    )


def list_first(names: list[str]) -> str:
    """List the first `SHOWN` names, for a message."""
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")


def check_report(report: Report, out: Path, allow_partial: bool) -> None:
    """Raise `UserError` unless the images read are a benchmark; skipped files are then listed beside `out`."""
    if not report.counts:
        raise UserError("no image of the inputs decodes; check that each option names its own archive")
    _check_twins(report)
    if allow_partial:
        return
    hint = ""
    if report.skipped:
        listed = out.resolve().with_name(f"{out.resolve().name}-skipped.csv")
        write_skipped(report, listed)
        broken = list_first([path for path, _ in report.skipped])
        hint = f"; {len(report.skipped):,} files cannot be used ({broken}), see {listed}"
    check_counts(report.counts, report.made_again, hint)


def _check_twins(report: Report) -> None:
    """Raise `UserError` for images that stand twice, in two groups or in data of one's own; note all others.

    Groups with the paper's counts hold what the authors' archives hold: their images stay.
    """
    of_paper = {group for group, expected in expected_counts().items() if report.counts[group] == expected}
    within = [path for group, other, path in report.twins if group == other]
    pairs = [({group, other}, path) for group, other, path in report.twins if group != other]
    splits = [path for places, path in pairs if places & {TAKEN, FAR}]
    shared = [path for places, path in pairs if LOCALITY in places and path not in splits]
    groups = [path for places, path in pairs if not places & {LOCALITY, TAKEN, FAR}]
    own = [path for group, other, path in report.twins if not {group, other} <= of_paper]
    for paths, place in (
        (groups, "are in two groups"),
        (splits, "are in two of a group, locality, locality_taken and locality_far"),
        (shared, "are in a group and in the locality set"),
        (within, "stand twice in their group"),
    ):
        if refused := [path for path in paths if paths is groups or path in own]:
            raise UserError(f"{len(refused):,} images {place}: {list_first(refused)}; take one of each away")
        if paths:
            report.notes.append(f"{len(paths):,} images {place}: {list_first(paths)}.")


def write_skipped(report: Report, path: Path) -> None:
    """Write the skipped files to a CSV file with the columns path and reason."""
    write_csv(path, ("path", "reason"), report.skipped)
