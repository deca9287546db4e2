"""Other people's editors: each way to break is one line that names the editor, and the file and line of its code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmark.core.errors import UserError
from editors.core.registry import choose
from leaderboard.judging.border import Border
from leaderboard.judging.evaluate import evaluate
from leaderboard.judging.judge import Judge
from leaderboard.judging.sampling import Settings
from leaderboard.records import outcomes

pytestmark = pytest.mark.usefixtures("unhashed")

HEAD = """
import copy, os, signal, sys, time
from dataclasses import dataclass
import torch
from editors import Editor, WeightEdit
from editors.core.edit import TailEdit
from benchmark.models.vit import Cut

class Base(Editor):
    def edit(self, model, images, labels):  # edit
        return self.made(model, images)

class Answers(torch.nn.Module):
    def __init__(self, answer):
        super().__init__()
        self.answer = answer
    def forward(self, images):  # forward
        return self.answer(images)
"""
# name: the class's body, what its line says, and the marker of the line of its code that is named
CASES = {
    "sys.exit in an edit": ("def made(self, model, images): sys.exit(0)  # here", "SystemExit: 0", "here"),
    "sys.exit in fit": ("def fit(self, model, training): sys.exit(0)  # here", "broke in fit: SystemExit: 0", "here"),
    "an exception in __init__": (
        "def __init__(self, config=None): raise KeyError('a')  # here",
        "broke when it was made: KeyError",
        "here",
    ),
    "an exception in fit": ("def fit(self, model, training): 1 / 0  # here", "in fit: ZeroDivisionError", "here"),
    "an exception in edit": ("def made(self, model, images): images.nothing  # here", "AttributeError", "here"),
    "no error at all": ("def made(self, model, images): raise GeneratorExit  # here", "GeneratorExit", "here"),
    "an interrupt": ("def made(self, model, images): raise KeyboardInterrupt", "broke: KeyboardInterrupt", ""),
    "nothing": ("def made(self, model, images): return None", "must return an edit or a model, not NoneType", "edit"),
    "the base itself": ("def made(self, model, images): return model", "returned the base model itself", "edit"),
    "no parameter": ("def made(self, model, images): return WeightEdit({'a': images})", "no parameter", "edit"),
    "a shape": (
        "def made(self, model, images): return WeightEdit({'head.bias': torch.ones(7)})",
        r"the edit's head.bias must be torch.float32 \(1000,\) on cpu, not torch.float32 \(7,\) on cpu",
        "edit",
    ),
    "a head of ten": (
        "def made(self, model, images):\n"
        "        edited = copy.deepcopy(model)\n        edited.head = torch.nn.Linear(24, 10)\n        return edited",
        r"\(\d+, 1000\) on cpu, not torch.float32 \(\d+, 10\)",
        "edit",
    ),
    "steps": ("def made(self, model, images): return WeightEdit({}, steps=10**12)", "steps must be a whole", "edit"),
    "a cut": (
        "def made(self, model, images): return TailEdit(lambda tokens: tokens, Cut(99))",
        "cut must be at a block below 6, not 99",
        "edit",
    ),
    "an exception in forward": (
        "def made(self, model, images): return Answers(lambda images: images.nothing)  # here",
        "AttributeError",
        "here",
    ),
    "ten classes": (
        "def made(self, model, images): return Answers(lambda images: torch.zeros(len(images), 10))",
        r"\(\d+, 1000\) on cpu, not torch.float32 \(\d+, 10\)",
        "forward",
    ),
    "many classes": (
        "def made(self, model, images): return Answers(lambda images: torch.zeros(len(images), 70_000))",
        r"not torch.float32 \(\d+, 70000\)",
        "forward",
    ),
    "rows": ("def made(self, model, images): return Answers(lambda images: torch.zeros(1, 1000))", "not", "forward"),
    "half": (
        "def made(self, model, images): return Answers(lambda x: torch.zeros(len(x), 1000).half())",
        "float16",
        "forward",
    ),
    "a list": ("def made(self, model, images): return Answers(lambda images: [])", "logits, not list", "forward"),
    "a tail's rows": (
        "def made(self, model, images): return TailEdit(lambda t: t[:1, 0], Cut(2))  # here",
        r"\(\d+, 1000\) on cpu, not",
        "here",
    ),
    "another dropout": (
        "def made(self, model, images):\n"
        "        model.train().blocks[0].mlp.drop1.p = 0.5\n        return WeightEdit({})",
        "changed the base model: blocks.0.mlp.drop1.p is not as it was",
        "edit",
    ),
    "another eps": (
        "def made(self, model, images):\n        model.norm.eps = 1.0\n        return WeightEdit({})",
        "changed the base model: norm.eps is not as it was",
        "edit",
    ),
    "a head of zeros": (
        "def fit(self, model, training): model.head.weight.data.zero_()  # here",
        "changed the base model: head.weight is not as it was",
        "here",
    ),
    "a class": (
        "def made(self, model, images):\n"
        "        type(model.norm).extra_repr = lambda self: ''\n        return WeightEdit({})",
        r"changed the base model: timm.layers.norm.LayerNorm.extra_repr is not as it was",
        "edit",
    ),
}
IMPORTS = {
    "sys.exit": ("sys.exit(0)  # here", "cannot be imported: SystemExit: 0", "here"),
    "an error": ("{}['a']  # here", "cannot be imported: KeyError: 'a'", "here"),
    "no dataclass": ("Mine.Config = dict", "Config must be a frozen dataclass", ""),
    "no default": (
        "@dataclass(frozen=True)\nclass Config:\n    rate: float\nMine.Config = Config",
        "its Config cannot be made: TypeError: .*'rate'",
        "",
    ),
    "it refuses": (
        "@dataclass(frozen=True)\nclass Config:\n    rate: float = 1.0\n"
        "    def __post_init__(self): raise ValueError('no')  # here\nMine.Config = Config",
        "its Config cannot be made: ValueError: no",
        "here",
    ),
}


@pytest.fixture(scope="module")
def border() -> Border:
    return Border()


def write(folder: Path, body: str, after: str = "") -> str:
    file = folder / "mine.py"
    file.write_text(
        f"{HEAD}\nclass Mine(Base):\n    made = lambda self, model, images: WeightEdit({{}})\n    {body}\n{after}\n"
    )
    return f"{file}:Mine"


def expected(folder: Path, message: str, marker: str) -> str:
    """The pattern of the whole line."""
    lines = (folder / "mine.py").read_text().splitlines()
    number = next((at for at, line in enumerate(lines, 1) if line.endswith(f"# {marker}")), None)
    where = rf"\(mine.py, line {number}\)" if marker else ""
    return rf"^[^\n]*mine.py:?[^\n]*{message}[^\n]*{where}[^\n]*$"


@pytest.mark.parametrize("name", CASES)
def test_it_is_one_line_that_names_editor_file_and_line(
    judge: Judge, border: Border, tmp_path: Path, name: str
) -> None:
    body, message, marker = CASES[name]
    spec = write(tmp_path, body)
    with pytest.raises(UserError) as raised:
        evaluate(border.choose(spec, "small"), judge, Settings(limit=2), tmp_path / "run", False, border)
    assert re.search(expected(tmp_path, message, marker), str(raised.value)), str(raised.value)


@pytest.mark.parametrize("name", IMPORTS)
@pytest.mark.parametrize("in_process", [False, True])
def test_a_file_that_gives_no_editor_is_one_line(border: Border, tmp_path: Path, name: str, in_process: bool) -> None:
    after, message, marker = IMPORTS[name]
    spec = write(tmp_path, "pass", after)
    with pytest.raises(UserError) as raised:
        (choose if in_process else border.choose)(spec, "small")
    assert re.search(expected(tmp_path, message, marker), str(raised.value)), str(raised.value)


def test_an_edit_that_takes_too_long_has_failed_and_the_next_is_made(
    judge: Judge, border: Border, tmp_path: Path
) -> None:
    body = (
        "def fit(self, model, training): self.ready = True\n"
        "    def made(self, model, images):\n"
        "        signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"        late = os.path.exists({str(tmp_path / 'late')!r})\n"
        f"        open({str(tmp_path / 'late')!r}, 'w').close()\n"
        "        while not late: pass\n"
        "        return WeightEdit({'head.bias': model.head.bias.detach() + self.ready})\n"
    )
    choice = border.choose(write(tmp_path, body), "small")
    settings = Settings(limit=3, edit_timeout=2.0)
    result = evaluate(choice, judge, settings, tmp_path / "run", False, border)
    failures = outcomes.read(tmp_path / "run").edits["failure"]
    assert failures[0] == "took more than 2 s" and failures[1:].isna().all()
    assert (result.outcomes.failed, result.protocol.edit_timeout) == (1, 2.0)
    with pytest.raises(UserError, match=r"--edit-timeout .* leave --in-process out"):
        evaluate(choose("ft", "small"), judge, settings, tmp_path / "here", False)


def test_half_an_answer_holds_the_judge_no_longer_than_an_edit_may_take(
    judge: Judge, border: Border, tmp_path: Path
) -> None:
    body = (
        "def made(self, model, images):\n"
        "        import gc\n"
        "        from multiprocessing.connection import Connection\n"
        "        for line in [each for each in gc.get_objects() if isinstance(each, Connection) and not each.closed]:\n"
        "            os.write(line.fileno(), (1000).to_bytes(4, 'big') + b'half')\n"
        "        time.sleep(1000)\n"
    )
    choice = border.choose(write(tmp_path, body), "small")
    evaluate(choice, judge, Settings(limit=1, edit_timeout=1.0), tmp_path / "run", False, border)
    assert list(outcomes.read(tmp_path / "run").edits["failure"]) == ["took more than 1 s"]


def test_a_folder_that_it_goes_to_changes_nothing(judge: Judge, border: Border, tmp_path: Path) -> None:
    folder = Path.cwd()
    body = "def made(self, model, images):\n        os.chdir('/')\n        return WeightEdit({})\n"
    evaluate(
        border.choose(write(tmp_path, body, "os.chdir('/')"), "small"),
        judge,
        Settings(limit=2),
        tmp_path / "a",
        False,
        border,
    )
    evaluate(choose(write(tmp_path, body), "small"), judge, Settings(limit=2), tmp_path / "b", False)
    assert Path.cwd() == folder
    assert (tmp_path / "a" / "record.json").is_file() and (tmp_path / "b" / "record.json").is_file()


def test_another_editor_of_the_same_command_starts_from_a_fresh_base(
    judge: Judge, border: Border, tmp_path: Path
) -> None:
    settings = Settings(limit=2)
    fresh = evaluate(choose("null-edit", "small"), judge, settings, tmp_path / "fresh", False)
    for count, body in enumerate((CASES["another dropout"][0], CASES["a head of zeros"][0])):
        spec = write(tmp_path, body)
        with pytest.raises(UserError, match="changed the base model"):
            evaluate(border.choose(spec, "small"), judge, settings, tmp_path / f"bad{count}", False, border)
        after = evaluate(choose("null-edit", "small"), judge, settings, tmp_path / f"after{count}", False, border)
        assert after.outcomes.sha256 == fresh.outcomes.sha256
