"""A crawl against a server that lies, drips, or asks for pauses of a day: it ends, and keeps what is true."""

from __future__ import annotations

import csv
import time
from email.utils import formatdate
from pathlib import Path

import pytest

from benchmark.core.errors import UserError
from mad.crawling import web
from mad.crawling.attribution import write_attribution
from mad.crawling.crawler import CrawlConfig, Crawler, split_window
from mad.crawling.flickr import Flickr, Licence, read_page
from mad.crawling.index import Index
from mad.crawling.keywords import Keyword
from mad.crawling.transport import read_retry_after
from tests.mad.crawling.test_crawl_requests import BY, SPAN, both, connect_to, crawl, flickr, rows, searches
from tests.mad.flickr_server import START, FlickrServer

SA = {"5": Licence("5", "Attribution-ShareAlike License", "https://creativecommons.org/licenses/by-sa/2.0/")}
__all__ = ["flickr"]  # the fixture


# -- pauses


@both
@pytest.mark.parametrize("target", ["search", "image"])
@pytest.mark.parametrize("value", ["0.5", "1m0s", "soon", "", "-5", "nan", "0x10", formatdate(0, usegmt=True)])
def test_any_retry_after_is_a_pause_and_then_the_next_try(
    flickr: FlickrServer, tmp_path: Path, target: str, value: str
) -> None:
    (photo,) = flickr.add("a hen")
    flickr.faults[photo if target == "image" else target] = [f"retry {value}"]
    assert crawl(flickr, tmp_path) == {"kept": 1}


@pytest.mark.parametrize(
    ("value", "seconds"), [("2", 2), (" 0.25 ", 0.25), ("7.", 7), ("0", 0), ("1m0s", 3), ("-3", 3)]
)
def test_a_retry_after_in_seconds(value: str, seconds: float) -> None:
    assert read_retry_after(value, usual=3) == seconds


def test_a_retry_after_as_a_date() -> None:
    assert read_retry_after(formatdate(time.time() + 60, usegmt=True), usual=3) == pytest.approx(60, abs=2)
    assert read_retry_after(formatdate(time.time() - 60, usegmt=True), usual=3) == 0


@both
@pytest.mark.parametrize("target", ["search", "image"])
@pytest.mark.parametrize("value", ["86400", "121", "9" * 500, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_pause_of_hours_ends_the_crawl_in_one_line(
    flickr: FlickrServer, tmp_path: Path, target: str, value: str
) -> None:
    (photo,) = flickr.add("a hen")
    request = photo if target == "image" else target
    flickr.faults[request] = [f"retry {value}"]
    with pytest.raises(UserError, match=r"pause of more than 120 seconds.*the same command goes on later"):
        crawl(flickr, tmp_path)
    assert len(flickr.times[request]) == 1
    assert crawl(flickr, tmp_path) == {"kept": 1}


# -- answers without end


@pytest.mark.parametrize("fault", ["drip", "drip head"])
def test_an_image_that_drips_holds_the_crawl_for_one_deadline(flickr, tmp_path, monkeypatch, fault: str) -> None:
    monkeypatch.setattr(web, "TIMEOUT", 1.0)
    slow, _ = flickr.add("a hen", 2)
    flickr.faults[slow] = [fault]
    begin = time.monotonic()
    assert crawl(flickr, tmp_path) == {"failed": 1, "kept": 1}
    assert 1.0 <= time.monotonic() - begin < 15.0 and flickr.asked[slow] == 1
    assert "no whole answer in 1 seconds" in rows(tmp_path, "error", "failed")[0][0]
    assert crawl(flickr, tmp_path) == {"kept": 2}


@pytest.mark.parametrize(("flickr", "fault"), [("flickrapi", "drip"), ("requests", "drip head")], indirect=["flickr"])
def test_a_search_that_drips_is_asked_again_and_ends_in_one_line(flickr, tmp_path, monkeypatch, fault: str) -> None:
    monkeypatch.setattr(web, "TIMEOUT", 1.0)
    flickr.add("a hen")
    flickr.faults["search"] = [fault]
    assert crawl(flickr, tmp_path / "once") == {"kept": 1}
    flickr.faults["search"] = [fault] * web.TRIES
    with pytest.raises(UserError, match=r"cannot be reached \(.*Timeout.*goes on where it stopped"):
        crawl(flickr, tmp_path / "always")
    assert not flickr.faults["search"]


@pytest.mark.parametrize("location", ["/{0}_z.jpg", "http://", "file:///etc/passwd", "http://[::1/x.jpg"])
def test_redirects_end(flickr: FlickrServer, tmp_path: Path, location: str) -> None:
    moved, good = flickr.add("a hen", 2)
    flickr.faults[moved] = [f"moved {location.format(moved)}"] * 40
    assert crawl(flickr, tmp_path) == {"failed": 1, "kept": 1}
    assert flickr.asked[moved] <= web.REDIRECTS + 1 and flickr.asked[good] == 1


@both
@pytest.mark.parametrize(
    "answer",
    [
        "[" * 100_000,
        '{"stat": "ok", "photos": ' * 100_000,
        '{"stat": "ok", "photos": {"photo": [], "pages": 1, "total": 1e999}}',
        '{"stat": "ok", "photos": {"photo": [], "pages": 1, "total": ' + "9" * 5000 + "}}",
        '{"stat": "ok", "photos": [1, 2]}',
        "null",
        "x" * 3000,
    ],
    ids=["deep list", "deep object", "infinite", "digits", "list", "null", "large"],
)
def test_an_answer_that_is_not_flickrs_is_asked_for_again_and_ends_in_one_line(
    flickr: FlickrServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    if answer.startswith("x"):
        monkeypatch.setattr(web, "MAX_BYTES", 2000)
    flickr.faults["search"] = [f"json {answer}"] * web.TRIES
    with pytest.raises(
        UserError, match=r"Flickr cannot be reached \((Garbled|TooLarge): .*goes on where it stopped"
    ) as error:
        crawl(flickr, tmp_path)
    assert len(str(error.value)) < 400 and len(flickr.times["search"]) == web.TRIES


def test_what_a_server_says_never_reaches_the_terminal_as_it_is(flickr: FlickrServer, tmp_path: Path) -> None:
    message = r"\u001b]0;owned\u0007 \ud83d"
    flickr.faults["search"] = [f'json {{"stat": "fail", "code": 3, "message": "{message}"}}']
    with pytest.raises(UserError, match="refuses a call") as error:
        crawl(flickr, tmp_path)
    assert str(error.value).isprintable()


# -- photos that are none


@pytest.mark.parametrize(
    "fields",
    [
        {"id": "7" * 300},
        {"id": -7},
        {"id": True},
        {"owner": None},
        {"url_z": "http://\ud83d.example/x.jpg"},
        {"url_z": "http://" + "a" * 300 + ".example/x.jpg"},
        {"url_z": "http://127.0.0.1:99999999/x.jpg"},
        {"url_z": "http://[::1/x.jpg"},
        {"url_z": ["http://127.0.0.1/x.jpg"]},
        {"license": "\ud83d"},
        {"dateupload": "9" * 400},
        {"dateupload": 1e300},
    ],
    ids=lambda fields: f"{next(iter(fields))} {str(next(iter(fields.values())))[:20]!a}",
)
def test_one_photo_that_is_none_does_not_stop_the_others(flickr: FlickrServer, tmp_path: Path, fields: dict) -> None:
    flickr.add("a hen", **fields)
    (good,) = flickr.add("a hen")
    flickr.search = lambda arguments: {  # without a licence's or date's filter
        "photos": {"page": 1, "pages": 1, "total": 2, "photo": flickr.photos}
    }
    counts = crawl(flickr, tmp_path)
    assert counts["kept"] == 1 and counts.get("failed", 0) <= 1
    assert rows(tmp_path, "photo_id") == [(good,)]


def test_an_entry_that_is_no_photo_is_left_out() -> None:
    good = {"id": "1", "owner": "x", "url_z": "http://z", "dateupload": str(START), "license": 0}
    page = read_page({"photo": [None, 3, "x", [], {}, good], "pages": "1", "total": 6}, *SPAN)
    assert [(photo.photo_id, photo.licence_id) for photo in page.photos] == [("1", "0")] and page.within == 1


def test_a_title_and_an_owner_are_what_a_table_and_an_address_can_hold(flickr: FlickrServer, tmp_path: Path) -> None:
    flickr.add("a hen" * 10**5, owner='1@N01/"><script>')
    crawl(flickr, tmp_path)
    index = Index(tmp_path)
    write_attribution(index)
    index.close()
    with (tmp_path / "attribution.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert 255 < len(row["title"]) <= 10_000
    assert row["page_url"].startswith("https://www.flickr.com/photos/1@N01%2F%22%3E%3Cscript%3E/")


# -- totals


@pytest.mark.parametrize("total", [10**12, 10**6, 5000])
def test_a_total_that_the_pages_do_not_bear_out_splits_nothing(
    flickr: FlickrServer, tmp_path: Path, total: int
) -> None:
    flickr.add("a hen", 3)
    flickr.claimed_total = total
    assert crawl(flickr, tmp_path) == {"kept": 3}
    assert len(searches(flickr)) == 2, "the second page is empty"


def test_a_search_that_always_finds_the_same_is_asked_where_those_photos_are(
    flickr: FlickrServer, tmp_path: Path
) -> None:
    """A total of 10^12 in every window, full pages, and the dates of the window never kept to."""
    flickr.add("a hen", 3, every=1)
    pages = {"page": 1, "pages": 1, "total": 10**12, "photo": flickr.photos}
    asked = []
    flickr.search = lambda arguments: asked.append(arguments) or {"photos": pages}
    assert crawl(flickr, tmp_path, cap=3, per_page=3) == {"kept": 3}
    assert len(asked) < 1000


def test_a_window_is_cut_into_a_hundred_at_most() -> None:
    windows = split_window(START, START + 600_000_000, 10**12, 4000)
    assert len(windows) == 100 and sum(end - begin + 1 for begin, end in windows) == 600_000_001


def test_a_total_that_is_never_true_ends_where_photos_end(flickr: FlickrServer, tmp_path: Path) -> None:
    """Full pages at first: windows are cut while they hold photos, and no further."""
    flickr.add("a hen", 8, every=1)
    flickr.claimed_total = 40
    assert crawl(flickr, tmp_path, cap=8, per_page=4) == {"kept": 8}
    assert len(searches(flickr)) < 150


# -- licences


def crawl_under(server: FlickrServer, folder: Path, text: str, licences: dict[str, Licence]) -> dict[str, int]:
    index = Index(folder)
    try:
        config = CrawlConfig([Keyword(text, 8)], licences, *SPAN)
        Crawler(index, Flickr(connect_to(server), web.Pace(0)), web.Pace(0), config).run(progress=False)
        return index.count_by_state()
    finally:
        index.close()


def test_the_licence_named_last_before_fetching_is_the_one_recorded(flickr: FlickrServer, tmp_path: Path) -> None:
    (photo,) = flickr.add("a hen and a cock")
    flickr.faults[photo] = ["html"]
    assert crawl_under(flickr, tmp_path, "hen", BY) == {"failed": 1}
    flickr.photos[0] |= {"license": "5", "title": "a hen and a cock, renamed", "ownername": "New Name"}
    crawl_under(flickr, tmp_path, "cock", BY | SA)
    assert crawl_under(flickr, tmp_path, "hen", BY | SA) == {"kept": 1}
    recorded = rows(tmp_path, "licence, licence_url, title, owner_name, keyword, class_index")
    assert recorded == [(SA["5"].title, SA["5"].url, "a hen and a cock, renamed", "New Name", "hen", 8)]


def test_a_photo_that_lost_its_licence_before_fetching_is_not_fetched(flickr: FlickrServer, tmp_path: Path) -> None:
    (photo,) = flickr.add("a hen and a cock")
    flickr.faults[photo] = ["html"]
    assert crawl_under(flickr, tmp_path, "hen", BY) == {"failed": 1}
    flickr.photos[0]["license"] = "0"
    unfiltered = flickr.search
    flickr.search = lambda arguments: unfiltered({**arguments, "license": "0,4"})
    crawl_under(flickr, tmp_path, "cock", BY)
    assert crawl_under(flickr, tmp_path, "hen", BY) == {"found": 1}
    assert flickr.asked[photo] == 1
    assert rows(tmp_path, "licence_id, licence", "found") == [("0", "")]


def test_a_kept_photo_has_the_licence_under_which_it_was_fetched(flickr: FlickrServer, tmp_path: Path) -> None:
    flickr.add("a hen and a cock")
    assert crawl_under(flickr, tmp_path, "hen", BY) == {"kept": 1}
    flickr.photos[0]["license"] = "5"
    assert crawl_under(flickr, tmp_path, "cock", BY | SA) == {"kept": 1}
    assert rows(tmp_path, "licence") == [(BY["4"].title,)]
