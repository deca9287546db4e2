"""An editor behind the border: the same edits, no way to the judge, and an end in one line."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from benchmark.core.errors import UserError
from benchmark.data.dataset import scored_files
from benchmark.models.load import BaseModel
from benchmark.models.vit import Cut
from editors.core.edit import FailedEdit, TailEdit, WeightEdit
from editors.core.registry import choose
from editors.methods.grace import Memory
from leaderboard.judging.border import Border
from leaderboard.judging.evaluate import evaluate
from leaderboard.judging.judge import Judge
from leaderboard.judging.sampling import Settings
from leaderboard.judging.wire import HEADER, decode_edit, encode_edit, pack, unpack
from leaderboard.records import outcomes, record
from leaderboard.scores import tables

pytestmark = pytest.mark.usefixtures("unhashed")

STRANGERS = """
import copy, os, sys
from dataclasses import dataclass
from pathlib import Path
import torch
from editors import Editor, WeightEdit, knob
from leaderboard.judging.judge import Judge

Judge.predict = lambda self, edit, group: (self.benchmark.edit.labels[self.benchmark.members(group)].astype("int16"),
                                           self.base_locality.astype("int16"), "tail")
sys.modules["leaderboard.judging.judge"].top1 = None

@dataclass(frozen=True)
class Config:
    scale: float = knob(2.0, sweep=(1.0, 2.0))
    file: Path = Path("nowhere")

class Cheats(Editor):
    Config = Config
    def edit(self, model, images, labels):
        assert isinstance(self.config.file, Path)
        return WeightEdit({})

class Whole(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model
    def forward(self, images):
        return self.model(images) * 2

class Wraps(Editor):
    def edit(self, model, images, labels):
        return Whole(copy.deepcopy(model))

class Hooks(Editor):
    def edit(self, model, images, labels):
        model.blocks[1].register_forward_hook(lambda module, args, output: output)
        return WeightEdit({})

class Exits(Editor):
    def edit(self, model, images, labels):
        sys.exit(4)

class Dies(Editor):
    def edit(self, model, images, labels):
        os._exit(4)

class Killed(Editor):
    def edit(self, model, images, labels):
        os.kill(os.getpid(), 9)

class Looks(Editor):
    def edit(self, model, images, labels):
        sizes = [len(file.read_bytes()) for file in (Path(os.environ["DATA"]) / "data").glob("*it*.parquet")]
        assert sizes == [0] * len(sizes), "the answers are there"
        return WeightEdit({})
"""


SETTLES = """
import copy
import torch
from editors import Editor

class Settles(Editor):
    def edit(self, model, images, labels):
        edited = copy.deepcopy(model)
        edited.norm.eps = 0.5
        edited.blocks[3].mlp.act = torch.nn.Hardswish()
        edited.head.bias.data += 1e-3
        return edited
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "strangers.py"
    path.write_text(STRANGERS)
    return path


def run(judge: Judge, spec: str, folder: Path, border: Border | None) -> tuple[record.Record, outcomes.Outcomes]:
    choice = border.choose(spec, "small") if border else choose(spec, "small")
    result = evaluate(choice, judge, Settings(limit=4), folder, progress=False, border=border)
    return result, outcomes.read(folder)


@pytest.mark.parametrize("spec", ["ft:lr=0.002,max_steps=2", "grace:max_steps=2"])
def test_edits_that_crossed_are_those_that_were_made(judge: Judge, tmp_path: Path, spec: str) -> None:
    here, ours = run(judge, spec, tmp_path / "here", None)
    there, theirs = run(judge, spec, tmp_path / "there", Border())
    assert outcomes.digest(ours) == outcomes.digest(theirs)
    assert (here.protocol.in_process, there.protocol.in_process) == (True, False)
    assert here.editor.state_sha256 == there.editor.state_sha256 and there.outcomes.judged_by_editor == 0


def test_a_file_that_judges_itself_scores_as_the_null_edit(judge: Judge, file: Path, tmp_path: Path) -> None:
    null, nothing = run(judge, "null-edit", tmp_path / "null", None)
    cheat, same = run(judge, f"{file}:Cheats:scale=1", tmp_path / "cheat", Border())
    for column in ("group_predictions", "locality_predictions"):
        assert same.edits[column].map(list).tolist() == nothing.edits[column].map(list).tolist()
    assert cheat.scores == null.scores and cheat.scores["sr"].value == 0
    assert cheat.editor.spec == f"{file}:Cheats:scale=1.0" and cheat.editor.knob == "scale"
    assert not [name for name in sys.modules if name.endswith(".strangers")], "it was never imported here"


def test_a_model_that_cannot_cross_is_asked_and_said_to_be(judge: Judge, file: Path, tmp_path: Path) -> None:
    null, _ = run(judge, "null-edit", tmp_path / "null", None)
    result, theirs = run(judge, f"{file}:Wraps", tmp_path / "run", Border())
    assert set(theirs.edits["scored"]) == {"editor"} and result.outcomes.judged_by_editor == 4
    assert result.scores["lr_agreement"].value == 1 and result.scores["gr"] == null.scores["gr"]
    assert tables.rows([result])[1][0] == f"{file}:Wraps (judged by the editor)"


def test_a_copy_with_other_settings_crosses_and_is_called_by_the_judge(judge: Judge, tmp_path: Path) -> None:
    file = tmp_path / "settles.py"
    file.write_text(SETTLES)
    result, theirs = run(judge, f"{file}:Settles", tmp_path / "there", Border())
    _, ours = run(judge, f"{file}:Settles", tmp_path / "here", None)
    assert outcomes.digest(ours) == outcomes.digest(theirs)
    assert (result.outcomes.called, result.outcomes.judged_by_editor) == (4, 0)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Hooks", "strangers.py:Hooks changed the base model: a hook of blocks.1"),
        ("Exits", r"strangers.py:Exits broke at sample \w+: SystemExit: 4 \(strangers.py, line \d+\)"),
        ("Dies", r"strangers.py:Dies: its process ended \(exit code 4\)"),
        ("Killed", r"strangers.py:Killed: its process was ended by SIGKILL"),
    ],
)
def test_what_goes_wrong_there_is_one_line_here(
    judge: Judge, file: Path, tmp_path: Path, name: str, message: str
) -> None:
    with pytest.raises(UserError, match=rf"^{re.escape(str(file.parent))}/{message}"):
        run(judge, f"{file}:{name}", tmp_path / "run", Border())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")
def test_an_editor_that_never_comes_back_ends_with_the_judge(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import os\nprint(os.getpid(), os.getppid(), flush=True)\nwhile True: pass")
    script = f"from leaderboard.judging.line import Line\nLine('x').ask('describe', '{tmp_path}/mine.py:Mine', 'small')"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as judge:
        assert judge.stdout is not None
        pids = judge.stdout.readline().split()
        judge.kill()
    deadline = time.monotonic() + 20
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(pids) == 2 and not any(alive(pid) for pid in pids)


def alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="namespaces are Linux's")
def test_the_answers_are_hidden_where_the_system_allows_it(
    judge: Judge, file: Path, small_data: Path, tmp_path: Path
) -> None:
    file.write_text(STRANGERS.replace('os.environ["DATA"]', repr(str(small_data))))
    border = Border(scored_files(str(small_data)))
    with closing(border.open(choose("null-edit", "small"), judge.base)) as editor:
        if not editor.hidden:
            pytest.skip("this system gives no namespaces without rights")
    run(judge, f"{file}:Looks", tmp_path / "run", border)


def test_edits_survive_the_way_and_code_does_not(base: BaseModel) -> None:
    module = base.module
    keys = torch.randn(2, 24)
    edits = [
        WeightEdit({"head.bias": torch.randn(1000)}, 3),
        FailedEdit("loss is not finite", 2),
        TailEdit(Memory(module, 2, keys, keys * 2, 0.5), Cut(2), 4),
    ]
    for edit in edits:
        header, tensors = unpack(pack(*encode_edit(edit, lambda edit: 0, module, torch.rand(1, 3, 32, 32))))
        back = decode_edit(header, tensors, module, lambda number, inputs: inputs)
        assert (type(back), back.steps) == (type(edit), edit.steps)
    assert isinstance(back, TailEdit) and torch.equal(back.tail.keys, keys) and back.tail.model is module  # type: ignore[attr-defined]
    tail = {"kind": "tail", "steps": 0, "block": 0, "ffn": False, "values": {}}
    for place in (("os", "system"), ("editors.methods.grace", "torch"), ("editors.methods.grace", "GRACEConfig")):
        with pytest.raises(ValueError, match="no tail"):
            decode_edit({**tail, "module": place[0], "class": place[1]}, {}, module, lambda number, inputs: inputs)
    for message in (b"", b"\x80\x04", json.dumps({}).encode(), save({}), save({}, metadata={HEADER: "[]"})):
        with pytest.raises(ValueError):
            unpack(message)


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="no process groups here")
def test_ctrl_c_in_a_terminal_is_heard_by_the_judge_alone() -> None:
    """It goes to all processes of the terminal, also to the one that imports what editors need."""
    script = (
        "import time; from benchmark.core.cli import run; from leaderboard.judging.line import start_server\n"
        "def work():\n"
        "    start_server(); print('at work', flush=True); time.sleep(60)\n"
        "run(work, [])"
    )
    words = [sys.executable, "-c", script]
    judge = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert judge.stdout is not None and judge.stdout.readline() == "at work\n"
    os.killpg(judge.pid, signal.SIGINT)
    _, errors = judge.communicate(timeout=60)
    assert judge.returncode == 130 and errors.startswith("error: stopped; ") and errors.count("\n") == 1, errors
