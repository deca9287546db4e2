"""Each kind of editor that `leaderboard.new` writes is short, explained, and scored as it is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from benchmark.core import cli
from benchmark.core.errors import UserError
from editors.core.registry import choose
from leaderboard import new, submit
from leaderboard.records.record import Record
from leaderboard.records.runs import find_runs

KINDS = ("weights", "module", "memory", "trained")


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def scored(kind: str, *words: str, settings: str = "") -> list[Record]:
    """Records of the editor of a kind on a few samples of the mini, written once."""
    if not Path(f"{kind}_editor.py").exists():
        cli.run(new.main, [f"{kind}_editor.py", "--kind", kind])
    cli.run(submit.main, [f"{kind}_editor.py:MyEditor{settings}", "--limit", "3", "--out", "out", *words])
    return [record for _, record in find_runs([Path("out")])]


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_short_and_explained_and_corrects_its_samples(kind: str) -> None:
    (record,) = scored(kind)
    text = Path(f"{kind}_editor.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 40 and max(map(len, text.splitlines())) <= 120
    assert len(re.findall(r"(?m)^class MyEditor\(Editor\):", text)) == 1 and ast.get_docstring(ast.parse(text))
    assert record.scores["sr"].value == 1 and record.outcomes.failed == 0
    assert record.scores["lr"].value > 0.5, "it leaves most of the rest alone"
    own_code = {"module": 3, "memory": 3}  # what it returns is more than weights, so its process answers for it
    assert record.outcomes.judged_by_editor == own_code.get(kind, 0)


def test_the_trained_kind_shows_a_fit_a_knob_and_a_checkpoint() -> None:
    learned, kept = scored("trained")[0], Path("kept.safetensors")
    assert learned.editor.state_sha256 and learned.editor.knob == "margin"
    assert choose("trained_editor.py:MyEditor", "mini").config.checkpoint is None
    scored("trained", settings=f":checkpoint={kept}")
    (again,) = (record for record in scored("trained", settings=f":checkpoint={kept}") if record.editor.files)
    assert kept.is_file() and again.editor.state_sha256 == learned.editor.state_sha256
    assert again.scores == learned.scores
    spread = scored("trained", "--sweep")
    assert {record.editor.config["margin"] for record in spread} == {0.25, 1.0, 4.0}


@pytest.mark.parametrize(
    "name", ["my_editor", "my_editor.txt", "a.py:MyEditor", ".py", "torch.py", "copy.py", "mad.py"]
)
def test_a_name_that_would_do_harm_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"must end in \.py|would hide"):
        new.main(Path(name))
    assert not list(Path().iterdir())


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    Path("mine.py").write_text("mine", encoding="utf-8")
    Path("away.py").symlink_to("nowhere")
    Path("folder.py").mkdir()
    for name in ("mine.py", "away.py", "folder.py"):
        with pytest.raises(UserError, match=f"{name} is here already; name another file, or remove it"):
            new.main(Path(name))
    with pytest.raises(UserError, match="cannot be written"):
        new.main(Path("mine.py/below.py"))
    assert Path("mine.py").read_text(encoding="utf-8") == "mine" and not Path("nowhere").exists()
    new.main(Path("deep/er/mine.py"))
    assert choose("deep/er/mine.py:MyEditor", "mini").make()
