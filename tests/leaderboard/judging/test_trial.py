"""Each line of an editor's check finds the fault that is planted for it, and that one alone."""

from __future__ import annotations

import copy
import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from benchmark.core.errors import UserError
from benchmark.data.dataset import scored_files
from editors.core.base import BatchEditor, Editor, seed_everything
from editors.core.edit import Edit, FailedEdit, ModuleEdit, WeightEdit
from editors.core.registry import ChosenEditor, built_in
from leaderboard.judging.batches import training_pool
from leaderboard.judging.border import Border
from leaderboard.judging.editing import EditorAtWork
from leaderboard.judging.evaluate import evaluate
from leaderboard.judging.judge import Judge
from leaderboard.judging.sampling import Settings
from leaderboard.judging.trial import FAMILY, SHORT, WHOLE, trial_batch, try_shortly, try_wholly
from leaderboard.records import record
from leaderboard.scores import tables

pytestmark = pytest.mark.usefixtures("unhashed")
BASE, SETTINGS, SEED, KEPT, BATCH, BOTH, FINITE, FIT = (name for name, _ in FAMILY)
WITHOUT_FIT = "it has no fit"


def lifted(model: nn.Module, label: Tensor, by: float) -> WeightEdit:
    """Other biases of the head, in which the right class is lifted."""
    bias = model.head.bias.clone()
    bias[label] += by
    return WeightEdit({"head.bias": bias})


class Fine(Editor):
    """Lifts by a number that all three sources of randomness give."""

    def edit(self, model: nn.Module, images: Tensor, labels: Tensor) -> Edit | nn.Module:
        by = random.random() + np.random.rand() + torch.rand(()).item()  # noqa: NPY002
        return lifted(model, labels[0], 5 + by)


class Remembers(Fine):
    """Keeps what does not change an edit: what it computed for an image before."""

    def __init__(self, config: object = None) -> None:
        super().__init__(config)
        self.seen: dict[float, Edit] = {}

    def edit(self, model: nn.Module, images: Tensor, labels: Tensor) -> Edit:
        return self.seen.setdefault(images.sum().item(), lifted(model, labels[0], 5))


class InBatches(BatchEditor):
    """Edits many at once, each with its own seed."""

    def edit_many(self, model: nn.Module, images: Tensor, labels: Tensor, seeds: Sequence[int]) -> list[Edit]:
        return [lifted(model, label[0], 5 + seed % 3) for label, seed in zip(labels, seeds, strict=True)]


class Fails(Fine):
    """Cannot edit some samples, which is no error."""

    def edit(self, model: nn.Module, images: Tensor, labels: Tensor) -> Edit:
        return FailedEdit("no") if labels[0] % 2 else lifted(model, labels[0], 5)


class Unseeded(Fine):
    def edit(self, model: nn.Module, images: Tensor, labels: Tensor) -> Edit:
        return lifted(model, labels[0], 5 + int.from_bytes(os.urandom(2), "big") / 2**16)


class OwnGenerator(Fine):
    def edit(self, model: nn.Module, images: Tensor, labels: Tensor) -> Edit:
        return lifted(model, labels[0], 5 + np.random.default_rng().random())


class Counts(Fine):
    edits = 0

    def edit(self, model: nn.Module, images: Tensor, labels: Tensor) -> Edit:
        self.edits += 1
        return lifted(model, labels[0], 5 + 0.1 * self.edits)


class GoesOn(Fine):
    """Edits what it edited before."""

    last: nn.Module | None = None

    def edit(self, model: nn.Module, images: Tensor, labels: Tensor) -> nn.Module:
        self.last = copy.deepcopy(self.last or model)
        self.last.head.bias.data[labels[0]] += 5
        return copy.deepcopy(self.last)


class Learns(Fine):
    """Its edits are the same, but what it learned is not."""

    learned = 0.0

    def edit(self, model: nn.Module, images: Tensor, labels: Tensor) -> Edit:
        self.learned += 1
        return lifted(model, labels[0], 5)

    def state_dict(self) -> dict[str, Tensor]:
        return {"learned": torch.tensor(self.learned)}


class OfTheBatch(InBatches):
    def edit_many(self, model: nn.Module, images: Tensor, labels: Tensor, seeds: Sequence[int]) -> list[Edit]:
        by = 5 + 10 * images.mean().item()
        return [lifted(model, label[0], by) for label in labels]


class OfThePlace(InBatches):
    def edit_many(self, model: nn.Module, images: Tensor, labels: Tensor, seeds: Sequence[int]) -> list[Edit]:
        return [lifted(model, label[0], 5 + place) for place, label in enumerate(labels)]


class OneSeed(InBatches):
    """Draws from the source that was seeded for the first sample."""

    def edit_many(self, model: nn.Module, images: Tensor, labels: Tensor, seeds: Sequence[int]) -> list[Edit]:
        return [lifted(model, label[0], 5 + torch.rand(()).item()) for label in labels]


class TwoWays(Fine):
    def edit_many(self, model: nn.Module, images: Tensor, labels: Tensor, seeds: Sequence[int]) -> list[Edit]:
        return [lifted(model, label[0], 7) for label in labels]


class BothAlike(Fine):
    def edit_many(self, model: nn.Module, images: Tensor, labels: Tensor, seeds: Sequence[int]) -> list[Edit]:
        edits = []
        for sample_images, sample_labels, seed in zip(images, labels, seeds, strict=True):
            seed_everything(seed)
            edits.append(self.edit(model, sample_images, sample_labels))
        return edits


class NotFinite(Fine):
    def edit(self, model: nn.Module, images: Tensor, labels: Tensor) -> Edit:
        return lifted(model, labels[0], float("nan"))


class Overflows(Fine):
    def edit(self, model: nn.Module, images: Tensor, labels: Tensor) -> Edit:
        raise OverflowError("math range error")


class NotFiniteLogits(Fine):
    def edit(self, model: nn.Module, images: Tensor, labels: Tensor) -> Edit:
        class Scaled(nn.Module):
            def forward(self, images: Tensor) -> Tensor:
                return model(images) * 1e38 * 1e38

        return ModuleEdit(Scaled())


class Mode(TorchFunctionMode):
    """Catches calls of torch's functions."""

    def __torch_function__(self, function, types, arguments=(), keywords=None):
        return function(*arguments, **(keywords or {}))


def after(change: Callable[[nn.Module], object]) -> type[Editor]:
    """An editor that changes something beside its edit."""

    def edit(self: Editor, model: nn.Module, images: Tensor, labels: Tensor) -> Edit:
        change(model)
        return lifted(model, labels[0], 5)

    return type("After", (Fine,), {"edit": edit, "__module__": __name__})


LEFT = {
    "training mode": (lambda model: model.train(), "the base's training mode"),
    "a part's mode": (lambda model: model.blocks[1].train(), "the base's training mode"),
    "dtype": (lambda model: torch.set_default_dtype(torch.float64), "torch's default dtype"),
    "grad": (lambda model: torch.set_grad_enabled(False), "torch's grad mode"),
    "threads": (lambda model: torch.set_num_threads(torch.get_num_threads() + 1), "torch's number of threads"),
    "float32": (lambda model: torch.set_float32_matmul_precision("medium"), "torch's precision of float32"),
    "deterministic": (lambda model: torch.use_deterministic_algorithms(True), "torch's deterministic mode"),
    "autocast": (lambda model: torch.set_autocast_enabled("cpu", True), "torch's autocast on cpu"),
    "attention": (lambda model: torch.backends.cuda.enable_math_sdp(False), "torch's math_sdp attention"),
    "mode": (lambda model: Mode().__enter__(), "torch's modes around its functions"),
    "device": (lambda model: torch.set_default_device("meta"), "torch's default device"),
}
CHANGED = {
    "weights": (lambda model: model.head.weight.data.mul_(1.001), "head.weight"),
    "buffers": (lambda model: model.blocks[0].register_buffer("extra", torch.ones(1)), "blocks.0.extra"),
    "a hook": (lambda model: model.blocks[2].register_forward_hook(lambda *_: None), "a hook of blocks.2"),
    "a module": (lambda model: setattr(model.blocks[3].mlp, "act", nn.ReLU()), "blocks.3.mlp.act"),
    "eps": (lambda model: setattr(model.norm, "eps", 0.1), "norm.eps"),
}
FAULTS: list[tuple[type[Editor], str]] = [
    (Unseeded, SEED), (OwnGenerator, SEED), (Counts, KEPT), (GoesOn, KEPT), (Learns, KEPT), (OfTheBatch, BATCH),
    (OfThePlace, BATCH), (OneSeed, BATCH), (TwoWays, BOTH), (NotFinite, FINITE), (Overflows, FINITE),
    (NotFiniteLogits, FINITE),
]  # fmt: skip


def tried(judge: Judge, editor_class: type[Editor]) -> dict[str, tuple[bool | None, str]]:
    """The lines of a whole trial."""
    chosen = ChosenEditor(editor_class.__name__, editor_class, editor_class.Config())

    def start() -> EditorAtWork:
        editor = EditorAtWork(chosen, judge.base)
        editor.fit(training_pool(judge), 0)
        return editor

    checks = try_wholly(start, judge, trial_batch(judge, Settings(), WHOLE))
    assert [check.name for check in checks] == [name for name, _ in FAMILY]
    return {check.name: (check.passed, check.reason) for check in checks}


def failing(lines: dict[str, tuple[bool | None, str]]) -> list[str]:
    return [name for name, (passed, _) in lines.items() if passed is False]


@pytest.mark.parametrize("editor_class", [Fine, Remembers, InBatches, Fails, BothAlike])
def test_an_editor_without_a_fault_passes(judge: Judge, editor_class: type[Editor]) -> None:
    lines = tried(judge, editor_class)
    assert [name for name, (passed, _) in lines.items() if not passed] == []
    is_random = editor_class in (Fine, InBatches, BothAlike)
    assert lines[SEED][1].endswith("; random, by its seed" if is_random else "; not random")
    assert ("some edits failed (no)" in lines[FINITE][1]) == (editor_class is Fails)


@pytest.mark.parametrize("editor_class, line", FAULTS)
def test_a_fault_fails_its_line_and_no_other(judge: Judge, editor_class: type[Editor], line: str) -> None:
    lines = tried(judge, editor_class)
    assert failing(lines) == [line] and lines[line][1]
    untold = [name for name, (passed, _) in lines.items() if passed is None]
    assert untold == {SEED: [KEPT, BATCH], KEPT: [BATCH]}.get(line, []) or editor_class in (Learns, Overflows)


@pytest.mark.parametrize("name", LEFT)
def test_what_was_left_otherwise_is_named_and_put_back(judge: Judge, name: str) -> None:
    change, shown = LEFT[name]
    lines = tried(judge, after(change))
    assert [line for line, (passed, _) in lines.items() if not passed] == [SETTINGS]
    assert lines[SETTINGS][1] == f"it left {shown} otherwise; put back"
    assert not judge.base.module.training and torch.get_default_dtype() == torch.float32 and torch.is_grad_enabled()
    assert torch._C._len_torch_function_stack() == 0 and torch.get_default_device().type == "cpu"


@pytest.mark.parametrize("name", CHANGED)
def test_a_base_that_was_changed_fails_its_line_and_ends_a_run(judge: Judge, name: str) -> None:
    change, shown = CHANGED[name]
    editor_class = after(change)
    lines = tried(judge, editor_class)
    assert failing(lines) == [BASE] and lines[BASE][1].startswith(f"{shown} is not as it was")
    assert {passed for line, (passed, _) in lines.items() if line != BASE} == {None}


@pytest.mark.parametrize("name", ["weights", "a hook"])
def test_before_a_run_a_changed_base_ends_it(judge: Judge, tmp_path: Path, name: str) -> None:
    editor_class = after(CHANGED[name][0])
    chosen = ChosenEditor("mine", editor_class, editor_class.Config())
    with pytest.raises(UserError, match="mine changed the base model"):
        evaluate(chosen, judge, Settings(limit=2), tmp_path / "run", progress=False, on_trial=True)


SHORTLY = [
    (Fine, []), (InBatches, []), (Fails, []), (Unseeded, [SEED]), (Counts, [SEED]), (OfTheBatch, [BATCH]),
    (OneSeed, [BATCH]), (TwoWays, [BOTH]), (NotFinite, [FINITE]), (after(LEFT["training mode"][0]), [SETTINGS]),
]  # fmt: skip


@pytest.mark.parametrize("editor_class, names", SHORTLY)
def test_in_short_few_edits_find_the_same_kinds(judge: Judge, editor_class: type[Editor], names: list[str]) -> None:
    editor = EditorAtWork(ChosenEditor("mine", editor_class, editor_class.Config()), judge.base)
    calls: list[int] = []
    edit = editor.edit
    editor.edit = lambda *words: (calls.append(len(words[2])), edit(*words))[1]  # type: ignore[method-assign]
    checks = try_shortly(editor, judge, trial_batch(judge, Settings(limit=1), SHORT))
    assert [check.name for check in checks if check.passed is False] == names
    assert sum(calls) == (3 if names in ([], [FINITE], [SETTINGS]) else 4 if names == [BOTH] else 5)


def test_a_run_records_its_checks_and_tables_name_what_failed(
    judge: Judge, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def run(editor_class: type[Editor], folder: str, **settings: bool) -> record.Record:
        chosen = ChosenEditor("mine", editor_class, editor_class.Config())
        evaluate(chosen, judge, Settings(limit=3), tmp_path / folder, progress=False, **settings)
        return record.read(tmp_path / folder / "record.json")

    result = run(OfTheBatch, "tried", on_trial=True)
    assert result.checks is not None and [check.passed for check in result.checks].count(False) == 1
    assert f"mine fails a check, and is scored nevertheless: {BATCH}" in caplog.text
    assert f"fails a check: {BATCH}" in tables.rows([result])[1][0]
    plain, fine = run(InBatches, "plain"), run(InBatches, "fine", on_trial=True)
    assert plain.checks is None and fine.checks is not None and all(check.passed for check in fine.checks)
    assert fine.outcomes == plain.outcomes, "the trial leaves no trace in the edits"


READS = """
from pathlib import Path
from editors import Editor, WeightEdit

class Reads(Editor):
    def fit(self, model, training):
        Path({file!r}).read_bytes()
    def edit(self, model, images, labels):
        return WeightEdit({{"head.bias": model.head.bias + 1}})

class Looks(Reads):
    def fit(self, model, training):
        training.images(range(2))
"""


@pytest.mark.parametrize("name, passed", [("Reads", False), ("Looks", True)])
def test_a_fit_that_opens_what_is_scored_is_heard(
    judge: Judge, small_data: Path, tmp_path: Path, name: str, passed: bool
) -> None:
    files = scored_files(str(small_data))
    (tmp_path / "reads.py").write_text(READS.format(file=str(files[0])))
    border = Border(files)
    chosen = border.choose(f"{tmp_path / 'reads.py'}:{name}", "small")

    def start() -> object:
        editor = border.open(chosen, judge.base)
        editor.fit(training_pool(judge), 0)
        return editor

    lines = {check.name: check for check in try_wholly(start, judge, trial_batch(judge, Settings(), WHOLE))}  # type: ignore[arg-type]
    others = [check.passed for line, check in lines.items() if line != FIT]
    assert others == [True] * len(others)
    if lines[FIT].passed is not None:  # this system hides files
        assert lines[FIT].passed is passed
    assert (files[0].name in lines[FIT].reason) == (not passed)


@pytest.mark.slow
@pytest.mark.parametrize("name", built_in())
def test_every_editor_of_this_project_passes_on_the_mini(name: str) -> None:
    from benchmark.data.dataset import load
    from benchmark.models.load import load_base

    judge = Judge(load_base("mini"), load("mini"))
    border = Border(scored_files("mini"))
    chosen = border.choose(name, "mini")

    def start() -> object:
        editor = border.open(chosen, judge.base)
        editor.fit(training_pool(judge), 0)
        return editor

    checks = try_wholly(start, judge, trial_batch(judge, Settings(), WHOLE))  # type: ignore[arg-type]
    assert [(check.name, check.reason) for check in checks if check.passed is False] == []
