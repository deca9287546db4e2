"""Building from small stand-ins: what is written, what is refused, and that the old folder outlives a failure."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import zipfile
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from benchmark import build as building
from benchmark.build import build, main
from benchmark.core.cli import run
from benchmark.core.errors import UserError
from benchmark.data.schema import features
from benchmark.mini.card import CARD
from benchmark.subsets import tally
from benchmark.subsets.subset import paper_groups
from tests.benchmark import released
from tests.benchmark.models.test_weights import write_folder
from tests.benchmark.released import numbered
from tests.conftest import small_vit

FEW = {"890-430": 6, "407-654": 6, "17": 24, "18": 28, "locality": 12}  # what `released.few` makes


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Path]:
    return released.few(tmp_path / "in")


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The counts that are law, cut down to what `released.few` makes."""
    expected = {group.id: FEW.get(group.id, 0) for group in paper_groups()} | {"locality": FEW["locality"]}
    monkeypatch.setattr(tally, "expected_counts", lambda: expected)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """An earlier build that must outlive every failure."""
    folder = tmp_path / "out" / "vit-edit-bench"
    folder.mkdir(parents=True)
    (folder / "build.json").write_text('{"name": "vit-edit-bench"}')
    return folder


def untouched(old: Path) -> bool:
    return [path.name for path in old.iterdir()] == ["build.json"] and (
        [path.name for path in old.parent.iterdir() if path.suffix != ".csv"] == [old.name]
    )


def read(folder: Path, pattern: str) -> list[dict]:
    return [row for file in sorted((folder / "data").glob(pattern)) for row in pq.read_table(file).to_pylist()]


def test_a_pipe_in_the_place_of_the_card_is_a_stranger_s(old: Path, inputs: dict[str, Path]) -> None:
    os.mkfifo(old / "README.md")
    with pytest.raises(UserError, match=r"holds README\.md, which no build made"):
        build(old, inputs, allow_partial=True)


def test_a_partial_build_keeps_the_bytes_and_says_that_it_is_partial(tmp_path: Path, inputs: dict[str, Path]) -> None:
    out = tmp_path / "out" / "vit-edit-bench"
    notes = build(out, inputs, allow_partial=True)
    assert notes == json.loads((out / "build.json").read_text())
    assert (notes["version"], notes["partial"], notes["skipped"]) == ("1.0-partial", True, 0)
    assert {group["id"]: group["count"] for group in notes["groups"] if group["count"]} | {
        "locality": notes["locality"]["count"]
    } == FEW
    assert [group["expected"] for group in notes["groups"]] == [group.count for group in paper_groups()]
    digest = hashlib.sha256(inputs["natural"].read_bytes()).hexdigest()
    assert notes["sources"]["natural"] == {"input": "Natural-Image-Subset.zip", "sha256": digest}
    assert str(tmp_path) not in (out / "build.json").read_text(), "no path of this machine"
    assert "partial" in (out / "README.md").read_text()

    rows = read(out, "*.parquet")
    assert Counter(row["group_id"] or "locality" for row in rows) == FEW
    with zipfile.ZipFile(inputs["natural"]) as archive:
        kept = {row["source_id"]: row["image"]["bytes"] for row in rows if row["subset"] == "natural"}
        assert kept == {name: archive.read(name) for name in archive.namelist()}
    for row in rows:
        assert row["sha256"] == hashlib.sha256(row["image"]["bytes"]).hexdigest()
    for file in (out / "data").iterdir():
        assert pq.read_schema(file).equals(features().arrow_schema, check_metadata=True)
    lines = (out / "SHA256SUMS").read_text().splitlines()
    listed = {name: digest for digest, name in (line.split("  ") for line in lines)}
    files = {path.relative_to(out).as_posix(): path for path in out.rglob("*") if path.is_file()}
    assert listed == {
        name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items() if name != "SHA256SUMS"
    }
    assert {"croissant.json", "mini/NOTICE", "mini/edit-00000-of-00001.parquet", "skipped.csv"} <= listed.keys()


def test_the_same_inputs_make_the_same_files(tmp_path: Path, inputs: dict[str, Path]) -> None:
    for name in ("one", "two"):
        build(tmp_path / name / "vit-edit-bench", inputs, allow_partial=True)
    first, second = ((tmp_path / name / "vit-edit-bench" / "SHA256SUMS").read_text() for name in ("one", "two"))
    assert first == second


def test_complete_counts_make_a_whole_version(old: Path, inputs: dict[str, Path], counted: None) -> None:
    assert build(old, inputs)["version"] == "1.0"
    assert read(old, "edit-natural-*.parquet")


def test_every_count_that_differs_is_named_with_both_numbers(old: Path, inputs: dict[str, Path]) -> None:
    with pytest.raises(UserError) as error:
        build(old, {key: path for key, path in inputs.items() if key != "oil_painting"})
    message = str(error.value)
    for group in paper_groups():
        there = 0 if group.id == "17" else FEW.get(group.id, 0)
        assert f"{group.id} {group.name} {there} instead of {group.count:,}" in message
    assert "locality 12 instead of 2,071" in message and "--allow-partial" in message
    assert untouched(old)


def test_pictures_that_were_generated_here_have_the_number_that_there_is(
    old: Path, inputs: dict[str, Path], counted: None
) -> None:
    """The paper's choice of them is not published: any number is a best guess, and the card says partial."""
    next(inputs["oil_painting"].rglob("*.png")).unlink()
    with pytest.raises(UserError, match="17 oil painting 23 instead of 24"):
        build(old, inputs)
    (inputs["oil_painting"] / "metadata.jsonl").write_text("{}\n")
    notes = build(old, inputs)
    assert (notes["version"], notes["partial"]) == ("1.0-partial", True)
    assert any(
        "Generated here" in choice and "17 oil painting 23 instead of 24" in choice for choice in notes["choices"]
    )


def test_broken_images_are_listed_and_then_missing(old: Path, inputs: dict[str, Path], counted: None) -> None:
    broken = {"0001.png": b"<html>not found</html>", "0002.png": numbered(0)[:300], "0003.png": b""}
    for path in sorted(inputs["oil_painting"].rglob("*.png")):
        if path.name in broken:
            path.write_bytes(broken[path.name])
    with pytest.raises(UserError, match=r"oil painting 21 instead of 24; 3 files cannot be used .*-skipped\.csv"):
        build(old, inputs)
    assert untouched(old)
    with (old.parent / "vit-edit-bench-skipped.csv").open() as file:
        listed = list(csv.DictReader(file))
    assert build(old, inputs, allow_partial=True)["skipped"] == 3
    with (old / "skipped.csv").open() as file:
        assert list(csv.DictReader(file)) == listed
    assert sorted(Path(row["path"]).name for row in listed) == sorted(broken)
    assert {row["reason"] for row in listed} == {"not an image", "does not decode (OSError)"}


def test_one_image_in_two_groups_is_an_error_that_names_both_places(old: Path, inputs: dict[str, Path]) -> None:
    painting = next(inputs["oil_painting"].rglob("0005.png"))
    with zipfile.ZipFile(inputs["natural"]) as archive:
        painting.write_bytes(archive.read("Natural-Image-Subset/890_430/2.jpg"))
    with pytest.raises(UserError, match=rf"two groups: .*890_430/2\.jpg is oil/{painting.parent.name}/0005\.png"):
        build(old, inputs, allow_partial=True)
    assert untouched(old)


def test_one_image_twice_in_its_group_is_kept_and_noted(old: Path, inputs: dict[str, Path], counted: None) -> None:
    first, second = sorted(inputs["oil_painting"].rglob("*.png"))[:2]
    second.write_bytes(first.read_bytes())
    assert "1 images stand twice" in build(old, inputs)["choices"][-1]


def test_one_image_in_a_group_and_the_locality_set_is_kept_where_the_counts_are_the_papers(
    old: Path, inputs: dict[str, Path], counted: None
) -> None:
    painting = next(inputs["oil_painting"].rglob("0005.png"))
    with zipfile.ZipFile(inputs["locality"]) as archive:
        painting.write_bytes(archive.read(archive.namelist()[0]))
    assert "1 images are in a group and in the locality set" in build(old, inputs)["choices"][-1]
    assert "in a group and in the locality set" in (old / "README.md").read_text(), "the card says so"


@pytest.mark.parametrize("other", ["oil_painting", "locality"])
def test_one_image_twice_in_data_of_ones_own_is_an_error(old: Path, inputs: dict[str, Path], other: str) -> None:
    first, second = sorted(inputs["oil_painting"].rglob("*.png"))[:2]
    second.write_bytes(first.read_bytes())
    if other == "locality":
        with zipfile.ZipFile(inputs["locality"]) as archive:
            second.write_bytes(archive.read(archive.namelist()[0]))
    with pytest.raises(UserError, match=r"1 images .*; take one of each away"):
        build(old, inputs, allow_partial=True)
    assert untouched(old)


def test_without_pixels_for_others(old: Path, inputs: dict[str, Path]) -> None:
    assert build(old, inputs, allow_partial=True, publish=True)["published_without_pixels"] is True
    rows = read(old, "*.parquet")
    assert {row["subset"] for row in rows if row["image"] is not None} == {"natural", "oil_painting"}
    assert all(row["sha256"] and row["source_id"] for row in rows) and len(rows) == sum(FEW.values())


def test_labels_from_a_base(old: Path, inputs: dict[str, Path], counted: None) -> None:
    from benchmark.images.decode import decode
    from benchmark.models.load import load_base
    from benchmark.predict.engine import top2

    with pytest.raises(UserError, match=r"locality images have a margin of 0\.05 or more by mini: .*\(0\.\d+\)"):
        build(old, inputs, label_with="mini")
    assert untouched(old)
    notes = build(old, inputs, label_with="mini", allow_partial=True)
    assert (notes["version"], notes["locality"]["labels"]) == ("1.0-partial", "mini")
    base = load_base("mini")
    for row in read(old, "locality-*.parquet"):
        image = base.preprocessing(decode(row["image"]["bytes"]))[None]
        label, _, margin = (float(value) for value in top2(base.module, image))
        assert (row["label"], row["base_prediction"], row["label_origin"]) == (label, label, "top-1 of mini")
        assert row["margin"] == pytest.approx(margin, abs=1e-5)


def test_random_weights_make_no_labels(old: Path, inputs: dict[str, Path], tmp_path: Path) -> None:
    """They are torn between all classes, so their margins pass every rule."""
    folder = write_folder(tmp_path / "random", {
        name: tensor * 0.1 if name.startswith("head") else tensor for name, tensor in small_vit().state_dict().items()
    })  # fmt: skip
    with pytest.raises(UserError, match=r"knows none of these images.*at least 0\.1, not 0\.0"):
        build(old, inputs, label_with=str(folder), allow_partial=True)
    assert untouched(old)


def test_what_no_build_made_is_not_replaced(tmp_path: Path, inputs: dict[str, Path]) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    for out in (tmp_path / "mine", tmp_path / "mine" / "thesis.tex", tmp_path / "in", tmp_path):
        with pytest.raises(UserError, match="name another --out"):
            build(out, inputs, allow_partial=True)
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years of work"
    (tmp_path / "clone").mkdir()
    (tmp_path / "clone" / "README.md").write_text("what I think of it")
    with pytest.raises(UserError, match=r"holds README.md, which no build made; name another --out"):
        build(tmp_path / "clone", inputs, allow_partial=True)
    shutil.copyfile(CARD, tmp_path / "clone" / "README.md")  # the mini's, as in a fresh clone
    assert build(tmp_path / "clone", inputs, allow_partial=True)["name"] == "vit-edit-bench"


def test_a_disk_that_fills_up_leaves_the_old_folder(old: Path, inputs: dict[str, Path]) -> None:
    """The kernel refuses to let any file grow beyond 20 kB."""
    resource = pytest.importorskip("resource", reason="only Unix limits the size of files")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(UserError, match="cannot be written"):
            build(old, inputs, allow_partial=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert untouched(old)


def test_an_interrupted_build_leaves_the_old_folder(old: Path, inputs: dict[str, Path], monkeypatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(building, "_finish", interrupt)
    with pytest.raises(KeyboardInterrupt):
        build(old, inputs, allow_partial=True)
    assert untouched(old)


def test_the_command(tmp_path: Path, inputs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out" / "vit-edit-bench"
    given = [word for key, path in inputs.items() for word in (f"--{key.replace('_', '-')}", str(path))]
    run(main, [*given, "--out", str(out), "--allow-partial"])
    assert "version 1.0-partial, 64 editing samples, 12 locality images, 0 files skipped" in capsys.readouterr().out
    shutil.rmtree(tmp_path / "in" / "oil")
    for words, said in (
        ([*given, "--out", str(out)], "oil: no such file or folder"),
        ([], "nothing to build from"),
        ([*given, "--push", "me/mine"], "--push needs --publish"),
    ):
        with pytest.raises(SystemExit) as stop:
            run(main, words)
        error = capsys.readouterr().err
        assert stop.value.code == 2 and said in error and error.count("\n") == 1
