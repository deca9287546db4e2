"""A stranger writes an editor, from its first line to its row, with the mistakes on the way."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmark.core import cli
from leaderboard import submit, tables

TOP = """import copy
import torch
import torch.nn.functional as F
from editors import Editor


class MyEditor(Editor):
    \"\"\"SGD on a copy.\"\"\"

"""
EDIT = """    def edit(self, model, images, labels):
        edited = copy.deepcopy(model)
        optimizer = torch.optim.SGD(edited.parameters(), lr=0.01)
        for _ in range(20):
            loss = F.cross_entropy(edited(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
"""
FROZEN = "the model is frozen: call edited.requires_grad_() on the copy, and train it outside torch.no_grad()"
GRAD = "RuntimeError: element 0 of tensors does not require grad and does not have a grad_fn"
TRAINS = EDIT.replace("copy.deepcopy(model)", "copy.deepcopy(model).requires_grad_()") + "        return edited\n"
SETTINGS = """from dataclasses import dataclass
from editors import knob
from my_helper import learned_scale


@dataclass(frozen=True)
class Config:
    lr: float = knob(0.01, sweep=(0.001, 0.01))


"""
FITTED = (
    TOP.replace("\n\nclass MyEditor", f"{SETTINGS}class MyEditor").replace(
        'copy."""', 'copy."""\n\n    Config = Config'
    )
    + "    def fit(self, model, training):\n"
    + "        self.scale = learned_scale(training)\n\n"
    + "    def state_dict(self):\n        return {'scale': self.scale}\n\n"
    + TRAINS.replace("lr=0.01", "lr=self.config.lr * self.scale.item()")
)
HELPER = "def learned_scale(training):\n    return training.images(range(6)).std()\n"


@pytest.fixture
def work(small_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder away from the clone, from which the commands run; the editor lies in one below it, few images beside."""
    (tmp_path / "own").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path / "own"


def submitted(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """Output of `leaderboard.submit` and, where it fails, its one line."""
    capsys.readouterr()
    try:
        cli.run(submit.main, [*words, "--data", "noise", "--limit", "1"])
    except SystemExit as stop:
        assert stop.code == 2
    printed = capsys.readouterr()
    return printed.out, printed.err.rstrip("\n").split("\n")[-1].rpartition("\r")[2]


def test_from_the_first_line_to_the_row(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, name = work / "my_editor.py", "my_editor.py:MyEditor"
    steps = [  # what is written so far, what is typed, and the line that is read
        (None, "own/my_editor.py:MyEditor", f"own/my_editor.py: no such file; paths begin at {work.parent}"),
        ("", "own/my_editor.MyEditor", "your own is written as own/my_editor.py:MyEditor"),
        ("", f"own/{name}", "own/my_editor.py holds no editor; write into it: class MyEditor(Editor): ..."),
        (TOP.replace(':\n    "', '\n    "'), f"own/{name}", "own/my_editor.py, line 7: expected ':'"),
        (TOP, f"own/{name}", "own/my_editor.py:MyEditor lacks the method edit; write: def edit(self, model"),
        (TOP + TRAINS, "own/my_editor.py", "own/my_editor.py: which class? write own/my_editor.py:MyEditor"),
        (TOP + TRAINS, "own/my_editor.py:MyEditr", 'called "MyEditr"; did you mean "MyEditor"?'),
        (TOP + EDIT, f"own/{name}", f"{GRAD} (my_editor.py, line 16); {FROZEN}"),
        (
            TOP + TRAINS.replace("        return edited\n", ""),
            f"own/{name}",
            "an editor must return an edit or a model, not NoneType; is its return missing? (my_editor.py, line 10)",
        ),
        (
            FITTED,
            f"own/{name}",
            "No module named 'my_helper' (my_editor.py, line 7); install what holds it, or put",
        ),
    ]
    for number, (text, spec, line) in enumerate(steps):
        if text is not None:
            file.write_text(text)
        _, error = submitted([spec, "--out", f"out/{number}"], capsys)
        assert error.startswith("error: ") and line in error, error
    file.write_text(TOP + TRAINS)
    out, _ = submitted([f"own/{name}", "--out", "out/works"], capsys)
    assert re.search(r"MyEditor +100\b", out.replace("\n", " ")), out  # SR of its one edit
    (work / "my_helper.py").write_text(HELPER)
    file.write_text(FITTED)
    submitted([f"own/{name}", "--sweep", "--out", "out/sweep"], capsys)
    cli.run(tables.main, ["out/works", "out/sweep"])
    rows = [row for row in capsys.readouterr().out.splitlines() if "my_editor.py:MyEditor" in row]
    assert len(rows) == 3
    assert [re.search(r"lr=[\d.]+", row)[0] for row in rows if "lr=" in row] == ["lr=0.001", "lr=0.01"]  # type: ignore[index]
