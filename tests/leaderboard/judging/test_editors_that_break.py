"""Models that cannot be judged are one line that names the editor; what an edit draws at random comes from its seed."""

from __future__ import annotations

import copy
import random
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmark.core.errors import UserError
from benchmark.models.vit import Cut
from editors.core.base import Editor
from editors.core.edit import Edit, TailEdit, WeightEdit
from editors.core.registry import ChosenEditor
from leaderboard.judging.evaluate import evaluate
from leaderboard.judging.judge import Judge
from leaderboard.judging.sampling import Settings
from leaderboard.records import outcomes

pytestmark = pytest.mark.usefixtures("unhashed")


class Gives(nn.Module):
    """Answers with whatever `answer` makes of the images."""

    def __init__(self, answer: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, images: Tensor) -> object:
        return self.answer(images)


def half(model: nn.Module) -> nn.Module:
    return copy.deepcopy(model).half()


def tail(answer: Callable[[Tensor], object]) -> Callable[[nn.Module], TailEdit]:
    return lambda model: TailEdit(answer, Cut(3))  # type: ignore[arg-type]


BROKEN: dict[str, tuple[Callable[[nn.Module], Edit | nn.Module], str]] = {
    "half": (half, "cannot be called as the base can"),
    "a dict": (lambda model: Gives(lambda images: {"logits": images}), "must return .* not dict"),
    "ten classes": (lambda model: Gives(lambda images: torch.zeros(len(images), 10)), r"1000\) .*not .*, 10\)"),
    "many classes": (lambda model: Gives(lambda images: torch.zeros(len(images), 70_000)), r"not .*, 70000\)"),
    "one answer": (lambda model: Gives(lambda images: torch.zeros(1000)), r"not torch.float32 \(1000,\)"),
    "float64": (lambda model: Gives(lambda images: torch.zeros(len(images), 1000).double()), "not torch.float64"),
    "elsewhere": (lambda model: Gives(lambda images: torch.zeros(len(images), 1000, device="meta")), "on meta"),
    "it exits": (lambda model: Gives(lambda images: sys.exit(0)), "SystemExit"),
    "a tail of ten": (tail(lambda tokens: tokens[:, 0, :10]), r"not .*, 10\)"),
    "a half weight": (lambda model: WeightEdit({"head.bias": model.head.bias.half()}), "must be torch.float32"),
    "a shape": (lambda model: WeightEdit({"head.bias": torch.zeros(7)}), r"float32 \(1000,\) .*not .* \(7,\)"),
}


def run(judge: Judge, folder: Path, edit: Callable[[nn.Module], Edit | nn.Module]) -> outcomes.Outcomes:
    methods = {"edit": lambda self, model, images, labels: edit(model), "__module__": __name__}
    editor = type("Mine", (Editor,), methods)
    evaluate(ChosenEditor("Mine", editor, editor.Config()), judge, Settings(limit=4), folder, progress=False)
    return outcomes.read(folder)


@pytest.mark.parametrize("name", BROKEN)
def test_a_model_that_cannot_be_judged_is_one_line_that_names_the_editor(
    judge: Judge, tmp_path: Path, name: str
) -> None:
    edit, message = BROKEN[name]
    with pytest.raises(UserError, match=f"^Mine.*{message}") as raised:
        run(judge, tmp_path / "run", edit)
    assert "\n" not in str(raised.value)


def test_an_editors_own_line_is_named(judge: Judge, tmp_path: Path) -> None:
    def exits(model: nn.Module) -> nn.Module:
        sys.exit(3)

    line = exits.__code__.co_firstlineno + 1
    with pytest.raises(UserError, match=rf"^Mine broke at .*SystemExit: 3 \({Path(__file__).name}, line {line}\)"):
        run(judge, tmp_path / "run", exits)


def noisy(model: nn.Module) -> WeightEdit:
    noise = torch.from_numpy(np.random.randn(1000)).float()  # noqa: NPY002
    noise = noise * (1 + random.random()) + torch.randn(1000)
    return WeightEdit({"head.bias": model.head.bias + noise})


def test_all_random_sources_are_seeded_for_every_edit(judge: Judge, tmp_path: Path) -> None:
    first = run(judge, tmp_path / "first", noisy)
    np.random.seed(7)  # noqa: NPY002
    random.seed(7)
    again = run(judge, tmp_path / "again", noisy)
    assert outcomes.digest(first) == outcomes.digest(again)
    assert len({tuple(row) for row in first.edits["locality_predictions"]}) > 1


def test_an_editor_that_changes_its_base_and_takes_it_back_in_the_next_edit(judge: Judge, tmp_path: Path) -> None:
    signs = iter([1, -1, 1, -1])

    def borrows(model: nn.Module) -> WeightEdit:
        model.head.bias.data += next(signs)
        return WeightEdit({})

    with pytest.raises(UserError, match=r"Mine changed the base model: head\.bias is not"):
        run(judge, tmp_path / "run", borrows)
