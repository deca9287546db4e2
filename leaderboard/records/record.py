"""The result record: one JSON file a run, and the only schema. Unknown keys are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import ValidationError, field_validator, model_validator

from benchmark.core.files import write_text
from benchmark.core.readers import Unreadable, read_json
from benchmark.core.versions import LIBRARIES
from leaderboard.records.sections import (
    FLOAT32,
    BaseSection,
    CheckSection,
    Costs,
    DataSection,
    EditorSection,
    Environment,
    NoiseFloor,
    OutcomeSection,
    Protocol,
    Score,
    Section,
    TwoPassSection,
    first_problem,
)

SCHEMA_VERSION: Literal[2] = 2  # 1: nothing of `locality_taken` and `locality_far`
PROTOCOL = "2"  # rises when the same editor would be judged on other images or predictions
SCORING = "2"  # rises when the same outcomes would get other scores or intervals
ROUNDING = 1e-9  # a percentile of shares may be 1 and a last digit


class Comparable(NamedTuple):
    """Values that two records must share to stand in one table, plot or analysis: see `Record.comparable_key`."""

    identity: str | None
    weights: str
    preprocessing: str
    data: str
    version: str
    fingerprint: str
    protocol: str
    scoring: str
    precision: str
    device: str
    seed: int
    limit: int | None
    edited_groups: tuple[str, ...] | None
    edit_batch: int
    score_batch: int
    samples_per_edit: int
    edit_timeout: float | None
    libraries: str


class Record(Section):
    """One editor, one base model, one benchmark, one setting."""

    schema_version: Literal[1, 2] = SCHEMA_VERSION
    """Of this file; another one is not read."""
    key: str
    """Hash of all that could change a score, the code included: the run's own name, never a reason to compare."""
    created: str
    """Time of creation, in UTC."""
    editor: EditorSection
    """The method."""
    base: BaseSection
    """The edited model."""
    data: DataSection
    """The images."""
    protocol: Protocol
    """Sampling, batches and precision."""
    environment: Environment
    """Libraries and device."""
    costs: Costs
    """Time and memory."""
    noise_floor: NoiseFloor
    """Predictions that change without an edit."""
    two_pass: TwoPassSection | None = None
    """Counts of both passes; None of a run in one pass, and in records from before."""
    checks: tuple[CheckSection, ...] | None = None
    """The editor's check before the run; None where there was none, and in records from before."""
    outcomes: OutcomeSection
    """Counts and hash of the outcomes of all edits."""
    scores: dict[str, Score]
    """Scores by name (`leaderboard.scores.metrics.scores`)."""

    @field_validator("scores")
    @classmethod
    def _are_shares(cls, scores: dict[str, Score]) -> dict[str, Score]:
        """Refuse what is no share: only `gr_released`, which takes an edit's success for granted, may be below 0."""
        for name, score in scores.items():
            least = -1 if name == "gr_released" else 0
            for value in (score.value, score.low, score.high):
                if value is not None and not least - ROUNDING <= value <= 1 + ROUNDING:
                    raise ValueError(f"the score {name} is {value:g}, which is no share")
        return scores

    @model_validator(mode="after")
    def _counts_agree(self) -> Record:
        """Refuse more failures than edits, and the like."""
        outcomes, noise = self.outcomes, self.noise_floor
        if max(outcomes.failed, outcomes.called, outcomes.judged_by_editor or 0) > outcomes.edits:
            raise ValueError("more edits failed, or were called, than were made")
        if noise.flips > noise.images:
            raise ValueError("more predictions changed than were compared")
        return self

    def __repr__(self) -> str:
        scores = (f"{name.upper()} {100 * score.value:.1f}" for name, score in self.scores.items()
                  if name in ("sr", "gr", "lr") and score.value is not None)  # fmt: skip
        return f"Record({self.editor.spec} on {self.data.name}, {self.outcomes.edits} edits: {', '.join(scores)})"

    __str__ = __repr__

    def write(self, path: Path) -> None:
        """Write as JSON, atomically."""
        write_text(path, self.model_dump_json(indent=2) + "\n")

    def comparable_key(self) -> Comparable:
        """Values that this record must share with another to be compared with it: the only rule there is.

        In it: the base (its identity; of records without one, weights and preprocessing), the data, the versions of
        protocol and scoring, and all that chooses, batches and rounds. Not in it: the editor, its code and the commit.
        They are what is compared; a release that edits the same is no other table.

        Two are a judgement. *Library versions* are in, each as the release it names (a build's "+cpu" left out, since
        the device stands beside it): another Pillow decodes other pixels and another torch rounds otherwise, which
        moves images with a small margin, and D_l holds nothing else. *The batch of editing* is in: it moves roundings,
        and the stop rule turns a rounding into a step more. Both cost little, since a default run has the same batch
        on every CPU, and a run under new releases takes minutes to make again. The committed records agree in all of
        it. A run in two passes has float32's verdicts as long as none of those that it checked had changed.
        """
        base, data, protocol = self.base, self.data, self.protocol
        is_exact = self.two_pass is not None and self.two_pass.disagreements == 0
        releases = [f"{name} {self.environment.versions.get(name, '?').partition('+')[0]}" for name in LIBRARIES]
        return Comparable(
            identity=base.identity,
            weights=base.weights_sha256,
            preprocessing=json.dumps(base.preprocessing, sort_keys=True),
            data=data.name,
            version=data.version,
            fingerprint=data.fingerprint,
            protocol=protocol.version,
            scoring=protocol.scoring,
            precision=FLOAT32 if is_exact else protocol.precision,
            device=protocol.device,
            seed=protocol.seed,
            limit=protocol.limit,
            edited_groups=None if protocol.edited_groups is None else tuple(protocol.edited_groups),
            edit_batch=protocol.edit_batch,
            score_batch=protocol.score_batch,
            samples_per_edit=protocol.samples_per_edit,
            edit_timeout=protocol.edit_timeout,
            libraries=", ".join(releases),
        )


def read(path: Path) -> Record:
    """Read a record. Raises `Unreadable` for a file that is none or of another schema, and for impossible scores."""
    fix = "score that run again, or take the file away"
    try:
        return Record.model_validate(read_json(path, fix=fix))
    except ValidationError as error:
        raise Unreadable(path, f"is no record of this version: {first_problem(error)}", fix) from error
