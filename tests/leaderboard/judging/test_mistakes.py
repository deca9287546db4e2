"""Mistakes of who writes a first editor: each is one line that names its place and says what to write instead."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import indent

import pytest
import torch

from benchmark.core.errors import UserError
from benchmark.data.dataset import Benchmark
from benchmark.models.load import BaseModel
from editors.core.base import TrainingImages
from editors.core.registry import choose
from leaderboard.judging.editing import EditorAtWork

HEAD = """import copy
from dataclasses import dataclass
import torch
import torch.nn.functional as F
from editors import Editor, ModuleEdit, TailEdit, WeightEdit, knob


@dataclass(frozen=True)
class Config:
    lr: float = 0.1


class MyEditor(Editor):
"""
PLACE = "(my_editor.py, line {line})"
FROZEN = "the model is frozen: call edited.requires_grad_() on the copy, and train it outside torch.no_grad()"
TRAINING = "training images have len(training), training.labels and training.images(rows), rows such as range(64)"
# name: the body of edit, the line of it that is named from 1 (0 is the def's own), and what the message ends with
EDITS = {
    "no return": ("copy.deepcopy(model)", 0, "not NoneType; is its return missing? "),
    "logits": ("return model(images)", 0, "not Tensor; return the changed copy itself, not its logits "),
    "a state dict": (
        "return model.state_dict()",
        0,
        "from parameter names to tensors is WeightEdit(overrides) ",
    ),
    "a pair": ("return model, 3", 0, "number of steps as WeightEdit(overrides, steps) "),
    "a plain SGD": (
        "edited = copy.deepcopy(model)\n"
        "optimizer = torch.optim.SGD(edited.parameters(), lr=0.1)\n"
        "F.cross_entropy(edited(images), labels).backward()",
        3,
        FROZEN,
    ),
    "no parameters": (
        "torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)",
        1,
        FROZEN,
    ),
    "no grad": ("for p in model.parameters(): p - p.grad", 1, "the loss does not reach has no grad; leave it out"),
    "a leaf": ("copy.deepcopy(model).requires_grad_().norm.weight.add_(1)", 1, "change weights under torch.no_grad()"),
    "one more axis": ("model(images[None])", 1, "images are (n, 3, H, W) and labels (n,) already"),
    "a half": ("copy.deepcopy(model).half()(images)", 1, "leave the copy in torch.float32"),
    "no Config": ("self.config.lr", 1, "name it in the class: Config = ..."),
    "self.lr": ("self.lr", 1, "if it is a setting, write self.config.lr"),
    "no cut": ("TailEdit(model)", 1, "write cut=Cut(block), with: from editors import Cut"),
    "not imported": ("Cut(3)", 1, "write: from editors import Cut"),
    "a list": ("WeightEdit([images])", 1, "must be a dict from names to tensors, not list "),
    "a function": ("ModuleEdit(len)", 1, "must be a torch.nn.Module, not builtin_function_or_method "),
    "a name": ("return WeightEdit({'haed.bias': images})", 0, 'called "haed.bias"; did you mean "head.bias"? '),
    "a shape": (
        "return WeightEdit({'head.weight': model.head.weight.T})",
        0,
        "head.weight must be torch.float32 (1000, 24) on cpu, not torch.float32 (24, 1000) on cpu ",
    ),
    "a width": (
        "return WeightEdit({'blocks.1.mlp.fc1.weight': torch.zeros(7, 24)})",
        0,
        "blocks.1.mlp has fc1.weight (7, 24), fc1.bias (96,), fc2.weight (24, 96), which do not fit together; "
        "override all of them ",
    ),
    "in place": (
        "model.head.bias.data += 1\nreturn model",
        0,
        "work on a copy, such as copy.deepcopy(model), and leave the base alone",
    ),
    "an assertion": ("assert images.ndim == 3", 1, "12 a: AssertionError "),
}
FITS = {
    "iterated": ("for image in training: pass", TRAINING),
    "indexed": ("training[0]", TRAINING),
    "an attribute": ("training.images.mean()", TRAINING),
    "no rows": ("training.images()", TRAINING),
    "a slice": ("training.images(slice(4))", TRAINING),
    "a row too many": ("training.images([1000])", "IndexError: rows 1000 to 1000 of 2 training images "),
    "a setting": ("self.config.lr = 1", "settings stay as they are; keep on self what changes"),
}
FILES = {
    "Config a dict": ("Config = {}", "Config must be a frozen dataclass, not an object of type dict; write @dataclass"),
    "Config a class": (
        "class Config: lr = 1",
        "a frozen dataclass, not a plain class; write @dataclass",
    ),
    "Config not frozen": ("@dataclass\nclass Config: pass", "not one that can change; write @dataclass"),
    "a knob outside": ("lr = knob(0.1, sweep=(0.1,))", "lr is a setting outside Config; write @dataclass"),
    "no type": ("@dataclass(frozen=True)\nclass Config: lr = 0.1", "Config.lr has no type, so it is no setting"),
    "a knob without type": (
        "@dataclass(frozen=True)\nclass Config: lr = knob(0.1, sweep=(0.1,))",
        "(my_editor.py, line 14); write lr: float = knob(...)",
    ),
    "two knobs": (
        "@dataclass(frozen=True)\nclass Config:\n    a: int = knob(1, sweep=(1,))\n    b: int = knob(1, sweep=(1,))",
        "a and b are both made by knob, and a sweep varies one",
    ),
    "no sweep": ("x = knob(0.1)", "knob(0.1, sweep=(0.05, 0.1, 0.2)) (my_editor.py, line 14)"),
    "a number": ("x = knob(0.1, sweep=0.1)", "knob(0.1, sweep=(0.05, 0.1, 0.2)) (my_editor.py, line 14)"),
    "words": ("x = knob('a', sweep=('a', 'b'))", "knob(0.1, sweep=(0.05, 0.1, 0.2)) (my_editor.py, line 14)"),
    "__init__": ("def __init__(self, lr, n=1): pass", "must be __init__(self, config), not __init__(self, lr, n=1); "),
    "async": ("async def edit(self, model, images, labels): pass", "edit must be a plain function; write def, without"),
    "yield": ("def edit(self, model, images, labels): yield", "edit must be a plain function; write return, not yield"),
    "no method": ("edit = Editor.edit", "lacks the method edit; write: def edit(self, model, images, labels)"),
    "no module": ("import not_there", "install what holds it, or put not_there.py beside the editor's file"),
}


def work(folder: Path, base: BaseModel, body: str) -> EditorAtWork:
    (folder / "my_editor.py").write_text(f"{HEAD}{indent(body, '    ')}\n")
    return EditorAtWork(choose(f"{folder / 'my_editor.py'}:MyEditor", "small"), base)


def one_line(error: pytest.ExceptionInfo[UserError], name: str) -> str:
    message = str(error.value)
    assert re.match(rf"(\S+/)?{re.escape(name)}", message) and "\n" not in message
    return message


@pytest.mark.parametrize("name", EDITS)
def test_a_mistake_in_edit(base: BaseModel, tmp_path: Path, name: str) -> None:
    body, line, words = EDITS[name]
    editor = work(tmp_path, base, f"def edit(self, model, images, labels):\n{indent(body, '    ')}")
    with pytest.raises(UserError) as raised:
        editor.edit(torch.zeros(1, 1, 3, 32, 32), torch.tensor([[3]]), [0], "12 a")
    message, place = one_line(raised, "my_editor.py:MyEditor"), PLACE.format(line=14 + line)
    assert place in message and message.endswith(words + place if words.endswith(" ") else words), message


@pytest.mark.parametrize("name", FITS)
def test_a_mistake_in_fit(base: BaseModel, tmp_path: Path, name: str, small_benchmark: Benchmark) -> None:
    body, words = FITS[name]
    methods = (
        f"Config = Config\ndef edit(self, model, images, labels): pass\ndef fit(self, model, training):\n    {body}"
    )
    training = TrainingImages(lambda: small_benchmark.edit.take([0, 1]), base.preprocessing, base.device)
    with pytest.raises(UserError) as raised:
        work(tmp_path, base, methods).fit(training, 0)
    message, place = one_line(raised, "my_editor.py:MyEditor broke in fit: "), PLACE.format(line=17)
    assert message.endswith(words + place if words.endswith(" ") else f"{place}; {words}"), message


@pytest.mark.parametrize("name", FILES)
def test_a_mistake_that_is_known_before_any_edit(base: BaseModel, tmp_path: Path, name: str) -> None:
    body, words = FILES[name]
    with pytest.raises(UserError) as raised:
        work(tmp_path, base, f"{body}\n" if "edit" in body else f"{body}\ndef edit(self, model, images, labels): pass")
    assert words in one_line(raised, str(tmp_path / "my_editor.py")), str(raised.value)
