"""The result record: one JSON file a run, and the only schema. Unknown keys are refused.

Fields that later versions added are None in records from before; each says so.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from benchmark.core.errors import UserError
from benchmark.core.files import write_text
from benchmark.core.versions import LIBRARIES

SCHEMA_VERSION = 1
PROTOCOL = "1"  # rises when the same editor would be judged on other images or predictions
SCORING = "2"  # rises when the same outcomes would get other scores or intervals


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="null")


class EditorSection(_Section):
    """The method, its settings, and the state that it learned."""

    name: str
    """The built-in's name, or FILE.py:Class."""
    spec: str
    """The editor as one would write it: its name, the settings that were written, and its knob."""
    config: dict[str, Any]
    """All settings, also those that were not written; paths as texts."""
    knob: str | None
    """The setting that a sweep varies; None for an editor without one."""
    interpolate: float = 1.0
    """The scored weights' place between the base (0) and the edited model (1)."""
    source_sha256: str
    """Hash of the editor's parsed sources, all that they import of this project or beside them included. Records from
    before the base's `identity` hold the SHA-256 of the bytes of the editor's own file."""
    files: dict[str, str] | None = None
    """SHA-256 of each file that the config names, by its path as it was written; None in records from before."""
    state_sha256: str | None
    """Hash of what the editor learned before editing; None if it learns nothing."""
    provenance: dict[str, str] = {}
    """The origin of that state, in the editor's words; empty if it learns nothing."""


class BaseSection(_Section):
    """The edited model, its preprocessing, and its accuracy on D_l as measured in this run."""

    name: str
    """The name or path that was asked for; another name may stand for the same model."""
    identity: str | None = None
    """Hash of weights, architecture, preprocessing and precision (`benchmark.models.identity`); None in records from
    before."""
    weights_sha256: str
    """Hash of all parameters and buffers alone."""
    loading: str | None = None
    """Where the weights are from, what was done to them, and the preprocessing, in words; None in older
    records."""
    preprocessing: dict[str, Any]
    """From a decoded image to what the model takes."""
    probe: dict[int, float] | None = None
    """The ten largest logits of a fixed image, by class: compared where runs meet, never hashed; None in records from
    before."""
    locality_accuracy: float | None
    """Share of D_l that the unedited base gets right; None if the label of an image is unknown."""


class DataSection(_Section):
    """The images of the run."""

    name: str
    """The benchmark's name."""
    version: str
    """Its version, as the data set says."""
    source: str | None = None
    """Its name or folder as it was asked for, or OWNER/NAME@COMMIT of the Hub; None in records from before."""
    fingerprint: str
    """Hash over bytes, labels and groups of all images that can move a score."""
    kept: str
    """Counts of the editing samples this base gets wrong, by subset, in words; "all" if nobody filtered them."""
    groups: int
    """Groups that hold an editing sample."""
    editing_samples: int
    """Samples that this base gets wrong; they can be edited."""
    locality_images: int
    """|D_l|."""


class Protocol(_Section):
    """Everything else that could change a score."""

    version: str
    """Version of the rules that choose images and predictions; see `PROTOCOL`."""
    scoring: str = "1"
    """Version of the scores' computation; see `SCORING`. Older records lack it and mean "1"."""
    precision: str
    """The base's number format, such as float32."""
    device: str
    """The kind of device: cpu or cuda."""
    seed: int
    """Seed of the draw of samples and, with each sample's hash, of every edit."""
    limit: int | None
    """At most so many samples are edited, drawn with the seed; None: all."""
    edited_groups: list[str] | None
    """Ids of the groups whose samples are edited, in the data's order; None: all."""
    edit_batch: int
    """Edits that are made at once."""
    score_batch: int
    """Images a forward."""
    samples_per_edit: int = 1
    """Samples of one group that each edit is made on together."""
    in_process: bool | None = None
    """Whether the editor worked in the judge's own process; None in records from before, whose editors did."""
    edit_timeout: float | None = None
    """Seconds after which an edit has failed; None: it may take its time."""


class Environment(_Section):
    """Libraries, checkout and device of the run."""

    versions: dict[str, str]
    """Releases of Python and of the libraries that edit, judge and keep."""
    commit: str | None
    """Commit of this project's checkout; None where it is none."""
    dirty: bool | None
    """True if a tracked file differed from that commit; None without a checkout."""
    device_name: str
    """The processor, in words."""
    float32: dict[str, str] | None = None
    """How float32 products and convolutions were computed, as torch says: ieee, or what they were rounded to; None in
    records from before."""
    answers_hidden: bool | None = None
    """Whether the editor's process could not see the files of what is scored; None in records from before."""


class Costs(_Section):
    """Wall-clock seconds and peak memory of this run's last sitting."""

    fit_seconds: float
    """Learning before the first edit; 0 for an editor that learns nothing."""
    median_edit_seconds: float
    """An edit: its batch's time, shared equally."""
    median_score_seconds: float
    """Judging an edit on its group and on D_l."""
    peak_memory_mb: float | None
    """Of the process, MiB; on CUDA, of the device. None where the system does not give it."""


class NoiseFloor(_Section):
    """Predictions that change between the full forward and the tail under equal weights: no edit at all."""

    flips: int
    """Predictions that changed."""
    images: int
    """Images compared: D_l and the first group."""


class OutcomeSection(_Section):
    """The per-edit outcomes beside the record."""

    sha256: str
    """Hash over both tables' values, times left out."""
    edits: int
    """Edits that were made and judged."""
    failed: int
    """Edits without a model; they count as wrong everywhere."""
    median_steps: float
    """Steps of an edit."""
    called: int
    """Edits that were judged by calling the module that the editor returned, as it is."""
    judged_by_editor: int | None = None
    """Edits whose models could not leave the editor's process, which answered for them; None in records from before."""


class Score(_Section):
    """A point value, with the ends of its 95 % interval."""

    value: float | None
    """As a share; None where nothing defines it."""
    low: float | None = None
    """None where no interval is computed."""
    high: float | None = None
    """None where no interval is computed."""

    @field_validator("value", "low", "high")
    @classmethod
    def _no_nan(cls, number: float | None) -> float | None:
        return None if number is None or math.isnan(number) else number


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


class Record(_Section):
    """One editor, one base model, one benchmark, one setting."""

    schema_version: int = SCHEMA_VERSION
    """Of this file."""
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
    outcomes: OutcomeSection
    """Counts and hash of the outcomes of all edits."""
    scores: dict[str, Score]
    """Scores by name (`leaderboard.scores.metrics.scores`)."""

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
        it.
        """
        base, data, protocol = self.base, self.data, self.protocol
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
            precision=protocol.precision,
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
    """Read a record. Raises `UserError` for a file that is none, or of another schema."""
    try:
        return Record.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (ValidationError, json.JSONDecodeError, UnicodeDecodeError) as error:
        lines = str(error).splitlines()
        raise UserError(f"{path} is no record of this version: {' '.join(lines[:3])}") from error
