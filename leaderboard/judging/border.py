"""The border: an editor works in another process than the judge, which takes nothing but tensors and plain values.

The process is forked, once a run, from a server that imported everything and has seen no data. So a stranger's code
shares no memory with what judges it. Where there is no such server (Windows), a process is started anew.
"""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import sys
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, make_dataclass
from multiprocessing import forkserver
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from torch import Tensor

from benchmark.core.errors import UserError
from benchmark.models.load import BaseModel
from editors.core.base import Editor, TrainingImages
from editors.core.edit import Edit, FailedEdit
from editors.core.modules import to_edit
from editors.core.registry import ChosenEditor, choose
from leaderboard.judging.checks import Surroundings
from leaderboard.judging.wire import METHODS, Message, as_error, decode_edit, unpack
from leaderboard.judging.worker import serve


@dataclass(frozen=True)
class ForeignChoice(ChosenEditor):
    """A stranger's editor as the judge knows it: described by its own process, and never imported here.

    file: what holds it.
    fixed: settings that are no plain values and stay as the file has them.
    """

    file: Path = Path()
    fixed: tuple[str, ...] = ()

    @property
    def source(self) -> Path:
        """The file that the editor is written in."""
        return self.file

    @property
    def order(self) -> tuple[str, dict[str, Any]]:
        """The request that its process makes it of: the file's spec and the config's values."""
        names = [setting.name for setting in fields(self.config) if setting.name not in self.fixed]
        class_name = self.name.rpartition(":")[2]
        return f"{self.file}:{class_name}", {name: getattr(self.config, name) for name in names}

    def make(self) -> Editor:
        """Refused: the judge does not run it."""
        raise UserError(f"{self.name} works in a process of its own only; choose it with editors.core.registry.choose")


class Border:
    """The way commands choose editors and let them work.

    hidden: files that an editor's process is not to see, where the system allows it.
    """

    def __init__(self, hidden: Sequence[Path] = ()) -> None:
        self._hidden = list(hidden)
        _start_server()  # it imports while the command loads its data

    def choose(self, spec: str, base: str) -> ChosenEditor:
        """`editors.core.registry.choose`, but a stranger's file is imported in another process."""
        head, _, _ = spec.partition(":")
        if not head.endswith(".py"):
            return choose(spec, base)
        with Line(Path(head).name, self._hidden) as line:
            described, _ = line.ask("describe", spec, base)
        return _foreign(Path(head), described)

    def open(
        self, chosen_editor: ChosenEditor, base: BaseModel, edit_timeout: float | None = None
    ) -> EditorBehindBorder:
        """Start a process for one run of an editor, each of whose edits may take `edit_timeout` seconds."""
        return EditorBehindBorder(chosen_editor, base, self._hidden, edit_timeout)


class EditorBehindBorder:
    """An `EditorAtWork` in a process of its own, with the same methods.

    An edit that takes too long ends that process, which alone stops any code, and has failed; the editor is made and
    fitted again for the next.
    hidden: whether that process cannot see the files it is not to see; False where there are none.
    """

    def __init__(
        self, chosen_editor: ChosenEditor, base: BaseModel, hidden: Sequence[Path], edit_timeout: float | None
    ) -> None:
        self.chosen_editor, self.base = chosen_editor, base
        self.seconds = 0.0
        self._hidden, self._edit_timeout = hidden, edit_timeout
        self._fitted_on: tuple[TrainingImages, int] | None = None
        self._begin()

    def _begin(self) -> None:
        self._line = Line(self.chosen_editor.name, self._hidden)
        try:
            begun, _ = self._line.ask("begin", _order(self.chosen_editor), self.base, Surroundings.settings())
        except BaseException:
            self.close()
            raise
        self.hidden, self.one_by_one = bool(begun["hidden"]), bool(begun["one by one"])
        self.edit_at = str(begun["edit at"])

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

    def edit(self, images: Tensor, labels: Tensor, seeds: Sequence[int], sample: str) -> list[Edit]:
        """See `EditorAtWork.edit`."""
        limit = self._edit_timeout and self._edit_timeout * len(seeds)
        try:
            header, tensors = self._line.ask("edit", images, labels, list(seeds), sample, within=limit)
        except TimeoutError:
            self.close()
            self._begin()
            if self._fitted_on:
                self._line.ask("fit", *self._fitted_on)
            self.seconds = limit or 0.0
            return [FailedEdit(f"took more than {self._edit_timeout:g} s")] * len(seeds)
        self.seconds = float(header["seconds"])
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


class Line:
    """A process at work for `name`, and the line to it."""

    def __init__(self, name: str, hidden: Sequence[Path] = ()) -> None:
        self._name = name
        context = _start_server()
        self._connection, theirs = context.Pipe()
        self._process: BaseProcess = context.Process(target=serve, args=(theirs, hidden), daemon=True)  # type: ignore[attr-defined]
        with _without_main():
            self._process.start()
        theirs.close()

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, request: str, *arguments: Any, within: float | None = None) -> Message:
        """The answer to a request. Raises `UserError` for what went wrong there, and where the process died.

        Raises `TimeoutError` where it takes more than `within` seconds.
        """
        late = False
        try:
            self._connection.send_bytes(pickle.dumps((request, arguments)))
            late = not wait([self._connection, self._process.sentinel], within)
            answer = self._connection.recv_bytes() if self._connection.poll() else b""
        except (EOFError, OSError):
            answer = b""
        if late:
            raise TimeoutError
        if not answer:
            raise UserError(f"{self._name}: its process {self._end()} before it answered")
        with self.understood():
            header, tensors = unpack(answer)
        if "error" in header:
            raise as_error(header, self._name)
        return header, tensors

    @contextmanager
    def understood(self) -> Iterator[None]:
        """Turn what is no answer into a `UserError`."""
        try:
            yield
        except Exception as error:
            raise UserError(f"{self._name}: its process answered with what is no answer ({error})") from error

    def close(self) -> None:
        """Hang up, and end the process, whatever it is doing."""
        self._connection.close()
        self._process.kill()
        self._process.join()

    def _end(self) -> str:
        self._process.join(10)
        code = self._process.exitcode
        if code is None or code >= 0:
            return f"ended (exit code {code})"
        names = {number.value: number.name for number in signal.Signals}
        hint = "; out of memory?" if names.get(-code) == "SIGKILL" else ""
        return f"was ended by {names.get(-code, -code)}{hint}"


def _order(chosen_editor: ChosenEditor) -> ChosenEditor | tuple[str, dict[str, Any]]:
    """The request for an editor: a choice that comes with this project as it is, a file's by its spec and values."""
    if isinstance(chosen_editor, ForeignChoice):
        return chosen_editor.order
    editor_class = chosen_editor.editor_class
    if editor_class.__module__.startswith(METHODS):
        return chosen_editor
    return f"{chosen_editor.source}:{editor_class.__qualname__}", dict(vars(chosen_editor.config))


def _foreign(file: Path, described: dict[str, Any]) -> ForeignChoice:
    """The chosen_editor that a stranger's process described, with a stand-in for its config."""
    values = {name: Path(value) if name in described["paths"] else value for name, value in described["values"].items()}
    knob, sweep = described["knob"] or (None, ())
    settings = [
        (name, type(value), field(default=value, metadata={"sweep": tuple(sweep)} if name == knob else {}))
        for name, value in values.items()
    ]
    config = make_dataclass("Config", settings, frozen=True)
    return ForeignChoice(
        described["name"],
        type("Foreign", (Editor,), {"Config": config}),
        config(),
        tuple(described["written"]),
        interpolate=described["interpolate"],
        file=file,
        fixed=tuple(described["fixed"]),
    )


def _start_server() -> multiprocessing.context.BaseContext:
    """The way to start a process; where it is forked from a server, that is started if it is not there yet."""
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if "forkserver" in methods:
        context.set_forkserver_preload([serve.__module__, "timm"])  # a base is of its classes
        forkserver.ensure_running()
    return context


@contextmanager
def _without_main() -> Iterator[None]:
    """Hide the program's own script from multiprocessing, which would import it again in every new process."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
