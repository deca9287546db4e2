"""Filling in left-out images: found by name or hash, checked, all or nothing, and nothing else is touched."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import zipfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from benchmark import hydrate
from benchmark.build import BUILD, build
from benchmark.core.checksums import write_checksums
from benchmark.core.cli import run
from benchmark.core.errors import UserError
from benchmark.core.workdir import check_replaceable
from benchmark.images import files as image_files
from benchmark.images.open import open_images
from tests.benchmark import released
from tests.benchmark.publish.test_card import folder_of, picture

PUG_IMAGES = {f"stage_light/{i}.JPG": picture(3000 + i) for i in range(4)}
LOCALITY = {f"{i}.JPG": picture(4000 + i) for i in range(6)}


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A published data set: its 4 images of stage light and 6 of the locality set have no pixels."""
    return folder_of(tmp_path / "published" / "vit-edit-bench", bare=True)


@pytest.fixture
def missing(tmp_path: Path) -> Path:
    return tmp_path / "missing.csv"


def files(folder: Path, images: dict[str, bytes]) -> Path:
    for name, data in images.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def state(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def listed(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_all_is_as_if_it_had_never_been_left_out(bare: Path, missing: Path, tmp_path: Path) -> None:
    whole = folder_of(tmp_path / "whole")
    pug, imagenet = files(tmp_path / "pug", PUG_IMAGES), files(tmp_path / "val", LOCALITY)
    hydrate.main(bare, pug=pug, imagenet=imagenet, missing=missing)
    for file in whole.glob("data/*.parquet"):
        made = pq.read_table(bare / "data" / file.name)
        assert made.equals(pq.read_table(file)) and made.schema.equals(pq.read_schema(file), check_metadata=True)
    assert json.loads((bare / "build.json").read_text())["published_without_pixels"] is False
    assert (bare / "README.md").read_text() == (whole / "README.md").read_text()
    sums = subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=bare, capture_output=True, text=True)
    assert (sums.returncode, sums.stdout) == (0, "")
    described = {d["@id"]: d.get("sha256") for d in json.loads((bare / "croissant.json").read_text())["distribution"]}
    assert all(
        f"{described[name.split('  ')[1]]}" in name
        for name in (bare / "SHA256SUMS").read_text().splitlines()
        if name.endswith(".parquet")
    )
    assert listed(missing) == [] and [p.name for p in bare.parent.iterdir()] == [bare.name]


def test_a_strangers_file_stays_and_stays_a_strangers(bare: Path, missing: Path, tmp_path: Path) -> None:
    write_checksums(bare)
    (bare / "notes.txt").write_text("mine")
    hydrate.main(
        bare, pug=files(tmp_path / "pug", PUG_IMAGES), imagenet=files(tmp_path / "val", LOCALITY), missing=missing
    )
    assert (bare / "notes.txt").read_text() == "mine" and "notes.txt" not in (bare / "SHA256SUMS").read_text()
    with pytest.raises(UserError, match=r"holds notes.txt, which no build made"):
        check_replaceable(bare, BUILD)


def test_a_pipe_in_the_folder_is_named_and_nothing_waits_for_it(bare: Path, missing: Path, tmp_path: Path) -> None:
    os.mkfifo(bare / "waits-for-ever")
    with pytest.raises(UserError, match="waits-for-ever: is a pipe, socket or device"):
        hydrate.main(bare, pug=files(tmp_path / "pug", PUG_IMAGES), missing=missing, allow_partial=True)


def test_a_published_build_becomes_the_whole_one(missing: Path, tmp_path: Path) -> None:
    """From the stand-ins for the released archives, with the builder: byte for byte the same data set."""
    given = released.few(tmp_path / "in")
    for name, bare in (("whole", False), ("bare", True)):
        build(tmp_path / name, given, allow_partial=True, publish=bare)
    assert len(list(hydrate.list_left_out(tmp_path / "bare"))) == 40
    hydrate.main(tmp_path / "bare", pug=given["stage_light"], locality=given["locality"], missing=missing)
    assert state(tmp_path / "bare") == state(tmp_path / "whole")


def test_again_changes_nothing(bare: Path, missing: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = {"pug": files(tmp_path / "pug", PUG_IMAGES), "locality": files(tmp_path / "val", LOCALITY)}
    hydrate.main(bare, **given, missing=missing)
    before = state(bare)
    hydrate.main(bare, **given, missing=missing)
    assert state(bare) == before
    assert "10 of 10 images filled in" in capsys.readouterr().out


def test_renamed_files_are_found_by_their_hash(bare: Path, missing: Path, tmp_path: Path) -> None:
    """The released locality archive is flat, and its names need not be those of one's own copy."""
    archive = tmp_path / "Sensitive-Images.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for number, data in enumerate(LOCALITY.values()):
            packed.writestr(f"Sensitive/{number:03}.jpeg", data)
        packed.writestr("Sensitive/other.jpeg", picture(9))
    pug = files(tmp_path / "pug", {f"Scene_Light/Barrel/x{i}.png": d for i, d in enumerate(PUG_IMAGES.values())})
    hydrate.main(bare, pug=pug, locality=archive, missing=missing)
    assert not list(hydrate.list_left_out(bare))


def test_same_names_in_many_folders(bare: Path, missing: Path, tmp_path: Path) -> None:
    """The nearest path is read first; a wrong one of the same name does no harm."""
    wrong = {f"a/{name}": picture(50 + i) for i, name in enumerate(PUG_IMAGES)}
    right = {f"b/some/{name}": data for name, data in PUG_IMAGES.items()}
    pug = files(tmp_path / "pug", wrong | right)
    copies = hydrate.Copies({"pug": open_images(pug, files=True)})
    images = [image for image in hydrate.list_left_out(bare) if image.of_pug]
    assert hydrate.find(images, copies) == {}
    assert len(copies._digests) == 4, "only the right ones were read"


def test_what_is_missing_or_differs_is_listed_and_nothing_changes(bare: Path, missing: Path, tmp_path: Path) -> None:
    before = state(bare)
    pug = files(tmp_path / "pug", PUG_IMAGES | {"stage_light/2.JPG": picture(77)})
    with pytest.raises(UserError, match=r"7 of 10 images .* as it was; .*missing\.csv"):
        hydrate.main(bare, pug=pug, missing=missing)
    assert state(bare) == before and [p.name for p in bare.parent.iterdir()] == [bare.name]
    rows = listed(missing)
    assert [row["source_id"] for row in rows][:1] == ["some/stage_light/2.JPG"]
    assert rows[0]["problem"].startswith("pug/stage_light/2.JPG: other bytes (sha256 ")
    assert (rows[0]["file"], rows[0]["row"]) == ("edit-stage_light-00000-of-00001.parquet", "2")
    assert {row["problem"] for row in rows[1:]} == {"no file of this name or hash"}


def test_a_part_can_be_filled_in(bare: Path, missing: Path, tmp_path: Path) -> None:
    pug = files(tmp_path / "pug", PUG_IMAGES)
    hydrate.main(bare, pug=pug, allow_partial=True, missing=missing)
    assert [image.file for image in hydrate.list_left_out(bare)] == ["locality-00000-of-00001.parquet"] * 6
    assert json.loads((bare / "build.json").read_text())["published_without_pixels"] is True
    assert "**6 images are here without their pixels**" in (bare / "README.md").read_text()
    assert len(listed(missing)) == 6
    hydrate.main(bare, locality=files(tmp_path / "val", LOCALITY), missing=missing)
    assert not list(hydrate.list_left_out(bare))


def test_what_no_one_should_read_is_not_read(
    bare: Path, missing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Links out of the folder, huge files, unreadable ones; a link within the folder is followed."""
    monkeypatch.setattr(image_files, "MAX_FILE", 10_000)
    outside = files(tmp_path / "outside", PUG_IMAGES)
    pug = files(tmp_path / "pug", {"store/real.bin": PUG_IMAGES["stage_light/3.JPG"], "1.JPG": b"x" * 10_001})
    (pug / "0.JPG").symlink_to(outside / "stage_light" / "0.JPG")
    (pug / "linked").symlink_to(outside)
    (pug / "3.JPG").symlink_to("store/real.bin")
    with pytest.raises(UserError, match="9 of 10"):
        hydrate.main(bare, pug=pug, missing=missing)
    problems = {row["source_id"]: row["problem"] for row in listed(missing)}
    assert problems["some/stage_light/0.JPG"] == "pug/0.JPG: not read (a link out of the folder)"
    assert problems["some/stage_light/1.JPG"].startswith("pug/1.JPG: not read (larger than")
    assert problems["some/stage_light/2.JPG"] == "no file of this name or hash"
    assert "some/stage_light/3.JPG" not in problems


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "", "a\x1b[2J\n.JPG", "C:\\x"])
def test_names_in_the_data_open_no_file(bare: Path, missing: Path, tmp_path: Path, name: str) -> None:
    file = bare / "data" / "edit-stage_light-00000-of-00001.parquet"
    rows = pq.read_table(file)
    place = rows.column_names.index("source_id")
    hostile = rows.set_column(place, rows.schema.field(place), [[name] * len(rows)])
    pq.write_table(hostile, file)
    pug = files(tmp_path / "pug", PUG_IMAGES)
    hydrate.main(bare, pug=pug, locality=files(tmp_path / "val", LOCALITY), missing=missing)
    assert pq.read_table(file).column("image").null_count == 0, "by hash"


def test_other_folders_are_refused(bare: Path, missing: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"build\.json"):
        hydrate.main(tmp_path, missing=missing)
    with pytest.raises(UserError, match="no such file or folder"):
        hydrate.main(bare, pug=tmp_path / "nowhere", missing=missing)
    (tmp_path / "no.zip").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(UserError, match="must be a ZIP archive"):
        hydrate.main(bare, locality=tmp_path / "no.zip", missing=missing)
    file = bare / "data" / "locality-00000-of-00001.parquet"
    file.rename(tmp_path / "moved.parquet")
    file.symlink_to(tmp_path / "moved.parquet")
    with pytest.raises(UserError, match="is a link"):
        hydrate.main(bare, missing=missing)


def test_a_file_that_changes_meanwhile_spoils_nothing(bare: Path, tmp_path: Path) -> None:
    pug = files(tmp_path / "pug", PUG_IMAGES)
    copies = hydrate.Copies({"pug": open_images(pug, files=True)})
    images = [image for image in hydrate.list_left_out(bare) if image.of_pug]
    assert hydrate.find(images, copies) == {}
    before = state(bare)
    (pug / "stage_light" / "1.JPG").write_bytes(picture(5))
    with pytest.raises(UserError, match="changed while"):
        hydrate.fill(bare, {image.sha256: copies for image in images}, partial=True)
    assert state(bare) == before and [p.name for p in bare.parent.iterdir()] == [bare.name]


def test_on_the_command_line(bare: Path, missing: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(bare), "--pug", str(files(tmp_path / "pug", PUG_IMAGES)), "--missing", str(missing)]
    with pytest.raises(SystemExit) as stopped:
        run(hydrate.main, words)
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: 6 of 10 images") and error.count("\n") == 1
    run(hydrate.main, [*words, "--allow-partial"])
    assert "4 of 10 images filled in" in capsys.readouterr().out
