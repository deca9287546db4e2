"""The key of a run: whatever could move a score is in it, and a folder is not resumed under another."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
from torch import nn

from benchmark.core import code, versions
from benchmark.core.errors import UserError
from benchmark.data.dataset import Benchmark
from benchmark.models.load import BaseModel
from editors.core.registry import choose
from leaderboard.judging import run_spec
from leaderboard.judging.evaluate import evaluate
from leaderboard.judging.judge import Judge
from leaderboard.judging.run_spec import RunSpec
from leaderboard.judging.sampling import Settings
from leaderboard.records.record import Record
from tests.conftest import PREPROCESSING, small_vit

HELPED = """
from dataclasses import dataclass
from pathlib import Path
from editors.core.base import Editor
from editors.core.edit import WeightEdit
from own_helper import STEP

@dataclass(frozen=True)
class Config:
    table: Path = Path("table.bin")

class Helped(Editor):
    Config = Config
    def edit(self, model, images, labels):
        return WeightEdit({"head.bias": model.head.bias + STEP})
"""


def run(judge: Judge, folder: Path, spec: str = "ft:lr=0.01,max_steps=1", **settings) -> Record:
    settings = {"limit": 2, **settings}
    return evaluate(choose(spec, "small"), judge, Settings(**settings), folder, progress=False)


@pytest.fixture
def helped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an editor of one's own, a module that it imports and a file that its config names."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "my_editor.py").write_text(HELPED)
    (folder / "own_helper.py").write_text("STEP = 1.0\n")
    (folder / "table.bin").write_bytes(b"one")
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    return folder


def test_a_changed_source_is_named_and_not_resumed(
    judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`LOSS_BELOW` in editors/core/descent.py moves scores, though no file of the editor's changes."""
    run(judge, tmp_path / "run")
    hash_tree = code.hash_tree

    def of_changed_descent(tree):
        for node in tree.body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LOSS_BELOW":
                node.value.value = 0.5
        return hash_tree(tree)

    monkeypatch.setattr(code, "hash_tree", of_changed_descent)
    with pytest.raises(UserError, match=r"holds another run \(its code\.editors\.core\.descent is \w+, yours is \w+\)"):
        run(judge, tmp_path / "run")


def test_a_helper_and_a_named_file_are_part_of_an_editor(judge: Judge, helped: Path, tmp_path: Path) -> None:
    first = run(judge, tmp_path / "run", "my_editor.py:Helped")
    assert list(first.editor.files or {}) == ["table.bin"]
    assert run(judge, tmp_path / "run", "my_editor.py:Helped") == first
    (helped / "own_helper.py").write_text("# a remark\nSTEP = 1.0  # another\n")
    assert run(judge, tmp_path / "run", "my_editor.py:Helped") == first
    (helped / "own_helper.py").write_text("STEP = 7.0\n")
    with pytest.raises(UserError, match=r"its code\.own_helper is"):
        run(judge, tmp_path / "run", "my_editor.py:Helped")
    (helped / "own_helper.py").write_text("STEP = 1.0\n")
    (helped / "table.bin").write_bytes(b"two")
    with pytest.raises(UserError, match=r"its editor\.files\.table\.bin is"):
        run(judge, tmp_path / "run", "my_editor.py:Helped")


def test_another_architecture_with_the_same_weights_is_another_run(
    judge: Judge, small_benchmark: Benchmark, tmp_path: Path
) -> None:
    first = run(judge, tmp_path / "run")
    other = small_vit()
    other.blocks[5].mlp.act = nn.GELU(approximate="tanh")
    base = BaseModel("small", other, PREPROCESSING, judge.base.weights_sha256)
    with pytest.raises(UserError, match=r"holds another run \(its base\.identity is"):
        run(Judge(base, small_benchmark), tmp_path / "run")
    assert first.base.identity == judge.base.identity and first.base.probe == judge.base.probe()


@pytest.mark.parametrize("library", ["torch", "torchvision", "timm", "pillow", "numpy"])
def test_what_decodes_resizes_or_computes_is_in_the_key(
    judge: Judge, tmp_path: Path, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(judge, tmp_path / "run")
    installed = versions.version_of
    monkeypatch.setattr(versions, "version_of", lambda name: "0.1" if name == library else installed(name))
    with pytest.raises(UserError, match=rf"its libraries\.{library} is .*, yours is 0\.1"):
        run(judge, tmp_path / "run")


def test_a_run_is_not_resumed_where_the_base_answers_otherwise(judge: Judge, tmp_path: Path) -> None:
    """The identity is equal, so the machine is not: what is compared is the answer to a fixed image."""
    first = run(judge, tmp_path / "run")
    note = json.loads((tmp_path / "run" / "run.json").read_text())
    label, logit = next(iter(note["probe"].items()))
    note["probe"][label] = logit * (1 + 1e-4)
    (tmp_path / "run" / "run.json").write_text(json.dumps(note))
    assert run(judge, tmp_path / "run") == first
    note["probe"][label] = logit * 1.01
    (tmp_path / "run" / "run.json").write_text(json.dumps(note))
    with pytest.raises(UserError, match="answered a fixed image otherwise"):
        run(judge, tmp_path / "run")


def test_edited_groups_are_recorded_by_id_in_order(judge: Judge, tmp_path: Path) -> None:
    assert run(judge, tmp_path / "a").protocol.edited_groups is None
    assert run(judge, tmp_path / "b", groups=("line", "1-2")).protocol.edited_groups == ["1-2", "line"]
    assert run(judge, tmp_path / "b", groups=("1-2", "line", "line")).protocol.edited_groups == ["1-2", "line"]
    everything = tuple(reversed(judge.benchmark.groups))
    assert run(judge, tmp_path / "c", groups=everything).protocol.edited_groups is None


def test_scores_and_the_key_know_the_versions_of_protocol_and_scoring(
    judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = choose("ft", "small")

    def spec() -> RunSpec:
        return RunSpec.of(chosen, chosen.make(), judge, Settings(), 1)

    assert spec().code.keys() >= {"benchmark.models.vit", "benchmark.models.families.plain", "editors.methods.finetune"}
    keys = {spec().key}
    for name in ("PROTOCOL", "SCORING"):
        monkeypatch.setattr(run_spec, name, "99")
        keys.add(spec().key)
    assert len(keys) == 3 and (spec().protocol.version, spec().protocol.scoring) == ("99", "99")
