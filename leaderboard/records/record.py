"""The result record: one JSON file a run, and the only schema. Unknown keys are refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from benchmark.core.errors import UserError
from benchmark.core.files import write_text

SCHEMA_VERSION = 1
PROTOCOL = "1"  # rises when a score computed from the same edit would change


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="null")


class EditorFacts(_Part):
    """Which method, with which settings, having learned what."""

    name: str
    spec: str
    config: dict[str, Any]
    knob: str | None
    interpolate: float = 1.0
    source_sha256: str
    state_sha256: str | None
    provenance: dict[str, str] = {}


class BaseFacts(_Part):
    """Which model was edited, how images reach it, and its accuracy on D_l as measured in this run."""

    name: str
    weights_sha256: str
    preprocessing: dict[str, Any]
    locality_accuracy: float | None


class DataFacts(_Part):
    """Which images; `kept` says how many editing samples this base gets wrong, by subset."""

    name: str
    version: str
    fingerprint: str
    kept: str
    groups: int
    editing_samples: int
    locality_images: int


class Protocol(_Part):
    """Everything else that could change a score."""

    version: str = PROTOCOL
    precision: str
    device: str
    seed: int
    limit: int | None
    edited_groups: list[str] | None
    edit_batch: int
    score_batch: int
    samples_per_edit: int = 1


class Environment(_Part):
    """What it ran on."""

    versions: dict[str, str]
    commit: str | None
    dirty: bool | None
    device_name: str


class Costs(_Part):
    """Wall-clock seconds and peak memory of this run's last sitting."""

    fit_seconds: float
    median_edit_seconds: float
    median_score_seconds: float
    peak_memory_mb: float | None  # MiB; None where the system does not tell


class NoiseFloor(_Part):
    """Predictions that change between the full forward and the tail under equal weights: no edit at all."""

    flips: int
    images: int


class OutcomeFacts(_Part):
    """The per-edit outcomes beside the record. `failed` edits have no model and count as wrong everywhere."""

    sha256: str
    edits: int
    failed: int
    median_steps: float
    called: int


class Score(_Part):
    """A point value, with the ends of its 95 % interval where one is computed."""

    value: float | None
    low: float | None = None
    high: float | None = None

    @field_validator("value", "low", "high")
    @classmethod
    def _no_nan(cls, number: float | None) -> float | None:
        return None if number is None or math.isnan(number) else number


class Record(_Part):
    """One editor, one base model, one benchmark, one setting."""

    schema_version: int = SCHEMA_VERSION
    key: str
    created: str
    editor: EditorFacts
    base: BaseFacts
    data: DataFacts
    protocol: Protocol
    environment: Environment
    costs: Costs
    noise_floor: NoiseFloor
    outcomes: OutcomeFacts
    scores: dict[str, Score]

    def write(self, path: Path) -> None:
        """Write as JSON, atomically."""
        write_text(path, self.model_dump_json(indent=2) + "\n")


def read(path: Path) -> Record:
    """Read a record. Raises `UserError` for a file that is none, or of another schema."""
    try:
        return Record.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (ValidationError, json.JSONDecodeError, UnicodeDecodeError) as error:
        first = str(error).splitlines()
        raise UserError(f"{path} is no record of this version: {' '.join(first[:3])}") from error


def find(folders: list[Path]) -> list[tuple[Path, Record]]:
    """All records in or below these folders, in path order."""
    paths = sorted({path for folder in folders for path in folder.rglob("record.json")})
    return [(path, read(path)) for path in paths]
