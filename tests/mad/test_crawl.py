"""The command: a crawl from end to end, photos that it must leave out, and errors for bad input."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from benchmark.core.cli import run
from benchmark.images.open import open_images
from mad import crawl
from mad.crawling import web
from mad.crawling.attribution import COLUMNS
from mad.crawling.duplicates import compute_sha256
from tests.mad.flickr_server import KEY, SECRET, START, FlickrServer, jpeg, picture, serving


@pytest.fixture
def flickr(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FlickrServer]:
    monkeypatch.setattr(web, "BACKOFF", 0.01)
    monkeypatch.setenv(crawl.KEY, KEY)
    monkeypatch.setenv(crawl.SECRET, SECRET)
    monkeypatch.chdir(tmp_path)
    with serving() as server:
        yield server


def call(server: FlickrServer, *arguments: object, out: str = "crawl") -> pd.DataFrame:
    """Crawl for volleyballs; return the attribution table."""
    command = ["--out", out, "--classes", "volleyball", "--api", server.api, "--requests-per-second", "0"]
    run(crawl.main, [*command, *map(str, arguments)])
    return read_attribution(Path(out))


def read_attribution(out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "attribution.csv", dtype=str, keep_default_na=False)


def fails(capsys: pytest.CaptureFixture[str], server: FlickrServer, *arguments: object) -> str:
    """The one line that the command prints when it ends with exit code 2."""
    with pytest.raises(SystemExit) as stop:
        call(server, *arguments)
    assert stop.value.code == 2
    printed = capsys.readouterr().err
    assert "Traceback" not in printed
    return [line for line in printed.splitlines() if line.startswith("error: ")][-1]


def images(out: str = "crawl") -> set[str]:
    return {path.relative_to(out).as_posix() for path in Path(out, "images").rglob("*.jpg")}


# -- what it makes


@pytest.mark.parametrize("client", ["flickrapi", "requests"])
def test_a_crawl_is_a_pool_with_attribution(flickr: FlickrServer, capsys, client: str) -> None:
    title = 'A "volleyball" ball,\n=HYPERLINK("x") <b>é</b>'
    ids = [*flickr.add(title, 3), *flickr.add("volleyball ball", licence="5")]
    table = call(flickr, "--client", client)
    assert tuple(table) == COLUMNS and len(table) == 4 and set(table["file"]) == images()
    rows = table.set_index("photo_id")
    for photo_id in ids:
        row, photo = rows.loc[photo_id], flickr.photos[ids.index(photo_id)]
        sha = compute_sha256(flickr.images[photo_id])
        assert row["sha256"] == sha and row["file"] == f"images/{sha[:2]}/{sha}.jpg"
        assert Path("crawl", row["file"]).read_bytes() == flickr.images[photo_id]
        assert (row["owner"], row["owner_name"], row["title"]) == (photo["owner"], photo["ownername"], photo["title"])
        assert row["page_url"] == f"https://www.flickr.com/photos/{photo['owner']}/{photo_id}/"
        assert pd.Timestamp(row["date_upload"]).timestamp() == int(photo["dateupload"])
        assert (row["date_taken"], row["class_index"]) == ("2004-01-02 03:04:05", "890")
    assert rows.loc[ids[3], "licence"] == "Attribution-ShareAlike License"
    assert rows.loc[ids[3], "licence_url"] == "https://creativecommons.org/licenses/by-sa/2.0/"
    assert sorted(open_images(Path("crawl")).ids) == sorted(images())
    assert "4 kept" in capsys.readouterr().out


def test_requests_takes_over_where_flickrapi_does_not_import(flickr: FlickrServer, capsys, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "flickrapi", None)
    flickr.add("volleyball ball", 2)
    assert len(call(flickr)) == 2
    assert "note: flickrapi does not work here" in capsys.readouterr().err


def test_only_licences_that_allow_passing_on_and_only_before_stable_diffusion(flickr: FlickrServer) -> None:
    day = 86_400
    for licence in ("0", "1", "4", "7", "9", "10", "11"):
        flickr.add("volleyball ball", licence=licence)
    release = int(pd.Timestamp("2022-08-22", tz="UTC").timestamp())
    flickr.add("volleyball ball", dateupload=str(release))
    flickr.add("volleyball ball", dateupload=str(release - 1))
    assert sorted(call(flickr)["photo_id"]) == ["5001", "5002", "5004", "5005", "5006", "5008"]
    assert len(call(flickr, "--licences", "7", "by-sa", out="other")) == 1
    early = call(flickr, "--before", "2004-11-12", "--after", "2004-11-10", "--licences", "by", "9", out="early")
    uploads = [START + day * (int(photo_id) - 5000) for photo_id in early["photo_id"]]
    assert not uploads or max(uploads) < pd.Timestamp("2004-11-12", tz="UTC").timestamp()
    assert early["photo_id"].tolist() == ["5002"]


def test_exact_and_near_duplicates_are_dropped(flickr: FlickrServer) -> None:
    first, exact, smaller, other = flickr.add("volleyball ball", 4)
    flickr.images[exact] = flickr.images[first]
    flickr.images[smaller] = jpeg(picture(0).resize((200, 200)), quality=60)
    assert sorted(call(flickr)["photo_id"]) == [first, other]
    assert len(images()) == 2


def test_excluded_folders_stay_out_of_new_and_old_crawls(flickr: FlickrServer, capsys) -> None:
    ids = flickr.add("volleyball ball", 5)
    folder = Path("imagenet/n04540053")
    folder.mkdir(parents=True)
    (folder / "a.JPEG").write_bytes(jpeg(picture(1).resize((224, 224))))
    (folder / "broken.JPEG").write_bytes(flickr.images[ids[2]][:500])
    (folder / "notes.txt").write_text("no image")
    assert sorted(call(flickr, "--exclude", "imagenet")["photo_id"]) == [ids[0], *ids[2:]]
    (folder / "b.png").write_bytes(flickr.images[ids[3]])
    assert sorted(call(flickr, "--exclude", "imagenet")["photo_id"]) == [ids[0], ids[2], ids[4]]
    assert "images removed, like those in imagenet: 1" in capsys.readouterr().out
    flickr.add("volleyball ball")
    flickr.images["5005"] = flickr.images[ids[3]]
    assert len(call(flickr, "--after", "2004-11-01")) == 3  # not named again, and kept out all the same
    assert len(images()) == 3 and flickr.asked["5005"] == 1


def test_an_excluded_folder_is_read_once(flickr: FlickrServer, monkeypatch) -> None:
    from mad.crawling import removal

    read = []
    monkeypatch.setattr(removal, "_fingerprint", lambda path: (read.append(path.name), (path.name, None))[1])
    Path("mine").mkdir()
    for name in ("a.jpg", "b.jpg"):
        Path("mine", name).write_text(name)
    call(flickr, "--exclude", "mine")
    call(flickr, "--exclude", "mine")
    assert sorted(read) == ["a.jpg", "b.jpg"]
    Path("mine", "b.jpg").write_text("longer")
    call(flickr, "--exclude", "mine")
    assert sorted(read) == ["a.jpg", "b.jpg", "b.jpg"]


@pytest.mark.parametrize(
    "entry",
    [
        lambda photo, sha: photo["id"],
        lambda photo, sha: f"https://www.flickr.com/photos/some-body/{photo['id']}/in/photostream",
        lambda photo, sha: f"https://live.staticflickr.com/7/{photo['id']}_0a1b2c_z.jpg",
        lambda photo, sha: sha.upper(),
        lambda photo, sha: photo["owner"],
        lambda photo, sha: "https://www.flickr.com/people/Some-Body/",
        lambda photo, sha: "some-body",
    ],
)
def test_a_takedown_is_for_good(flickr: FlickrServer, capsys, entry) -> None:
    flickr.add("volleyball ball", 3)
    (removed,) = flickr.add("volleyball ball", owner="77@N07", pathalias="Some-Body", ownername="Some Body")
    assert removed in call(flickr)["photo_id"].tolist()
    Path("list.txt").write_text(f"# asked us\n\n {entry(flickr.photos[-1], compute_sha256(flickr.images[removed]))} \n")
    table = call(flickr, "--takedown", "list.txt")
    assert "images taken down: 1" in capsys.readouterr().out
    for _ in range(2):
        assert len(table) == 3 and removed not in table["photo_id"].tolist() and set(table["file"]) == images()
        table = call(flickr, "--after", "2004-11-01")  # the photo is found once more, the list not named
    assert flickr.asked[removed] == 1
    with sqlite3.connect("crawl/index.sqlite") as index:
        row = index.execute("SELECT state, title, owner_name FROM photo WHERE photo_id = ?", (removed,)).fetchone()
    assert row == ("taken down", "", "")


def test_a_photo_taken_down_before_it_is_found_is_never_fetched(flickr: FlickrServer) -> None:
    by_id, by_owner, by_bytes, fine = flickr.add("volleyball ball", 4)
    flickr.photos[1]["owner"] = "77@N07"
    Path("list.txt").write_text(f"{by_id}\n77@n07\n{compute_sha256(flickr.images[by_bytes])}\n")
    assert call(flickr, "--takedown", "list.txt")["photo_id"].tolist() == [fine]
    assert flickr.asked[by_id] == flickr.asked[by_owner] == 0
    assert len(images()) == 1


def test_a_takedown_knows_an_owner_in_any_spelling(flickr: FlickrServer) -> None:
    flickr.add("volleyball ball", 1)
    flickr.add("volleyball ball", pathalias="\u00c9VE")
    assert len(call(flickr)) == 2
    Path("list.txt").write_text("\u00e9ve\n", encoding="utf-8")
    assert len(call(flickr, "--takedown", "list.txt")) == 1
    flickr.add("volleyball ball", pathalias="E\u0301ve")
    assert len(call(flickr, "--after", "2004-11-01")) == 1


def test_a_takedown_takes_exact_copies_and_needs_no_key(flickr: FlickrServer, capsys, monkeypatch) -> None:
    first, copy, fine = flickr.add("volleyball ball", 3)
    flickr.images[copy] = flickr.images[first]
    call(flickr)
    Path("list.txt").write_text(copy)
    monkeypatch.delenv(crawl.KEY)
    assert crawl.KEY in fails(capsys, flickr, "--takedown", "list.txt")
    assert read_attribution(Path("crawl"))["photo_id"].tolist() == [fine] and len(images()) == 1


def test_a_removal_that_was_interrupted_is_finished(flickr: FlickrServer, monkeypatch) -> None:
    from mad.crawling import removal

    first, second = flickr.add("volleyball ball", 2)
    call(flickr)
    Path("list.txt").write_text(first)
    with monkeypatch.context() as patch, pytest.raises(SystemExit) as stop:
        patch.setattr(removal, "_unlink", lambda *_: (_ for _ in ()).throw(OSError(5, "broken", "disk")))
        call(flickr, "--takedown", "list.txt")
    assert stop.value.code == 2 and len(images()) == 2
    assert call(flickr)["photo_id"].tolist() == [second] and len(images()) == 1


# -- bad input


def test_a_refused_key(flickr: FlickrServer, capsys, monkeypatch) -> None:
    monkeypatch.setenv(crawl.KEY, "another")
    printed = fails(capsys, flickr)
    assert "refuses the key" in printed and "Invalid API Key" in printed and crawl.KEY in printed
    assert flickr.asked["licenses"] == 1  # not asked again
    assert not Path("crawl").exists()  # which `mad.search` would take for a pool


@pytest.mark.parametrize("name", [crawl.KEY, crawl.SECRET])
def test_no_key(flickr: FlickrServer, capsys, monkeypatch, name: str) -> None:
    monkeypatch.setenv(name, " ")
    assert "not both set" in fails(capsys, flickr)
    assert not flickr.asked and not Path("crawl").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--exclude", "nowhere", "--out", "new"], "no such folder"),
        (["--classes", "voleyball"], 'did you mean "volleyball"'),
        (["--classes", "1000"], 'no ImageNet class is called "1000"'),
        (["--classes", "crane"], "134 and 517"),
        (["--licences", "by-as"], 'did you mean "by-sa"'),
        (["--licences", "99"], "no licence is called"),
        (["--licences", "by-nd"], "has none of the licences by-nd"),
        (["--licences"], "needs a licence"),
        (["--before", "22.8.2022"], "--before must be a day"),
        (["--before", "2004-01-01"], "no day lies between"),
        (["--per-class", "-1"], "--per-class"),
        (["--requests-per-second", "nan"], "--requests-per-second"),
        (["--requests-per-second", "-1"], "--requests-per-second"),
        (["--exclude", "."], "lie in each other"),
        (["--exclude", "crawl/images"], "lie in each other"),
        (["--takedown", "nowhere.txt"], "name another --takedown"),
        (["--takedown", "odd.txt"], "odd.txt, line 2"),
        (["--api", "http://127.0.0.1:1/"], "cannot be reached"),
        (["--out", "other"], "holds holiday.jpg, which no crawl made"),
        (["--out", "text"], "no SQLite database"),
        (["--out", "newer"], "has version 99"),
    ],
)
def test_bad_input_is_one_line(flickr: FlickrServer, capsys, monkeypatch, arguments, message: str) -> None:
    monkeypatch.setattr(web, "RETRIES", 0)
    Path("odd.txt").write_text("123\nplease remove my photos!\n")
    for name in ("other", "text", "newer", "crawl/images"):
        Path(name).mkdir(parents=True)
    Path("crawl/index.sqlite").touch()
    Path("other/holiday.jpg").touch()
    Path("text/index.sqlite").write_text("this is text, long enough to be looked at" * 99)
    with sqlite3.connect("newer/index.sqlite") as newer:
        newer.execute("PRAGMA user_version = 99")
    assert message in fails(capsys, flickr, *arguments)
    assert not Path("new").exists()


def test_two_crawls_do_not_share_a_folder(flickr: FlickrServer, capsys) -> None:
    from mad.crawling.index import Index

    first = Index(Path("crawl"))
    try:
        assert f"another process is at work there (process {os.getpid()} on" in fails(capsys, flickr)
    finally:
        first.close()


def test_a_full_disk_is_one_line_and_loses_nothing(flickr: FlickrServer, capsys, monkeypatch) -> None:
    flickr.add("volleyball ball", 3)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert "No space left on device" in fails(capsys, flickr)
    assert len(call(flickr)) == 3 and len(images()) == 3
