"""All that could change a score of a run: the key of its folder, and sections of its record."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from typing import Protocol as Interface

from torch import Tensor

from benchmark.core.code import hash_named_files, hash_sources
from benchmark.core.versions import library_versions
from benchmark.core.workdir import Kind
from benchmark.models.family import family_of
from benchmark.models.identity import hash_tensors
from editors.core.base import knob_of
from editors.core.registry import ChosenEditor
from leaderboard.judging.judge import Judge
from leaderboard.judging.sampling import Settings, edited_groups
from leaderboard.records.record import PROTOCOL, SCORING, Record
from leaderboard.records.sections import TWO_PASS, BaseSection, DataSection, EditorSection, PackageSection, Protocol
from leaderboard.scores import metrics

FACTS = "facts"
RUN = Kind("run", "run.json", identity=FACTS)
LONGEST = 100  # bytes of a folder's readable part; file systems take 255
JUDGING = Path(__file__).with_name("evaluate.py")  # imports all that judges


def slug(spec: str) -> str:
    """The readable part of a run's folder: an editor's spec, in characters that every file system takes.

    >>> slug("../a/my_editor.py:MyEditor:lr=0.1")
    'a-my_editor.py-MyEditor-lr=0.1'
    """
    safe = "".join(character if character.isalnum() or character in "-_.=" else "-" for character in spec)
    return safe.lstrip(".-").encode()[:LONGEST].decode(errors="ignore")


class Fitted(Interface):
    """An editor that has learned, in whichever process, as a run's key knows it."""

    def state_dict(self) -> dict[str, Tensor]:
        """See `editors.core.base.Editor`."""

    def provenance(self) -> dict[str, str]:
        """See `editors.core.base.Editor`."""


@dataclass(frozen=True)
class RunSpec:
    """Sections of a run's record that are known before it begins, and the code that it will run.

    code: a hash for each module that edits or judges, by name (`benchmark.core.code`).
    """

    editor: EditorSection
    base: BaseSection
    data: DataSection
    protocol: Protocol
    code: dict[str, str]

    @classmethod
    def of(
        cls,
        chosen_editor: ChosenEditor,
        editor: Fitted,
        judge: Judge,
        settings: Settings,
        edit_batch: int,
        in_process: bool = True,
    ) -> RunSpec:
        """The spec of editing with `editor`, made and fitted by `chosen_editor`."""
        sources = chosen_editor.sources
        family_file = Path(inspect.getfile(type(family_of(judge.base.module))))  # no import names it
        return cls(
            editor=_editor_section(chosen_editor, editor, hash_sources(sources)),
            base=base_section(judge),
            data=data_section(judge),
            protocol=_protocol(judge, settings, edit_batch, in_process),
            code=hash_sources([*sources, family_file, JUDGING]),
        )

    @property
    def fields(self) -> dict[str, Any]:
        """All of it as plain values, without the probe, which differs from machine to machine in its last digits,
        and without words on loading and the place of the data: identity and fingerprint hold all that matters of both.

        Where two runs differ, the first difference is what a user reads. So the settings stand first, then the
        code, and last what the editor learned from them.
        """
        learned = {"state_sha256", "provenance"}
        return {
            "editor": self.editor.model_dump(exclude={*learned, "source_sha256"}),
            "base": self.base.model_dump(exclude={"probe", "loading"}),
            "data": self.data.model_dump(exclude={"source"}),
            "protocol": self.protocol.model_dump(),
            "libraries": library_versions(),
            "code": self.code,
            "learned": self.editor.model_dump(include=learned),
        }

    @property
    def key(self) -> str:
        """Hex SHA-256 of the fields."""
        return digest(self.fields)

    @property
    def note(self) -> dict[str, Any]:
        """The note in its folder."""
        return {"key": self.key, FACTS: self.fields}


def own_folder(out: Path, run: RunSpec | Record) -> Path:
    """The folder below `out` that is this run's alone: its editor, readable, and the beginning of its key."""
    return out / f"{slug(run.editor.spec)}-{run.key[:8]}"


def _editor_section(chosen_editor: ChosenEditor, editor: Fitted, sources: dict[str, str]) -> EditorSection:
    state, knob, config = editor.state_dict(), knob_of(chosen_editor.config), dataclasses.asdict(chosen_editor.config)
    offer = chosen_editor.installed
    return EditorSection(
        name=chosen_editor.name,
        spec=chosen_editor.spec,
        config={name: str(value) if isinstance(value, Path) else value for name, value in config.items()},
        knob=knob.name if knob else None,
        interpolate=chosen_editor.interpolate,
        source_sha256=digest(sources),
        files=hash_named_files(config),
        package=PackageSection(name=offer.package, version=offer.version, files=offer.hashes()) if offer else None,
        state_sha256=hash_tensors(state) if state else None,
        provenance=editor.provenance(),
    )


def base_section(judge: Judge) -> BaseSection:
    """The edited model, as a record says it."""
    base = judge.base
    return BaseSection(
        name=base.name,
        identity=base.identity,
        weights_sha256=judge.weights_sha256(),
        loading=base.loading or None,
        preprocessing=base.preprocessing.to_dict(),
        probe=base.probe(),
        locality_accuracy=metrics.accuracy(judge.base_locality, judge.benchmark.locality.labels),
    )


def data_section(judge: Judge) -> DataSection:
    """The images that edits of this base are judged on, as a record says them."""
    benchmark = judge.benchmark
    return DataSection(
        name=benchmark.name,
        version=benchmark.version,
        source=benchmark.source or None,
        fingerprint=benchmark.fingerprint,
        kept=benchmark.kept_counts,
        groups=len(benchmark.groups),
        editing_samples=len(benchmark.edit),
        locality_images=len(benchmark.locality),
        taken_images=len(benchmark.locality_taken) if benchmark.locality_taken else None,
        far_images=len(benchmark.locality_far) if benchmark.locality_far else None,
    )


def _protocol(judge: Judge, settings: Settings, edit_batch: int, in_process: bool) -> Protocol:
    return Protocol(
        version=PROTOCOL,
        scoring=SCORING,
        precision=TWO_PASS if judge.two_pass else judge.base.precision,
        device=judge.base.device.type,
        seed=settings.seed,
        limit=settings.limit,
        edited_groups=edited_groups(judge.benchmark, settings),
        edit_batch=edit_batch,
        score_batch=judge.score_batch,
        samples_per_edit=settings.samples_per_edit,
        in_process=in_process,
        edit_timeout=settings.edit_timeout,
    )


def digest(plain: Any) -> str:
    """Hex SHA-256 of plain values: of all `RunSpec.fields`, a run's key."""
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
