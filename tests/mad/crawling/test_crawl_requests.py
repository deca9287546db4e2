"""A crawl against a real HTTP server: paging, the cap, what servers do wrong, and kills."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from benchmark.core.errors import UserError
from mad.crawling import web
from mad.crawling.clients import Client, connect
from mad.crawling.crawler import CrawlConfig, Crawler, split_window
from mad.crawling.flickr import Flickr, Licence
from mad.crawling.index import Index
from mad.crawling.keywords import Keyword
from tests.mad.flickr_server import KEY, LICENCES, SECRET, START, FlickrServer, serving

BY = {"4": Licence("4", "Attribution License", "https://creativecommons.org/licenses/by/2.0/")}
SPAN = (START, START + 10_000_000)


@pytest.fixture
def flickr(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[FlickrServer]:
    monkeypatch.setattr(web, "BACKOFF", 0.01)
    with serving() as server:
        server.client = getattr(request, "param", "flickrapi")
        yield server


both = pytest.mark.parametrize("flickr", ["flickrapi", "requests"], indirect=True)


def connect_to(server: FlickrServer) -> Client:
    return connect(server.client, KEY, SECRET, server.api)


def crawl(server: FlickrServer, folder: Path, *texts: str, **limits: int) -> dict[str, int]:
    """Crawl for `texts` in order; photos by state."""
    index = Index(folder)
    try:
        keywords = [Keyword(text, number) for number, text in enumerate(texts or ("hen",))]
        api = Flickr(connect_to(server), web.Pace(0))
        Crawler(index, api, web.Pace(0), CrawlConfig(keywords, BY, *SPAN, **limits)).run(progress=False)
        return index.count_by_state()
    finally:
        index.close()


def rows(folder: Path, columns: str, state: str = "kept") -> list[tuple]:
    index = Index(folder)
    photos = index.db.execute(f"SELECT {columns} FROM photo WHERE state = ? ORDER BY photo_id", (state,)).fetchall()
    index.close()
    return photos


def assert_sound(folder: Path) -> None:
    """The images on disk are those that the index keeps, byte for byte."""
    hashes = {sha for (sha,) in rows(folder, "sha256")}
    files = [path for path in folder.rglob("*") if path.is_file() and ".sqlite" not in path.name]
    assert {path.relative_to(folder).as_posix() for path in files} == {f"images/{s[:2]}/{s}.jpg" for s in hashes}
    assert all(hashlib.sha256(path.read_bytes()).hexdigest() == path.stem for path in files)


def searches(server: FlickrServer) -> list[tuple]:
    return [key for key in server.asked if isinstance(key, tuple)]


# -- searching


@both
def test_pages_are_asked_for_once_each(flickr: FlickrServer, tmp_path: Path) -> None:
    flickr.add("a hen", 12)
    assert crawl(flickr, tmp_path, per_page=5) == {"kept": 12}
    assert sorted(page for *_, page in searches(flickr)) == ["1", "2", "3"]
    assert set(flickr.asked.values()) == {1}
    assert_sound(tmp_path)
    assert crawl(flickr, tmp_path, per_page=5) == {"kept": 12}
    assert set(flickr.asked.values()) == {1}  # the second run had nothing to ask


@pytest.mark.parametrize("every", [1, 86_400])
def test_a_search_past_the_cap_is_split_until_nothing_is_missing(flickr, tmp_path: Path, every: int) -> None:
    ids = flickr.add("a hen", 40, every=every)
    flickr.cap = 8
    assert crawl(flickr, tmp_path, cap=8, per_page=4) == {"kept": 40}
    assert [photo_id for (photo_id,) in rows(tmp_path, "photo_id")] == ids
    assert all(count == 1 for count in flickr.asked.values())
    assert all(int(page) <= 2 for *_, page in searches(flickr))


def test_a_second_that_cannot_be_split_gives_what_the_cap_allows(flickr: FlickrServer, tmp_path: Path) -> None:
    ids = flickr.add("a hen", 11, every=0)
    flickr.cap = 4
    assert crawl(flickr, tmp_path, cap=4, per_page=2) == {"kept": 4}
    assert [photo_id for (photo_id,) in rows(tmp_path, "photo_id")] == ids[:4]


@pytest.mark.parametrize(("total", "cap"), [(4000, 4000), (10**6, 4000), (9, 4), (10**6, 1)])
def test_narrower_windows_cover_the_window_without_gap_or_overlap(total: int, cap: int) -> None:
    first, last = START, START + 5000
    windows = sorted(split_window(first, last, total, cap))
    assert windows[0][0] == first and windows[-1][1] == last and len(windows) > 1
    assert all(start <= end for start, end in windows)
    assert all(after[0] == before[1] + 1 for before, after in pairwise(windows))
    assert split_window(first, last, cap - 1, cap) == [(first, last)]
    assert split_window(first, first, total, cap) == [(first, first)]


@both
def test_what_was_not_asked_for_is_left_out(flickr: FlickrServer, tmp_path: Path) -> None:
    (photo,) = flickr.add("a hen")
    flickr.add("a cock")
    flickr.add("a hen", licence="0")
    flickr.add("a hen", dateupload=str(SPAN[1] + 1))
    flickr.add("a hen", dateupload=str(SPAN[0] - 1))
    flickr.add("a hen", url_z="")  # no size that may be fetched
    flickr.add("a hen", id="../../etc/passwd")
    assert crawl(flickr, tmp_path) == {"kept": 1}
    assert rows(tmp_path, "photo_id") == [(photo,)]


def test_a_photo_under_two_keywords_is_fetched_once(flickr: FlickrServer, tmp_path: Path) -> None:
    (both,) = flickr.add("a hen and a cock")
    assert crawl(flickr, tmp_path, "hen", "cock") == {"kept": 1}
    assert flickr.asked[both] == 1 and rows(tmp_path, "keyword, class_index") == [("hen", 0)]


def test_a_full_class_asks_for_no_more(flickr: FlickrServer, tmp_path: Path) -> None:
    flickr.add("a hen", 12)
    assert crawl(flickr, tmp_path, per_class=7, per_page=5) == {"kept": 7, "found": 3}
    assert len(searches(flickr)) == 2
    assert crawl(flickr, tmp_path, per_page=5) == {"kept": 12}
    assert set(flickr.asked.values()) == {1}


# -- what goes wrong


@both
@pytest.mark.parametrize("target", ["licenses", "search", "image"])
@pytest.mark.parametrize("fault", ["500", "503", "cut", "429"])
def test_what_passes_by_itself_is_asked_again(flickr: FlickrServer, tmp_path: Path, target: str, fault: str) -> None:
    (photo,) = flickr.add("a hen")
    request = photo if target == "image" else target
    flickr.faults[request] = [fault]
    known = Flickr(connect_to(flickr), web.Pace(0)).list_licences()
    assert [licence.id for licence in known] == [licence[0] for licence in LICENCES]
    assert crawl(flickr, tmp_path) == {"kept": 1}
    assert_sound(tmp_path)
    first, second = flickr.times[request][:2]
    assert len(flickr.times[request]) == 2 and (second - first >= 1.0 or fault != "429")  # Retry-After: 1


@both
@pytest.mark.parametrize("fault", ["fail 105", "fail 10", "garbage"])
def test_flickrs_own_troubles_pass_too(flickr: FlickrServer, tmp_path: Path, fault: str) -> None:
    flickr.add("a hen")
    flickr.faults["search"] = [fault, fault]
    assert crawl(flickr, tmp_path) == {"kept": 1}


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("truncated", "does not decode"),
        ("html", "not an image but text/html"),
        ("garbage", "not a JPEG"),
        ("png", "not a JPEG"),
        ("huge", "more than"),
        ("403", "HTTP 403"),
    ],
)
def test_what_is_no_image_is_never_kept_and_tried_in_three_runs(flickr, tmp_path, monkeypatch, fault, why) -> None:
    bad, good = flickr.add("a hen", 2)
    monkeypatch.setattr(web, "MAX_BYTES", max(map(len, flickr.images.values())) + 1000)
    flickr.faults[bad] = [fault] * 2
    assert crawl(flickr, tmp_path) == {"failed": 1, "kept": 1}
    assert why in rows(tmp_path, "error", "failed")[0][0]
    assert_sound(tmp_path)
    assert crawl(flickr, tmp_path) == {"failed": 1, "kept": 1}
    assert crawl(flickr, tmp_path) == {"kept": 2}
    assert flickr.asked[bad] == 3 and flickr.asked[good] == 1


def test_a_failure_has_an_end(flickr: FlickrServer, tmp_path: Path) -> None:
    bad, gone = flickr.add("a hen", 2)
    flickr.faults[bad], flickr.faults[gone] = ["truncated"] * 9, ["404"] * 9
    for _ in range(5):
        assert crawl(flickr, tmp_path) == {"failed": 2}
    assert flickr.asked[bad] == 3 and flickr.asked[gone] == 1


@both
def test_a_network_that_is_down_stops_the_crawl(flickr: FlickrServer, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(web, "RETRIES", 0)
    for photo in flickr.add("a hen", 12):
        flickr.faults[photo] = ["503"] * 1
    with pytest.raises(UserError, match="10 images in a row cannot be reached"):
        crawl(flickr, tmp_path)
    assert crawl(flickr, tmp_path) == {"kept": 10, "failed": 2} and crawl(flickr, tmp_path) == {"kept": 12}


@both
def test_a_server_that_stays_away_is_one_line(flickr: FlickrServer, tmp_path: Path) -> None:
    flickr.faults["search"] = ["500"] * 20
    with pytest.raises(UserError, match=r"cannot be reached .*goes on where it stopped"):
        crawl(flickr, tmp_path)


@both
def test_every_request_waits_for_its_turn(flickr: FlickrServer, tmp_path: Path, monkeypatch) -> None:
    waits = []
    monkeypatch.setattr(web.Pace, "wait", lambda pace: waits.append(pace))
    flickr.add("a hen", 7)
    crawl(flickr, tmp_path, per_page=5)
    assert len(waits) == sum(flickr.asked.values()) == 9 and len(set(map(id, waits))) == 2  # API and images


@both
@pytest.mark.parametrize("fault", ["fail 98", "fail 100", "401"])
def test_a_key_that_is_refused_is_one_line(flickr: FlickrServer, tmp_path: Path, fault: str) -> None:
    flickr.faults["search"] = [fault]
    with pytest.raises(UserError, match=r"Flickr refuses the key .*check FLICKR_API_KEY"):
        crawl(flickr, tmp_path)
    assert len(flickr.times["search"]) == 1


@both
@pytest.mark.parametrize("fault", ["fail 3", "403"])
def test_a_call_that_is_refused_is_one_line(flickr: FlickrServer, tmp_path: Path, fault: str) -> None:
    flickr.faults["search"] = [fault]
    with pytest.raises(UserError, match=r"Flickr refuses a call .*goes on where it stopped"):
        crawl(flickr, tmp_path)
    assert len(flickr.times["search"]) == 1


# -- kills

CHILD = """
import sys
from tests.mad.crawling.test_crawl_requests import *
class Server: api, client = sys.argv[1], "flickrapi"
crawl(Server, Path(sys.argv[2]), per_page=5, cap=9)
"""


def test_killed_again_and_again_it_fetches_nothing_twice(flickr: FlickrServer, tmp_path: Path) -> None:
    flickr.add("a hen", 23)
    flickr.cap = 9
    command = [sys.executable, "-c", CHILD, flickr.api, str(tmp_path)]
    kills = (1, 4, 2)  # by how many requests further on
    for flickr.hang_in in kills:
        flickr.hanging.clear()
        flickr.go_on.clear()
        child = subprocess.Popen(command, cwd=Path(__file__).parents[3])
        assert flickr.hanging.wait(60)
        child.kill()
        assert child.wait() != 0
        flickr.go_on.set()
        assert_sound(tmp_path)
    assert crawl(flickr, tmp_path, per_page=5, cap=9) == {"kept": 23}
    assert_sound(tmp_path)
    again = {key: count - 1 for key, count in flickr.asked.items() if count > 1}
    assert sum(again.values()) == len(kills)  # none but those that a kill left without an answer
    assert {type(key) for key in again} == {tuple, str}  # searches and images were under way


@pytest.mark.parametrize("step", ["add_picture", "_settle", "_move_in"])
def test_stopped_while_an_image_is_put_away(flickr: FlickrServer, tmp_path: Path, monkeypatch, step: str) -> None:
    flickr.add("a hen", 2)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Index, step, stop)
        with pytest.raises(KeyboardInterrupt):
            crawl(flickr, tmp_path)
    assert [*(tmp_path / ".incoming").iterdir()]
    assert crawl(flickr, tmp_path) == {"kept": 2}
    assert_sound(tmp_path)
    assert max(flickr.asked.values()) == (1 if step == "_move_in" else 2)
