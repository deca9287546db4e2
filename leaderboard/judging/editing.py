"""An editor at work: made, fitted and asked for edits, while what it may not change is watched."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor

from benchmark.core.blame import defined_at, located, raised_at
from benchmark.core.chunks import Chunks
from benchmark.core.crash import is_out_of_memory
from benchmark.core.devices import wait
from benchmark.core.errors import UserError
from benchmark.models.load import BaseModel
from benchmark.models.vit import edits_that_fit
from editors.core.base import BatchEditor, Editor, TrainingImages, seed_everything
from editors.core.edit import Edit, ModuleEdit, TailEdit
from editors.core.mistakes import explained
from editors.core.modules import to_edit
from editors.core.registry import ChosenEditor
from leaderboard.judging.checks import Snapshot

T = TypeVar("T")
MOST = 2**31  # edits at once, where memory sets no bound


class EditorAtWork:
    """One editor and the base that it edits, for one run.

    Whatever its code raises is one line that names it; `UserError` and a full memory pass as they are. After each
    call of it, what can be put back is put back, and a base that was changed ends the run.

    put_back: names of settings that its code left otherwise than it found them, and that can move a prediction.
    opened: files of what is scored that its process opened, as far as that is heard; nothing is, in the judge's own.
    """

    def __init__(self, chosen_editor: ChosenEditor, base: BaseModel) -> None:
        self.chosen_editor, self.base = chosen_editor, base
        self.seconds = 0.0  # of what its code did last
        self.hidden = False  # are the files of what is scored, from its process
        self.put_back: list[str] = []
        self.opened: list[str] = []
        self._chunks = Chunks()
        self._snapshot = Snapshot(base.module)
        with self._watched("__init__", "when it was made"):
            self._editor = chosen_editor.make()

    @property
    def one_by_one(self) -> bool:
        """True if it makes one edit after the other, so that a caller loses nothing by asking for one at a time."""
        return type(self._editor).edit_many is Editor.edit_many

    @property
    def learns(self) -> bool:
        """True if it learns from training images."""
        return type(self._editor).fit is not Editor.fit

    @property
    def edits_twice(self) -> bool:
        """True if both `edit` and `edit_many` are its own, so that they could make different edits."""
        own = type(self._editor)
        return own.edit_many is not Editor.edit_many and own.edit is not BatchEditor.edit

    @property
    def edit_at(self) -> str:
        """File and line of the code that makes its edits, in brackets; empty for an editor of this project."""
        return self._method_at("edit" if self.one_by_one else "edit_many")

    def fit(self, training: TrainingImages, seed: int) -> float:
        """Let the editor learn from training images, if it wants to; seconds it took."""
        if not self.learns:
            return 0.0
        with self._watched("fit", "in fit", full=True):
            seed_everything(seed)
            self._editor.fit(self.base.module, training)
        return self.seconds

    def state_dict(self) -> dict[str, Tensor]:
        """Tensors that the editor learned."""
        with self._watched("state_dict", "in state_dict"):
            return _checked("state_dict", self._editor.state_dict(), Tensor)

    def provenance(self) -> dict[str, str]:
        """The origin of what it learned."""
        with self._watched("provenance", "in provenance"):
            return _checked("provenance", self._editor.provenance(), str)

    def edit(
        self, images: Tensor, labels: Tensor, seeds: Sequence[int], sample: str, alone: bool = False
    ) -> list[Edit]:
        """Edits of m failures, `images` (m, n, 3, H, W) and `labels` (m, n); `sample` names them in an error.

        `alone`: by its `edit`, one after the other, though it has an `edit_many`.
        """
        method = "edit" if self.one_by_one or alone else "edit_many"
        edit_many = partial(Editor.edit_many, self._editor) if alone else self._editor.edit_many

        def edit_some(part: slice) -> tuple[int, Any]:
            seed_everything(seeds[part.start])
            edits = edit_many(self.base.module, images[part], labels[part], seeds[part])
            wait(self.base.device)
            return part.stop - part.start, edits

        self._chunks.size = self._chunks.size or edits_that_fit(self.base.module, self.base.device, MOST)
        with self._watched(method, f"at sample {sample}"):
            parts = self._chunks.run(edit_some, len(seeds))
        seconds = self.seconds
        with self._watched(method, f"at sample {sample}, in what it returned"):
            for count, edits in parts:
                if not isinstance(edits, Sequence) or len(edits) != count:
                    shown = f"{len(edits)} edits" if isinstance(edits, Sequence) else type(edits).__name__
                    raise UserError(f"edit_many returned {shown} for {count} samples")
            made = [edit for _, edits in parts for edit in edits]
            result = [to_edit(self.base.module, edit, probes) for edit, probes in zip(made, images, strict=True)]
        self.seconds = seconds
        return result

    def call(self, edit: ModuleEdit | TailEdit, inputs: Tensor) -> Tensor:
        """The answer of an edited model that is no change of weights, whatever it is; the judge checks it."""
        model = edit.module if isinstance(edit, ModuleEdit) else edit.tail
        with self._watched("edit", "when the model that it returned was called", defined_at(model)), torch.no_grad():
            logits = model(inputs)
            if not isinstance(logits, Tensor):
                raise UserError(f"its edited model must return logits, not {type(logits).__name__}")
        return logits

    def close(self) -> None:
        """Nothing is held here that ends with a run."""

    def check_base(self) -> None:
        """Compare the whole base with what it was."""
        self._snapshot.compare(self.chosen_editor.name, full=True)

    def _method_at(self, name: str) -> str:
        return defined_at(getattr(self.chosen_editor.editor_class, name))

    @contextmanager
    def _watched(self, method: str, place: str, where: str = "", full: bool = False) -> Iterator[None]:
        """Run the editor's code in here; in an error, `where` is its line if the error itself has none."""
        start, name = time.perf_counter(), self.chosen_editor.name
        where = where or self._method_at(method)
        try:
            yield
        except KeyboardInterrupt:
            raise
        except UserError as error:
            message = str(error).removeprefix(f"{name}: ")
            raise UserError(f"{name}: {located(message, raised_at(error) or where)}") from error
        except BaseException as error:
            if is_out_of_memory(error):
                raise
            line = explained(error, self.chosen_editor.source, where)
            raise UserError(f"{name} broke {place}: {line}") from error
        finally:
            self.seconds = time.perf_counter() - start
            self.put_back = list(dict.fromkeys([*self.put_back, *self._snapshot.restore()]))
        self._snapshot.compare(name, full, where)


def _checked(method: str, returned: Any, kind: type[T]) -> dict[str, T]:
    """Return what `method` did, if that is a dict from names to values of one kind."""
    noun = "tensors" if kind is Tensor else "texts"
    if not isinstance(returned, Mapping):
        raise UserError(f"{method} must return a dict from names to {noun}, not {type(returned).__name__}")
    for name, value in returned.items():
        if not (isinstance(name, str) and isinstance(value, kind)):
            shown = f"{name!r:.50} of type {type(value).__name__}"
            raise UserError(f"{method} must return a dict from names to {noun}, but it holds {shown}")
    return dict(returned)
