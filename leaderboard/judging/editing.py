"""An editor at work: made, fitted and asked for edits, while what it may not change is watched."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from benchmark.core.devices import wait
from benchmark.core.errors import UserError, first_line
from benchmark.models.load import BaseModel
from editors.core.base import Editor, TrainingImages, seed_everything
from editors.core.edit import Edit
from editors.core.modules import to_edit
from editors.core.registry import ChosenEditor
from leaderboard.judging.checks import Snapshot


class EditorAtWork:
    """One editor and the base that it edits, for one run.

    Whatever its code raises is one line that names it; `UserError` and a full memory pass as they are. After each
    call of it, what can be put back is put back, and a base that was changed ends the run.
    """

    def __init__(self, chosen_editor: ChosenEditor, base: BaseModel) -> None:
        self.chosen_editor, self.base = chosen_editor, base
        self.seconds = 0.0  # of what its code did last
        self._snapshot = Snapshot(base.module)
        with self._watched("when it was made"):
            self._editor = chosen_editor.make()

    def fit(self, training: TrainingImages, seed: int) -> float:
        """Let the editor learn from training images, if it wants to; seconds it took."""
        if type(self._editor).fit is Editor.fit:
            return 0.0
        with self._watched("in fit", full=True):
            seed_everything(seed)
            self._editor.fit(self.base.module, training)
        return self.seconds

    def state_dict(self) -> dict[str, Tensor]:
        """What the editor learned."""
        with self._watched("in state_dict"):
            return dict(self._editor.state_dict())

    def provenance(self) -> dict[str, str]:
        """Where that came from."""
        with self._watched("in provenance"):
            return dict(self._editor.provenance())

    def edit(self, images: Tensor, labels: Tensor, seeds: Sequence[int], sample: str) -> list[Edit]:
        """Edits of m failures, `images` (m, n, 3, H, W) and `labels` (m, n); `sample` names them in an error."""
        edits: list[Edit | nn.Module] = []
        seconds = 0.0
        one_by_one = type(self._editor).edit_many is Editor.edit_many
        for some in torch.arange(len(seeds)).split(1 if one_by_one else len(seeds)):
            with self._watched(f"at sample {sample}"):
                seed_everything(seeds[some[0]])
                mine = [seeds[row] for row in some]
                edits += self._editor.edit_many(self.base.module, images[some], labels[some], mine)
                wait(self.base.device)
            seconds += self.seconds
        if len(edits) != len(seeds):
            raise UserError(
                f"{self.chosen_editor.name}: edit_many returned {len(edits)} edits for {len(seeds)} samples"
            )
        with self._watched(f"at sample {sample}, in the model that it returned"):
            result = [to_edit(self.base.module, edit, probes) for edit, probes in zip(edits, images, strict=True)]
        self.seconds = seconds
        return result

    def close(self) -> None:
        """Nothing is held here that ends with a run."""

    def check_base(self) -> None:
        """Compare the whole base with what it was."""
        self._snapshot.compare(self.chosen_editor.name, full=True)

    @contextmanager
    def _watched(self, place: str, full: bool = False) -> Iterator[None]:
        """Run the editor's code in here."""
        start = time.perf_counter()
        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except UserError as error:
            name = self.chosen_editor.name
            raise error if str(error).startswith(name) else UserError(f"{name}: {error}") from error
        except (Exception, SystemExit) as error:
            raise UserError(_one_line(self.chosen_editor, place, error)) from error
        finally:
            self.seconds = time.perf_counter() - start
            self._snapshot.restore()
        self._snapshot.compare(self.chosen_editor.name, full)


def _one_line(chosen_editor: ChosenEditor, place: str, error: BaseException) -> str:
    """The editor, where it broke, and the last line of its own file that was being run."""
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(chosen_editor.source)]
    where = f" ({chosen_editor.source.name}, line {own[-1].lineno})" if own else ""
    return f"{chosen_editor.name} broke {place}: {type(error).__name__}: {first_line(error)}{where}"
