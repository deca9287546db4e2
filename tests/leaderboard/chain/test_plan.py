"""The plan of a chain: which steps there are, what each needs, which are done; by hand and by a walk over the table."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from benchmark.core.commands import PACKAGES, commands
from benchmark.core.errors import UserError
from benchmark.core.workdir import holds, working
from leaderboard.analyses.paper import read_list
from leaderboard.chain import walk
from leaderboard.chain.calibration import Speed
from leaderboard.chain.committed import Committed
from leaderboard.chain.estimate import Estimate
from leaderboard.chain.plan import Plan, Step, make_plan
from leaderboard.chain.table import read_table
from leaderboard.chain.wishes import Wishes


def plan(out: Path = Path("out"), until: str | None = None, only: tuple[str, ...] = (), **wishes) -> Plan:
    return make_plan(Wishes(out, **wishes), until, only)


def names(of: Plan) -> list[str]:
    return [step.name for step in of.steps]


def step(of: Plan, name: str) -> Step:
    return next(each for each in of.steps if each.name == name)


TRAINED = ["ke", "mend", "hypernetwork"]
EDITORS = ["ft", "ft-l2", "t-patcher", "kn", "spt", "rome", "lora", *TRAINED, "ft-l1", "random-mask"]
STUDIES = ["pseudo", "lambda", "T", "inner-lr", "blocks"]


def test_the_whole_paper_step_by_step() -> None:
    bases = ["vitb16", "vits16"]
    assert names(plan()) == [
        *("fetch", "paint", "build"),
        *(f"train {base} {editor}" for base in bases for editor in TRAINED),
        *(f"edit {base} {editor}" for base in bases for editor in EDITORS),
        *("layers vitb16", "samples vitb16", "masks vitb16"),
        *(f"ablation vitb16 {study}" for study in STUDIES),
    ]
    assert names(plan(scale="small")) == [name for name in names(plan()) if "vits16" not in name]
    assert names(plan(scale="row")) == ["fetch", "build", "edit vitb16"]


def test_the_mini_needs_no_archive_and_takes_the_networks_that_come_with_it() -> None:
    made = names(plan(base="mini", data="mini"))
    edits = [f"edit mini {editor}" for editor in EDITORS]
    assert made == [*edits, "layers mini", "samples mini", "masks mini", *(f"ablation mini {name}" for name in STUDIES)]
    from_scratch = names(plan(base="mini", data="mini", from_scratch=True))
    assert from_scratch == [*(f"train mini {name}" for name in TRAINED), *made]


def test_every_step_is_of_commands_that_there_are_and_of_figures_that_there_are() -> None:
    known = {name for package in PACKAGES for name in commands(package)}
    figures = {figure.name for figure in read_list()}
    table = read_table()
    for row in table.steps:
        assert {command.split()[0] for command in row.commands} <= known
        assert {*row.figures} <= figures and {*row.needs} <= {other.name for other in table.steps}
    assert figures == {figure for row in table.steps for figure in row.figures}, "each is made of something"
    assert {study.figure for study in table.studies.values()} <= figures


def test_what_a_step_needs_is_its_own() -> None:
    whole = plan()
    assert step(whole, "edit vits16 ke").needs == ("build", "train vits16 ke")
    assert step(whole, "edit vits16 kn").needs == ("build",)
    assert step(whole, "masks vitb16").needs == ("build", "train vitb16 hypernetwork")
    assert step(whole, "ablation vitb16 T").needs == ("fetch", "build")


def test_a_part_is_planned_with_all_that_goes_first() -> None:
    assert names(plan(only=("figure-5a",), base="mini", data="mini")) == [
        f"edit mini {name}" for name in ("ft-l2", "hypernetwork", "ft-l1", "random-mask")
    ]
    assert names(plan(only=("figure-L",))) == ["fetch", "paint", "build", "ablation vitb16 T"]
    trained = ["fetch", "paint", "build", "train vitb16 hypernetwork", "edit vitb16 hypernetwork"]
    assert names(plan(only=("figure-H",))) == trained
    assert names(plan(only=("figure-6b",))) == [*trained, "masks vitb16"]
    assert "edit vits16 ft" in names(plan(only=("figure-F",))) and "edit vitb16 ft" not in names(
        plan(only=("figure-F",))
    )
    assert names(plan(until="build")) == ["fetch", "paint", "build"]
    assert names(plan(until="report")) == names(plan())


def test_commands_are_what_a_person_would_type(tmp_path: Path) -> None:
    whole = plan(tmp_path / "a b", allow_partial=True, from_folder=Path("copies"), yes=True)
    place = tmp_path / "a b"
    assert whole.words(step(whole, "fetch"))[0][-4:] == [f"{place}/fetched", "--from-folder", "copies", "--yes"]
    build = whole.words(step(whole, "build"))[0]
    assert build[-1] == "--allow-partial"
    assert build[build.index("--label-with") + 1] == f"vitb16={place}/fetched/vitb16/model.safetensors"
    small = plan(scale="small")
    edit = whole.words(step(whole, "edit vits16 ke")), small.words(step(small, "edit vitb16 ft"))
    assert edit[0][0][1] == f"ke:checkpoint={place}/trained/vits16/ke.safetensors" and "--sweep" in edit[0][0]
    assert "--sweep" not in edit[1][0] and edit[1][0][edit[1][0].index("--limit") + 1] == "862", "a fifth of 4,306"
    assert "'" in whole.shown(step(whole, "build"))[0], "quoted for a shell"


def test_d_l_is_labelled_by_the_base_that_it_was_chosen_with() -> None:
    other = plan(base="vits16")
    assert "vitb16=" in " ".join(other.words(step(other, "build"))[0])
    assert other.wishes.sources[-2:] == ("vitb16", "vits16")


def test_weights_and_data_of_ones_own_are_not_fetched(tmp_path: Path) -> None:
    (tmp_path / "own.npz").touch()
    own = plan(base=f"vitb16={tmp_path}/own.npz", data="where2edit/vit-edit-bench")
    assert own.wishes.sources == ("imagenet",) and names(own)[:2] == ["fetch", "train vitb16 ke"]
    assert f"vitb16={tmp_path}/own.npz" in own.words(step(own, "layers vitb16"))[0]


def make_what_it_leaves(of: Plan, *steps: str) -> None:
    """Files where these steps leave theirs."""
    for name in steps:
        path = of.leaves(step(of, name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_a_step_is_done_until_its_commands_or_what_it_needs_change(tmp_path: Path) -> None:
    before = plan(tmp_path)
    for each in before.steps[:3]:
        before.note(each, 2.0)
    assert not any(before.done(each) for each in before.steps), "nothing is there"
    make_what_it_leaves(before, "fetch", "paint", "build")
    assert [name for name in names(before) if before.done(step(before, name))] == ["fetch", "paint", "build"]
    moved = plan(shutil.copytree(tmp_path, tmp_path.with_name("moved")), device="cuda", engine="ray", yes=True)
    assert moved.done(step(moved, "build")), "where and how fast changes nothing"
    changed = plan(tmp_path, allow_partial=True)
    assert changed.done(step(changed, "paint")) and not changed.done(step(changed, "build"))
    (tmp_path / "steps" / "paint.json").write_text("{")
    assert before.done(step(before, "paint")) is None
    note = json.loads((tmp_path / "steps" / "fetch.json").read_text())
    assert note["commands"][0].startswith("python -m benchmark.fetch natural sensitive pug")
    (tmp_path / "data/vit-edit-bench/build.json").unlink()
    assert before.done(step(before, "build")) is None, "what it left is gone"


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"base": "mini"}, "mini is no base of the paper (with --data mini it is); name vitb16 or vits16"),
        ({"base": "vit_tiny_patch16_224"}, "no base of the paper; name vitb16 or vits16"),
        ({"base": "vitb16", "data": "mini"}, "no base of the mini; name mini"),
        ({"data": "mini", "scale": "row"}, "--scale row is a row on real weights"),
        ({"data": "mini", "from_folder": Path("x")}, "--from-folder has nothing to give"),
        ({"until": "bild"}, 'no step is called "bild"; did you mean "build"?'),
        ({"only": ("figure-4",), "scale": "row"}, "no step of this chain makes figure-4; ask for others"),
        ({"only": ("figure-F",), "base": "vitb16"}, "no step of this chain makes figure-F; ask for others"),
        ({"only": ("figure-5",)}, 'no figure is called "figure-5"; did you mean'),
    ],
)
def test_what_cannot_be_is_one_line(wishes: dict, message: str) -> None:
    with pytest.raises(UserError) as refused:
        plan(**wishes)
    assert message in str(refused.value)


def test_committed_runs_are_taken_where_they_are_what_would_be_made() -> None:
    def taken(**wishes) -> list[str]:
        asked = Wishes(Path("out"), base="mini", data="mini", **wishes)
        committed = Committed(asked)
        return [each.name for each in make_plan(asked).steps if committed.has(each)]

    edits, ablations = [f"edit mini {name}" for name in EDITORS], [f"ablation mini {name}" for name in STUDIES]
    assert taken() == [*edits, *ablations]
    assert not taken(from_scratch=True) and not taken(scale="small") and not taken(device="cuda")


def test_committed_runs_of_another_protocol_are_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leaderboard.chain.committed.PROTOCOL", "3")
    asked = Wishes(Path("out"), base="mini", data="mini")
    committed = Committed(asked)
    assert not any(map(committed.has, make_plan(asked).steps)) and not committed.folders


def test_a_folder_holds_one_chain(tmp_path: Path) -> None:
    small, row = (Wishes(tmp_path / "out", scale=scale) for scale in ("small", "row"))
    with working(small.out, walk.CHAIN, small.note):
        pass
    assert holds(small.out, walk.CHAIN, replace(small, engine="ray", allow_partial=True).note)
    with pytest.raises(UserError, match=r"holds another chain .its scale is small, yours is row.; name another --out"):
        holds(row.out, walk.CHAIN, row.note)
    (small.out / "chain.json").write_text(json.dumps({**small.note, "version": 2}))
    with pytest.raises(UserError, match=r"holds another chain .its version is 2, yours is 1"):
        holds(small.out, walk.CHAIN, small.note)


def test_a_disk_that_is_too_small_is_named_before_anything_is_done(tmp_path: Path, monkeypatch) -> None:
    whole, usage = plan(tmp_path), shutil.disk_usage(tmp_path)

    def lines(of: Plan) -> list[walk.Line]:
        speeds = dict.fromkeys(of.wishes.bases, Speed("a", "b", 1, 1, 1, 1))
        return walk.list_steps(of, Committed(of.wishes), Estimate(of, speeds))

    monkeypatch.setattr(walk.shutil, "disk_usage", lambda path: usage._replace(free=int(59e9)))
    message = "need 60 GB of disk at most, and 59 GB are free; make room, or name another --out"
    with pytest.raises(UserError, match=message):
        walk.check_disk(lines(whole), tmp_path / "not there")
    monkeypatch.setattr(walk.shutil, "disk_usage", lambda path: usage._replace(free=int(61e9)))
    walk.check_disk(lines(whole), tmp_path)
    whole.note(step(whole, "fetch"), 1.0)
    make_what_it_leaves(whole, "fetch")
    monkeypatch.setattr(walk.shutil, "disk_usage", lambda path: usage._replace(free=int(16e9)))
    walk.check_disk(lines(whole), tmp_path)
    mini = plan(tmp_path, base="mini", data="mini")
    assert walk.gigabytes(lines(mini)) == 2, "what is committed takes none: layers and samples are to do"
