"""The border: an editor works in another process than the judge, which takes nothing but tensors and plain values.

A stranger's code shares no memory with what judges it: its process is begun once a run (`leaderboard.judging.line`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, make_dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from benchmark.core.errors import UserError
from benchmark.models.load import BaseModel
from editors.core.base import Editor, TrainingImages
from editors.core.edit import Edit, FailedEdit
from editors.core.installed import InstalledEditor
from editors.core.modules import to_edit
from editors.core.registry import ChosenEditor, choose, installed_editor
from editors.core.third_party import split_file
from leaderboard.judging.checks import Surroundings
from leaderboard.judging.line import Line, start_server
from leaderboard.judging.seal import Seal
from leaderboard.judging.wire import METHODS, decode_edit
from leaderboard.judging.worker import PROBED

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ForeignChoice(ChosenEditor):
    """A stranger's editor as the judge knows it: described by its own process, and never imported here.

    request: what its process chooses it by, without settings.
    file: what holds it.
    fixed: settings that are no plain values and stay as the file has them.
    """

    request: str = ""
    file: Path = Path()
    fixed: tuple[str, ...] = ()

    @property
    def source(self) -> Path:
        """The file that the editor is written in."""
        return self.file

    @property
    def order(self) -> tuple[str, dict[str, Any]]:
        """The request that its process makes it of, and the config's values."""
        names = [setting.name for setting in fields(self.config) if setting.name not in self.fixed]
        return self.request, {name: getattr(self.config, name) for name in names}

    def make(self) -> Editor:
        """Refused: the judge does not run it."""
        raise UserError(f"{self.name} works in a process of its own only; choose it with editors.core.registry.choose")


class Border:
    """The way commands choose editors and let them work.

    hidden: files that an editor's process is not to see, where the system allows it.
    seal: shuts these processes in; where the system does not allow that, they do not run.
    """

    def __init__(self, hidden: Sequence[Path] = (), seal: Seal | None = None) -> None:
        self._hidden, self._seal = list(hidden), seal
        start_server()  # it imports while the command loads its data

    def choose(self, spec: str, base: str, settings: Path | None = None) -> ChosenEditor:
        """`editors.core.registry.choose`, but a stranger's file or package is imported in another process."""
        in_file, offer = split_file(spec), installed_editor(spec)
        if in_file is None and offer is None:
            return choose(spec, base, settings)
        with Line(in_file[0].name if in_file else spec.partition(":")[0], self._hidden, self._seal) as line:
            described, _ = line.ask("describe", spec, base, settings)
        return _foreign(in_file[0] if in_file else None, offer, described)

    def open(
        self, chosen_editor: ChosenEditor, base: BaseModel, edit_timeout: float | None = None
    ) -> EditorBehindBorder:
        """Start a process for one run of an editor, each of whose edits may take `edit_timeout` seconds."""
        return EditorBehindBorder(chosen_editor, base, self._hidden, edit_timeout, self._seal)


class EditorBehindBorder:
    """An `EditorAtWork` in a process of its own, with the same methods.

    An edit that takes too long ends that process, which alone stops any code, and has failed; the editor is made and
    fitted again for the next.
    hidden: whether that process cannot see the files it is not to see; False where there are none.
    """

    def __init__(
        self,
        chosen_editor: ChosenEditor,
        base: BaseModel,
        hidden: Sequence[Path],
        edit_timeout: float | None,
        seal: Seal | None = None,
    ) -> None:
        self.chosen_editor, self.base = chosen_editor, base
        self.seconds = 0.0
        self._hidden, self._edit_timeout, self._seal = hidden, edit_timeout, seal
        self._fitted_on: tuple[TrainingImages, int] | None = None
        self.put_back: list[str] = []
        self.opened: list[str] = []
        self._begin()

    def _begin(self) -> None:
        self._line = Line(self.chosen_editor.name, self._hidden, self._seal)
        try:
            begun, _ = self._line.ask("begin", _order(self.chosen_editor), self.base, Surroundings.settings())
        except BaseException:
            self.close()
            raise
        self.hidden, self.one_by_one = bool(begun["hidden"]), bool(begun["one by one"])
        self.edit_at, self.learns = str(begun["edit at"]), bool(begun["learns"])
        self.edits_twice = bool(begun["edits twice"])
        self.by_handle = self._cross_by_handle()

    def _cross_by_handle(self) -> bool:
        """Try whether tensors can cross without a copy to the host: on a GPU, and where the platform allows it."""
        if self.base.device.type != "cuda":
            return False
        try:
            probe = self._line.ask("cross_by_handle", True)[1]["probe"]
            if probe.is_cuda and probe.tolist() == list(range(PROBED)):
                return True
        except UserError as error:
            log.info("%s: edits are copied to the host and back (%s)", self.chosen_editor.name, error)
        self._line.ask("cross_by_handle", False)
        return False

    def fit(self, training: TrainingImages, seed: int) -> float:
        """Let the editor learn from training images, if it wants to; seconds it took."""
        self._fitted_on = training, seed
        return float(self._line.ask("fit", training, seed)[0]["seconds"])

    def state_dict(self) -> dict[str, Tensor]:
        """Tensors that the editor learned."""
        return self._line.ask("state_dict")[1]

    def provenance(self) -> dict[str, str]:
        """The origin of what it learned."""
        answer = self._line.ask("provenance")[0]["provenance"]
        return {str(name): str(value) for name, value in answer.items()}

    def edit(
        self, images: Tensor, labels: Tensor, seeds: Sequence[int], sample: str, alone: bool = False
    ) -> list[Edit]:
        """See `EditorAtWork.edit`."""
        limit = self._edit_timeout and self._edit_timeout * len(seeds)
        try:
            header, tensors = self._line.ask("edit", images, labels, list(seeds), sample, alone, within=limit)
        except TimeoutError:
            self.close()
            self._begin()
            if self._fitted_on:
                self._line.ask("fit", *self._fitted_on)
            self.seconds = limit or 0.0
            return [FailedEdit(f"took more than {self._edit_timeout:g} s")] * len(seeds)
        self.seconds = float(header["seconds"])
        self.put_back, self.opened = [[str(name) for name in header[key]] for key in ("put back", "opened")]
        own: list[dict[str, Tensor]] = [{} for _ in header["edits"]]
        for key, value in tensors.items():
            number, _, name = key.partition("/")
            own[int(number)][name] = value
        with self._line.understood():
            edits = [
                decode_edit(each, held, self.base.module, self._call)
                for each, held in zip(header["edits"], own, strict=True)
            ]
        if len(edits) != len(seeds):
            raise UserError(f"{self.chosen_editor.name}: its process gave {len(edits)} edits for {len(seeds)} samples")
        try:
            return [to_edit(self.base.module, edit, probes) for edit, probes in zip(edits, images, strict=True)]
        except UserError as error:
            raise UserError(f"{self.chosen_editor.name}: {error}") from error

    def check_base(self) -> None:
        """Compare the whole base with what it was."""
        self._line.ask("check_base")

    def cpu_seconds(self) -> float:
        """Seconds that the processor has worked for its process, since that was forked."""
        return float(self._line.ask("cpu_seconds")[0]["seconds"])

    def close(self) -> None:
        """End the process."""
        self._line.close()

    def _call(self, number: int, inputs: Tensor) -> Tensor:
        try:
            header, tensors = self._line.ask("call", number, inputs, within=self._edit_timeout)
        except TimeoutError:
            raise UserError(
                f"its edited model took more than {self._edit_timeout:g} s for {len(inputs)} images"
            ) from None
        return tensors["logits"].to(header["device"]) if header["device"] != "meta" else tensors["logits"].to("meta")


def _order(chosen_editor: ChosenEditor) -> ChosenEditor | tuple[str, dict[str, Any]]:
    """The request for an editor: a choice that comes with this project as it is, a file's by its spec and values."""
    if isinstance(chosen_editor, ForeignChoice):
        return chosen_editor.order
    editor_class = chosen_editor.editor_class
    if editor_class.__module__.startswith(METHODS):
        return chosen_editor
    if chosen_editor.installed:
        return chosen_editor.name, dict(vars(chosen_editor.config))
    return f"{chosen_editor.source}:{editor_class.__qualname__}", dict(vars(chosen_editor.config))


def _foreign(file: Path | None, offer: InstalledEditor | None, described: dict[str, Any]) -> ForeignChoice:
    """The chosen_editor that a stranger's process described, of a file or a package, with a stand-in for its config."""
    values = {name: Path(value) if name in described["paths"] else value for name, value in described["values"].items()}
    knob, sweep = described["knob"] or (None, ())
    settings = [
        (name, type(value), field(default=value, metadata={"sweep": tuple(sweep)} if name == knob else {}))
        for name, value in values.items()
    ]
    config = make_dataclass("Config", settings, frozen=True)
    name = str(described["name"])
    return ForeignChoice(
        name,
        type("Foreign", (Editor,), {"Config": config}),
        config(),
        tuple(described["written"]),
        tuple(described["notes"]),
        interpolate=described["interpolate"],
        installed=offer,
        request=f"{file}:{name.rpartition(':')[2]}" if file else name,
        file=file or Path(described["file"]),
        fixed=tuple(described["fixed"]),
    )
