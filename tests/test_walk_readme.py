"""README's commands, from its top to its bottom, in one folder that is a fresh clone.

They are read from README itself. In continuous integration each is a call with less to do (`AS_THEY_STAND`). As they
stand, each in a process of its own: ``pytest -m slow -s tests/test_walk_readme.py``, which takes half an hour.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmark import load
from leaderboard.records.runs import find_runs
from tests.conftest import copy_tracked
from tests.hub_server import HubServer
from tests.pages import Run, call, read_commands, save_pool, walk

# The commands that run as they stand, and the words that make them short in continuous integration.
AS_THEY_STAND = {
    "python -m mad.search --pair mini,mini-strong": "--pool pool",
    "python -m mad.review out/mad --annotator NAME": "",  # two people accept all
    "python -m mad.review status out/mad": "",
    "python -m mad.review export out/mad --out groups": "",
    "from datasets import load_dataset": "",
    'data = load_dataset("where2edit/vit-edit-bench")': "",
    "python -m leaderboard.submit ft ft-l2 random-mask --limit 54": "--limit 2",
    "python -m leaderboard.submit ft-l2 --sweep": "--limit 1",
    "python -m leaderboard.new my_editor.py": "",
    "python -m leaderboard.check my_editor.py:MyEditor": "",
    "python -m leaderboard.submit my_editor.py:MyEditor": "--limit 1",
    "python -m leaderboard.tables": "",
    "python -m leaderboard.site out/leaderboard": "",
    "python -m leaderboard.compare ft ft-l2:c=0.001": "",
    "python -m leaderboard.analyse --help": "",
    "python -m leaderboard.figures all": "",
    "python -m editors.fix --base MODEL --image x.jpg --label volleyball --editor hypernetwork --check DIR": "",
    "python -m benchmark.fetch --list": "",
    "python -m benchmark.inspect where2edit/vit-edit-bench": "",
    "python -m generation.procedural --out out/mini_generated": "--limit 6",
}
WEIGHTS = "weights from the Hub"
ARCHIVES = "the authors' archives or ImageNet; tests/test_releasing.py and tests/benchmark build from stand-ins"
MINUTES = "trains, tunes or measures for minutes; tests/PACKAGE/test_COMMAND.py runs it"
ON_LOOPBACK = "the authors' archives and weights; tests/leaderboard/chain has them on loopback"
ELSEWHERE = {
    "make demo": "installs; tests/test_makefile.py",
    "make help": "tests/test_makefile.py",
    "python -m mad.search --pair vitb16,clip-vitb16 --pool DIR": WEIGHTS,
    "python -m mad.crawl": "a key of Flickr; tests/mad/test_crawl.py",
    "python -m editors.train hypernetwork|ke|mend": MINUTES,
    "python -m leaderboard.tune": MINUTES,
    "python -m benchmark.fetch natural sensitive pug": "the network; tests/benchmark/fetching has servers on loopback",
    "python -m benchmark.build --natural Natural-Image-Subset.zip --oil-painting DIR --stage-light PUG_DIR "
    "--locality Sensitive-Images.zip --label-with vitb16": ARCHIVES,
    "python -m benchmark.fetch dinov2-mini": WEIGHTS,
    "python -m leaderboard.submit ft head-only --base dinov2-mini --data real --limit 18": WEIGHTS,
    "python -m leaderboard.paper --scale row --out out/row": ON_LOOPBACK,
    "python -m leaderboard.paper --out out/paper": ON_LOOPBACK,
    "python -m leaderboard.submit ft --base vitb16 --data where2edit/vit-edit-bench --images imagenet/train": WEIGHTS,
    "python -m benchmark.locality --base vits16 --imagenet DIR --imagenet-r DIR --imagenet-sketch DIR": ARCHIVES,
    "python -m benchmark.hydrate FOLDER --imagenet DIR ... --pug DIR": ARCHIVES,
    "python -m generation.oil_painting": WEIGHTS,
    "python -m generation.stage_light": WEIGHTS,
    "python -m generation.clip_filter": WEIGHTS,
    "python -m leaderboard.bench all": MINUTES,
    "python -m mad.bench all": MINUTES,
    "python -m generation.bench --device cuda": "a GPU",
}


def test_each_command_runs_here_or_says_where() -> None:
    assert set(read_commands("README.md")) == AS_THEY_STAND.keys() | ELSEWHERE.keys()


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh clone with what the commands name: a picture, a folder of some, a pool; a terminal of 80 columns."""
    folder = tmp_path / "clone"
    copy_tracked(folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "80")
    samples = load("mini").edit
    volleyball = samples.table["class_name"].tolist().index("volleyball")
    Path("x.jpg").write_bytes(samples.image_bytes(volleyball))
    save_pool(Path("pictures"), 20)
    save_pool(Path("pool"), 300)
    return folder


def test_the_commands_run_in_their_order(clone: Path, datasets_hub: HubServer) -> None:
    """As calls in this process, whose packages lie elsewhere; what looks beside them runs in the clone's."""
    start = starter(clone, datasets_hub)

    def run(module: str, words: list[str]) -> None:
        (start if "where2edit/vit-edit-bench" in words else call)(module, words)

    check(walk("README.md", AS_THEY_STAND, run))
    assert datasets_hub.requests == [], "all of it is offline"


@pytest.mark.slow
def test_the_commands_run_as_they_stand(clone: Path, datasets_hub: HubServer) -> None:
    check(walk("README.md", dict.fromkeys(AS_THEY_STAND, ""), starter(clone, datasets_hub)))
    assert datasets_hub.requests == []


def starter(clone: Path, hub: HubServer) -> Run:
    """Return a function that runs a module of the clone in a process of its own."""
    environment = hub.environment(clone, PYTHONPATH=str(clone))

    def start(module: str, words: list[str]) -> None:
        subprocess.run([sys.executable, "-m", module, *words], env=environment, check=True)

    return start


def check(names: dict[str, object]) -> None:
    """Check what the walk left in the folder, and that no run took another's place."""
    assert len(names["data"]["edit"]) == 418
    written = ("out/mad/report.html", "groups/review.json", "out/site/index.html", "out/inspect", "out/fixed/edit.json")
    for file in (*written, "my_editor.py"):
        assert Path(file).exists(), file
    specs = [record.editor.spec for _, record in find_runs([Path("out/leaderboard")])]
    assert len(specs) == len({*specs}) + 1, "ft-l2 at its usual knob stands twice: of 54, and of the sweep"
