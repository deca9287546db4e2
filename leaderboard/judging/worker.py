"""The process that an editor works in: it has the base, the editing samples and the training images, and no answers.

It takes requests, pickled by the judge, and answers with messages of `leaderboard.judging.wire`.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import fields, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from benchmark.core.devices import exact_float32
from benchmark.core.errors import UserError, message_line
from benchmark.models.load import BaseModel
from editors.core.base import TrainingImages, knob_of
from editors.core.edit import ModuleEdit, TailEdit
from editors.core.registry import ChosenEditor, choose
from leaderboard.judging.checks import BaseChanged, Surroundings
from leaderboard.judging.editing import EditorAtWork
from leaderboard.judging.sandbox import hide
from leaderboard.judging.seal import MISSING, Seal, shut_in
from leaderboard.judging.watch import Watch
from leaderboard.judging.wire import Message, encode_edit, pack

PROBED = 8  # numbers of which the probe consists: 0, 1, ...
SCALARS = (bool, int, float, str, type(None))


@exact_float32()
def serve(connection: Connection, hidden: Sequence[Path], seal: Seal | None = None) -> None:
    """Answer requests until the judge hangs up or is gone; files in `hidden` look empty here, where that is possible.

    With a `seal`, shut in, or else not at all. Ctrl-C is the judge's, who ends this process.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if seal is not None and not shut_in(seal):
        connection.send_bytes(pack({"error": MISSING, "kind": "for users"}))
        os._exit(0)
    worker = Worker(seal is not None or (bool(hidden) and hide(hidden)), Watch(hidden))
    tqdm.set_lock(threading.RLock())  # its own is a semaphore, which whoever ends by a kill leaves behind
    threading.Thread(target=_end_with_the_judge, daemon=True).start()
    try:
        while True:
            name, arguments = pickle.loads(connection.recv_bytes())
            connection.send_bytes(_answer(worker, name, arguments))
    except (EOFError, OSError):
        os._exit(0)  # threads of a stranger would keep it alive


def _end_with_the_judge() -> None:
    """Wait until the judge's process has ended, and end this one: a stranger's code may never come back to `serve`."""
    judge = multiprocessing.parent_process()
    assert judge is not None
    wait([judge.sentinel])
    os._exit(1)


def _answer(worker: Worker, name: str, arguments: tuple[Any, ...]) -> bytes:
    try:
        header, worker.sent = getattr(worker, name)(*arguments)
        return pack(header, worker.sent, worker.by_handle)
    except BaseException as error:
        header = {"error": f"{type(error).__name__}: {message_line(error)}", "kind": "unforeseen"}
        if isinstance(error, UserError):
            header = {"error": str(error)}
            header["kind"] = "changed base" if isinstance(error, BaseChanged) else "for users"
        elif isinstance(error, torch.OutOfMemoryError):
            header = {"error": str(error), "kind": "full memory"}
        return pack({**header, "traceback": "".join(traceback.format_exception(error))})


class Worker:
    """Answers to the judge, one method a request.

    is_hidden: whether the files that this process is not to see are hidden from it.
    watch: hears of those that it opens, empty or not.
    by_handle: whether tensors on a GPU cross by their handles.
    sent: tensors of the last answer, which must live until the judge has copied them: until it asks again.
    """

    def __init__(self, is_hidden: bool, watch: Watch) -> None:
        self._is_hidden, self._watch = is_hidden, watch
        self.by_handle = False
        self.sent: dict[str, Tensor] = {}
        self._editor: EditorAtWork | None = None
        self._kept: list[ModuleEdit | TailEdit] = []

    @property
    def editor(self) -> EditorAtWork:
        """The editor, once it was begun."""
        assert self._editor is not None
        return self._editor

    def describe(self, spec: str, base: str, settings: Path | None = None) -> Message:
        """A file's editor in words, its name and settings, without bringing its code to the judge."""
        chosen_editor = choose(spec, base, settings)
        values = {field.name: getattr(chosen_editor.config, field.name) for field in fields(chosen_editor.config)}
        plain = {name: value for name, value in values.items() if isinstance(value, SCALARS)}
        knob = knob_of(chosen_editor.config)
        described = {
            "name": chosen_editor.name,
            "file": str(chosen_editor.source),
            "values": {**plain, **{name: str(value) for name, value in values.items() if name not in plain}},
            "paths": [name for name, value in values.items() if isinstance(value, Path)],
            "fixed": [name for name, value in values.items() if not isinstance(value, (*SCALARS, Path))],
            "written": list(chosen_editor.written),
            "notes": list(chosen_editor.notes),
            "interpolate": chosen_editor.interpolate,
            "knob": [knob.name, list(knob.sweep)] if knob else None,
        }
        return described, {}

    def begin(
        self,
        chosen_editor: ChosenEditor | tuple[str, dict[str, Any]],
        base: BaseModel,
        settings: list[Any],
    ) -> Message:
        """Make the editor: a built-in's choice as it is, a stranger's by its file's spec and its config's values."""
        Surroundings.apply(settings)
        surroundings = Surroundings()
        if isinstance(chosen_editor, tuple):
            spec, values = chosen_editor
            chosen_editor = choose(spec, base.name)
            chosen_editor = replace(chosen_editor, config=replace(chosen_editor.config, **values))
            surroundings.restore()
        self._editor = EditorAtWork(chosen_editor, base)
        editor = self._editor
        begun = {"hidden": self._is_hidden, "one by one": editor.one_by_one, "edit at": editor.edit_at}
        return {**begun, "learns": editor.learns, "edits twice": editor.edits_twice}, {}

    def cross_by_handle(self, by_handle: bool) -> Message:
        """Let tensors on the GPU cross by handles, or no longer; the first to cross so is a probe."""
        self.by_handle = by_handle
        return {}, {"probe": torch.arange(PROBED, device=self.editor.base.device)}

    def fit(self, training: TrainingImages, seed: int) -> Message:
        """Let the editor learn."""
        return {"seconds": self.editor.fit(training, seed)}, {}

    def state_dict(self) -> Message:
        """Tensors that it learned."""
        return {}, self.editor.state_dict()

    def provenance(self) -> Message:
        """The origin of what it learned."""
        return {"provenance": self.editor.provenance()}, {}

    def edit(self, images: Tensor, labels: Tensor, seeds: Sequence[int], sample: str, alone: bool = False) -> Message:
        """Edits, each with its tensors under its number; those that stay here replace those of the last request."""
        self._kept.clear()
        edits = self.editor.edit(images, labels, seeds, sample, alone)
        base = self.editor.base.module
        encoded = [encode_edit(edit, self._keep, base, probes) for edit, probes in zip(edits, images, strict=True)]
        tensors = {f"{number}/{name}": value for number, (_, own) in enumerate(encoded) for name, value in own.items()}
        header = {"edits": [header for header, _ in encoded], "seconds": self.editor.seconds}
        return {**header, "put back": self.editor.put_back, "opened": self._watch.opened}, tensors

    def call(self, number: int, inputs: Tensor) -> Message:
        """The answer of an edited model that stayed here, whatever it is; the judge checks it."""
        logits = self.editor.call(self._kept[number], inputs)
        return {"device": str(logits.device)}, {"logits": logits}

    def check_base(self) -> Message:
        """Compare the base with what it was."""
        self.editor.check_base()
        return {}, {}

    def cpu_seconds(self) -> Message:
        """Seconds that the processor has worked for this process."""
        return {"seconds": time.process_time()}, {}

    def _keep(self, edit: ModuleEdit | TailEdit) -> int:
        self._kept.append(edit)
        return len(self._kept) - 1
