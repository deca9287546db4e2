from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pandas as pd
import pytest

from benchmark.core.cli import run
from benchmark.core.text import printable
from benchmark.labels import imagenet
from benchmark.labels.names import class_index
from mad.review.__main__ import export, status
from mad.review.export import name_folder
from mad.review.groups import ClassPair, read_candidates
from mad.review.images import find_images
from mad.review.session import Session
from mad.review.store import FILE, AnswerStore


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def fails(capsys, command, *arguments: object) -> str:
    """The one line that the command prints when it ends with exit code 2."""
    with pytest.raises(SystemExit) as stop:
        run(command, [str(argument) for argument in arguments])
    assert stop.value.code == 2
    return capsys.readouterr().err


@pytest.fixture
def reviewed(search_folder: Path, answer_all) -> Path:
    answer_all("ann", "yynnyy")
    answer_all("bo", "ynyny")
    return search_folder


def accept_all(search_folder: Path) -> None:
    candidates = read_candidates(search_folder)
    store = AnswerStore(search_folder / FILE)
    for annotator in ("ann", "bo"):
        session = Session(candidates.images, find_images(candidates), store, annotator)
        for _ in candidates.images:
            session.answer(session.view()["item"]["key"], True)
    store.close()


def exported(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


# -- what is written


def test_what_both_accepted_in_the_released_layout(reviewed: Path, pool: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "natural"
    run(export, [str(reviewed), "--out", str(out)])
    files = exported(out)
    expected = {
        f"890_volleyball-basketball/{sha256(pool / 'a.jpg')}.jpg": (pool / "a.jpg").read_bytes(),
        f"134_crane-crane 517/{sha256(pool / 'e.png')}.png": (pool / "e.png").read_bytes(),
    }
    assert {name: files[name] for name in files if "/" in name} == expected
    assert files.keys() - expected.keys() == {"attribution.csv", "review.json"}
    attribution = pd.read_csv(out / "attribution.csv", dtype=str, keep_default_na=False)
    assert sorted(attribution["file"]) == sorted(expected)
    assert all(sha256(out / row["file"]) == row["sha256"] for row in attribution.to_dict("records"))
    notes = json.loads((out / "review.json").read_text())
    assert notes["annotators"] == ["ann", "bo"] and notes["images"] == 2 and notes["conflicts_left_out"] == 2
    assert notes["answered_by_both"] == 5 and notes["not_answered_by_both"] == 1 and notes["rejected"] == 1
    assert notes["cohen_kappa"] == pytest.approx((3 / 5 - 13 / 25) / (12 / 25), abs=1e-6)
    printed = capsys.readouterr()
    assert "2 images" in printed.out and "1 rejected, 2 conflicts, 1 not answered" in printed.out
    assert printed.err.endswith("note: 2 images have no attribution; only a pool that mad.crawl made has it\n")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")], "nothing half-made is left"


def test_a_third_person_resolves_conflicts(
    reviewed: Path, pool: Path, store: AnswerStore, tmp_path: Path, capsys
) -> None:
    candidates = read_candidates(reviewed)
    conflicts = [image for image in candidates.images if image.name in ("b.png", "c.webp")]
    cy = Session(conflicts, find_images(candidates), store, "cy")
    for accepted in (False, True):
        cy.answer(cy.view()["item"]["key"], accepted)
    assert "name two with --annotators" in fails(capsys, export, reviewed, "--out", tmp_path / "natural")
    run(export, [str(reviewed), "--out", str(tmp_path / "natural"), "--resolve", "cy"])
    images = {path.stem for path in (tmp_path / "natural").glob("*_*/*")}
    assert images == {sha256(pool / name) for name in ("a.jpg", "c.webp", "e.png")}


def test_attribution_comes_from_the_crawl(write_search, pool: Path, tmp_path: Path) -> None:
    """The pool becomes a crawl's folder, of which one image has lost its row."""
    members, credits = [], []
    for image in ("a.jpg", "f.jpg"):
        digest = sha256(pool / image)
        members.append(f"images/{digest[:2]}/{digest}.jpg")
        (pool / members[-1]).parent.mkdir(parents=True, exist_ok=True)
        (pool / image).rename(pool / members[-1])
        credit = {
            "file": members[-1],
            "photo_id": "17",
            "owner": "1@N01",
            "owner_name": '=Zoë, "O\'Neil"',
            "title": "<b>beach</b>",
            "page_url": "https://photos.example/17",
            "licence": "CC BY 2.0",
            "licence_url": "https://licences.example/by",
            "date_upload": "2020-01-01",
            "sha256": digest,
        }
        credits.append(credit)
    pd.DataFrame(credits[:1]).to_csv(pool / "attribution.csv", index=False)
    search_folder = write_search({"890-430": members})
    accept_all(search_folder)
    run(export, [str(search_folder), "--out", str(tmp_path / "natural")])
    table = pd.read_csv(tmp_path / "natural" / "attribution.csv", dtype=str, keep_default_na=False)
    columns = ["owner", "owner_name", "title", "page_url", "licence", "licence_url", "photo_id", "sha256"]
    assert list(table.columns) == ["file", *columns]
    rows = table.set_index("sha256").to_dict("index")
    row = rows[credits[0]["sha256"]]
    expected = {**credits[0], "owner_name": "'=Zoë, \"O'Neil\""}  # which a spreadsheet does not compute
    assert {column: row[column] for column in columns[:-1]} == {column: expected[column] for column in columns[:-1]}
    assert rows[credits[1]["sha256"]]["licence"] == "", "what is not known is left empty"


def test_images_that_went_or_changed_are_left_out(reviewed: Path, pool: Path, tmp_path: Path, capsys) -> None:
    (pool / "a.jpg").unlink()
    (pool / "e.png").write_bytes((pool / "f.jpg").read_bytes())
    run(export, [str(reviewed), "--out", str(tmp_path / "natural")])
    skipped = pd.read_csv(tmp_path / "natural" / "skipped.csv").set_index("image")["reason"]
    assert skipped.to_dict() == {"a.jpg": "not in the pool", "e.png": "not the file that was reviewed"}
    assert not list((tmp_path / "natural").glob("*_*"))
    assert "2 accepted images" in capsys.readouterr().out


def test_hostile_names_stay_out_of_the_disk(write_search, pool: Path, tmp_path: Path) -> None:
    names = ["<img src=x onerror=alert(1)>.png", "=cmd.png", "a\nb.png"]
    for name, image in zip(names, ["b.png", "e.png", "a.jpg"], strict=True):
        (pool / image).rename(pool / name)
    search_folder = write_search({"890-430": [printable(name) for name in names]})
    accept_all(search_folder)
    run(export, [str(search_folder), "--out", str(tmp_path / "natural")])
    images = [path.name for path in (tmp_path / "natural" / "890_volleyball-basketball").iterdir()]
    assert len(images) == 3 and all(re.fullmatch(r"[0-9a-f]{64}\.(png|jpg)", name) for name in images)


def test_every_group_has_a_folder_of_its_own_that_says_the_label() -> None:
    names = imagenet.names()
    twice = [index for index in range(1000) if names.count(names[index]) > 1]
    assert len(twice) == 4
    folders = [
        name_folder(ClassPair(strong, base)) for strong in (*twice, 890) for base in (*twice, 430) if strong != base
    ]
    assert len({*folders}) == len(folders)
    for index in range(1000):
        folder = name_folder(ClassPair(index, (index + 1) % 1000))
        assert class_index(folder.partition("_")[0]) == index
        assert re.fullmatch(r"\d+_[A-Za-z '.\-]+( \d+)?", folder), "a name that every file system takes"


# -- what is wrong


def test_a_folder_with_something_in_it_is_left_alone(reviewed: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "natural"
    out.mkdir()
    run(export, [str(reviewed), "--out", str(out)])
    before = exported(out)
    assert "name another --out" in fails(capsys, export, reviewed, "--out", out)
    assert exported(out) == before


def test_nothing_to_export(search_folder: Path, answer_all, tmp_path: Path, capsys) -> None:
    assert "nobody has answered yet" in fails(capsys, export, search_folder, "--out", tmp_path / "natural")
    answer_all("ann", "yyyyyy")
    assert "verified by two annotators, not by ann" in fails(
        capsys, export, search_folder, "--out", tmp_path / "natural"
    )
    answer_all("bo", "nnnnnn")
    assert "no image is accepted by both" in fails(capsys, export, search_folder, "--out", tmp_path / "natural")
    assert not (tmp_path / "natural").exists()


def test_a_full_disk_leaves_nothing_half_made(reviewed: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    def full(path: Path, encoded: bytes) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    assert "No space left on device" in fails(capsys, export, reviewed, "--out", tmp_path / "natural")
    assert [path.name for path in tmp_path.iterdir() if "natural" in path.name] == []


# -- status


def test_status(reviewed: Path, capsys) -> None:
    run(status, [str(reviewed)])
    printed = " ".join(capsys.readouterr().out.split())
    assert "ann 6 6 4 2" in printed and "bo 5 6 3 2" in printed
    assert "ann, bo: both answered 5 images, agree on 60.0%, Cohen's kappa 0.167, 2 conflicts" in printed
    assert f"decide them: python -m mad.review {reviewed} --annotator NAME --conflicts" in printed
    assert printed.endswith(f"next: python -m mad.review export {reviewed} --out groups")
    conflicts = pd.read_csv(reviewed / "conflicts.csv")
    assert conflicts["image"].tolist() == ["b.png", "c.webp"]
    assert conflicts["accepted_by"].tolist() == ["ann", "bo"]


def test_status_where_kappa_is_not_defined(search_folder: Path, answer_all, capsys, tmp_path: Path) -> None:
    answer_all("ann", "yy")
    answer_all("[red]bo", "yyy")
    run(status, [str(search_folder), "--out", str(tmp_path / "mine.csv")])
    printed = " ".join(capsys.readouterr().out.split())
    assert "[red]bo 3 6 3 0" in printed and "agree on 100.0%, Cohen's kappa –, 0 conflicts" in printed
    assert len(pd.read_csv(tmp_path / "mine.csv")) == 0
