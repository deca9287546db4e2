"""The process that an editor works in: it has the base, the editing samples and the training images, and no answers.

It takes requests, pickled by the judge, and answers with messages of `leaderboard.judging.wire`.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import fields, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmark.core.devices import exact_float32
from benchmark.core.errors import UserError
from benchmark.models.load import BaseModel
from editors.core.base import TrainingImages, knob_of
from editors.core.edit import Edit, ModuleEdit, TailEdit
from editors.core.registry import ChosenEditor, choose
from leaderboard.judging.checks import Surroundings
from leaderboard.judging.editing import EditorAtWork
from leaderboard.judging.sandbox import hide
from leaderboard.judging.wire import Message, encode_edit, pack

SCALARS = (bool, int, float, str, type(None))


@exact_float32()
def serve(connection: Connection) -> None:
    """Answer requests until the judge hangs up."""
    worker = Worker()
    try:
        while True:
            name, arguments = pickle.loads(connection.recv_bytes())
            connection.send_bytes(_answer(worker, name, arguments))
    except (EOFError, OSError, KeyboardInterrupt):  # the judge is gone, or the user is
        return


def _answer(worker: Worker, name: str, arguments: tuple[Any, ...]) -> bytes:
    try:
        header, tensors = getattr(worker, name)(*arguments)
        return pack(header, tensors)
    except torch.OutOfMemoryError as error:
        return pack({"error": str(error), "full memory": True})
    except UserError as error:
        return pack({"error": str(error)})
    except (Exception, SystemExit) as error:
        return pack({"error": f"its process broke: {type(error).__name__}: {error}"})


class Worker:
    """What the judge may ask, one method a request."""

    def __init__(self) -> None:
        self._editor: EditorAtWork | None = None
        self._kept: list[Edit] = []

    @property
    def editor(self) -> EditorAtWork:
        """The editor, once it was begun."""
        assert self._editor is not None
        return self._editor

    def describe(self, spec: str, base: str, hidden: Sequence[Path]) -> Message:
        """What a file's editor is called and how it is set, without bringing its code to the judge."""
        hide(hidden)
        chosen_editor = choose(spec, base)
        values = {field.name: getattr(chosen_editor.config, field.name) for field in fields(chosen_editor.config)}
        plain = {name: value for name, value in values.items() if isinstance(value, SCALARS)}
        knob = knob_of(chosen_editor.config)
        described = {
            "name": chosen_editor.name,
            "values": {**plain, **{name: str(value) for name, value in values.items() if name not in plain}},
            "paths": [name for name, value in values.items() if isinstance(value, Path)],
            "fixed": [name for name, value in values.items() if not isinstance(value, (*SCALARS, Path))],
            "written": list(chosen_editor.written),
            "interpolate": chosen_editor.interpolate,
            "knob": [knob.name, list(knob.sweep)] if knob else None,
        }
        return described, {}

    def begin(
        self,
        chosen_editor: ChosenEditor | tuple[str, dict[str, Any]],
        base: BaseModel,
        settings: list[Any],
        hidden: Sequence[Path],
    ) -> Message:
        """Make the editor: a built-in's choice as it is, a stranger's by its file's spec and its config's values."""
        is_hidden = hide(hidden)
        Surroundings.apply(settings)
        surroundings = Surroundings()
        if isinstance(chosen_editor, tuple):
            spec, values = chosen_editor
            chosen_editor = choose(spec, base.name)
            chosen_editor = replace(chosen_editor, config=replace(chosen_editor.config, **values))
            surroundings.restore()
        self._editor = EditorAtWork(chosen_editor, base)
        return {"hidden": is_hidden}, {}

    def fit(self, training: TrainingImages, seed: int) -> Message:
        """Let the editor learn."""
        return {"seconds": self.editor.fit(training, seed)}, {}

    def state_dict(self) -> Message:
        """What it learned."""
        return {}, self.editor.state_dict()

    def provenance(self) -> Message:
        """Where that came from."""
        return {"provenance": self.editor.provenance()}, {}

    def edit(self, images: Tensor, labels: Tensor, seeds: Sequence[int], sample: str) -> Message:
        """Edits, each with its tensors under its number; those that stay here replace those of the last request."""
        self._kept.clear()
        edits = self.editor.edit(images, labels, seeds, sample)
        encoded = [encode_edit(edit, self._keep) for edit in edits]
        tensors = {f"{number}/{name}": value for number, (_, own) in enumerate(encoded) for name, value in own.items()}
        return {"edits": [header for header, _ in encoded], "seconds": self.editor.seconds}, tensors

    def call(self, number: int, inputs: Tensor) -> Message:
        """The answer of an edited model that stayed here, whatever it is; the judge checks it."""
        edit = self._kept[number]
        assert isinstance(edit, (ModuleEdit, TailEdit))
        with torch.no_grad():
            logits = edit.module(inputs) if isinstance(edit, ModuleEdit) else edit.tail(inputs)
        if not isinstance(logits, Tensor):
            raise UserError(f"its edited model must return logits, not {type(logits).__name__}")
        return {"device": str(logits.device)}, {"logits": logits}

    def check_base(self) -> Message:
        """Compare the base with what it was."""
        self.editor.check_base()
        return {}, {}

    def _keep(self, edit: Edit) -> int:
        self._kept.append(edit)
        return len(self._kept) - 1
