"""The sections of a result record, and the values that they may have.

Fields that later versions added are None in records from before; each says so.
"""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from leaderboard.records.samples import SHA256

FLOAT32 = "float32"  # precisions
TWO_PASS = "two-pass"
Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Section(BaseModel):
    """A part of a record; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="null")


class PackageSection(Section):
    """The installed package that an editor is from (`editors.core.installed`)."""

    name: str
    """The distribution's name, by which it is installed."""
    version: str
    """Its version."""
    files: dict[str, str]
    """SHA-256 of each of its files, by the package's own name for it."""


def first_problem(error: ValidationError) -> str:
    """The first field that does not fit, and why, in one short line; values are not shown."""
    problem = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, problem['loc']))} {problem['msg']}"[:300]


class EditorSection(Section):
    """The method, its settings, and the state that it learned."""

    name: str
    """The name of one of this project's or of an installed package's, or FILE.py:Class."""
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
    package: PackageSection | None = None
    """The package that it is from; None of this project's and of a file's, and in records from before."""
    state_sha256: str | None
    """Hash of what the editor learned before editing; None if it learns nothing."""
    provenance: dict[str, str] = {}
    """The origin of that state, in the editor's words; empty if it learns nothing."""


class BaseSection(Section):
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


class DataSection(Section):
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
    groups: Count
    """Groups that hold an editing sample."""
    editing_samples: Count
    """Samples that this base gets wrong; they can be edited."""
    locality_images: Count
    """|D_l|."""
    taken_images: Count | None = None
    """Images of `locality_taken` that this base gets right; None without that split, and in records from before."""
    far_images: Count | None = None
    """Those of `locality_far`; None as above."""


class Protocol(Section):
    """Everything else that could change a score."""

    version: str
    """Version of the rules that choose images and predictions; see `PROTOCOL`."""
    scoring: str = "1"
    """Version of the scores' computation; see `SCORING`. Older records lack it and mean "1"."""
    precision: str
    """The base's number format, such as float32; or two-pass: float32's verdicts, of which most came in TF32."""
    device: str
    """The kind of device: cpu, cuda or mps."""
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

    @property
    def number_format(self) -> str:
        """The base's own precision, however often an image is scored."""
        return FLOAT32 if self.precision == TWO_PASS else self.precision


class Environment(Section):
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


class AtOnce(Section):
    """The number of edits that were judged at once, as a run chose it when it began; verdicts are equal."""

    edits: Annotated[int, Field(ge=1)]
    """At most so many edits of one group, of the same weights; 1: one by one."""
    gain: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None
    """Times faster than one by one, as measured on the device; None where that was not, since one edit fills it."""


class Costs(Section):
    """Wall-clock seconds and peak memory of this run's last sitting."""

    fit_seconds: Seconds
    """Learning before the first edit; 0 for an editor that learns nothing."""
    median_edit_seconds: Seconds
    """An edit: its batch's time, shared equally."""
    median_score_seconds: Seconds
    """Judging an edit on its group, on D_l and on the other images that must not change."""
    peak_memory_mb: float | None
    """Of the process, MiB; on CUDA, of the device. None where the system does not give it."""
    at_once: AtOnce | None = None
    """Edits that were judged at once; None in records from before."""


class NoiseFloor(Section):
    """Predictions that change between the full forward and the tail under equal weights: no edit at all."""

    flips: Count
    """Predictions that changed."""
    images: Count
    """Images compared: those that the first edit is judged on; in records from before, D_l and the first group."""


class TwoPassSection(Section):
    """Counts of predictions that were made in TF32 first (`leaderboard.judging.two_pass`)."""

    bound: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """Images whose two highest logits were less apart were scored again in float32; the largest bound of the run."""
    images: Count
    """Predictions of edited models; the first few, by which the bound was measured, left out."""
    again: Count
    """Those that were scored again."""
    checked: Count
    """Others that were drawn and scored again as well."""
    disagreements: Count
    """Those of them whose class had changed; each raised the bound for what came after."""


class CheckSection(Section):
    """A line of an editor's check (`leaderboard.judging.trial`)."""

    name: str
    """The line's name."""
    passed: bool | None
    """None where it could not be told."""
    reason: str
    """Why it failed or could not be told; of a line that passed, what it rests on."""


class OutcomeSection(Section):
    """The per-edit outcomes beside the record."""

    sha256: str
    """Hash over both tables' values, times left out."""
    samples_sha256: Annotated[str, Field(pattern=f"^{SHA256}$")] | None = None
    """Hash over the values of the table of images alone, by which it is found; None in records from before."""
    edits: Count
    """Edits that were made and judged."""
    failed: Count
    """Edits without a model; they count as wrong everywhere."""
    failures: dict[str, Count] | None = None
    """Counts of the commonest reasons for failed edits; None in records from before."""
    median_steps: Annotated[float, Field(ge=0)]
    """Steps of an edit; 0 where nobody counted any."""
    called: Count
    """Edits that were judged by calling the module that the editor returned, as it is."""
    judged_by_editor: Count | None = None
    """Edits whose models could not leave the editor's process, which answered for them; None in records from before."""


class Score(Section):
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
