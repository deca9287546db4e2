"""Files over HTTP: cut, refused, moved, replaced by pages; what is in place is whole, and what came is not lost."""

from __future__ import annotations

import hashlib
import io
import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmark.core.errors import UserError
from benchmark.fetching import collection, transfer
from benchmark.fetching.download import Download
from benchmark.fetching.lock import LOCK
from benchmark.fetching.source import Source
from tests.file_server import Answer, FileServer, md5, serving_files
from tests.hub_server import ROOT

ZIP = b"PK\x03\x04" + bytes(range(256)) * 8000  # 2 MB: two blocks of `transfer`
OTHER = b"PK\x03\x04" + bytes(len(ZIP) - 4)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setattr(transfer, "BACKOFF", 0.001)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with serving_files() as running:
        yield running


def source_at(server: FileServer, path: str = "/a.zip", name: str = "a") -> Source:
    return Source(name, "an archive", "benchmark.build --natural", Download(server.url(path), "a.zip"))


def fetch(server: FileServer, out: Path, *paths: str) -> None:
    chosen = [source_at(server, path, path.strip("/").partition(".")[0]) for path in paths or ("/a.zip",)]
    collection.fetch_sources(out, chosen, lambda new: True)


def noted(out: Path, name: str = "a") -> dict:
    return json.loads((out / LOCK).read_text())["sources"][name]


def ranges(server: FileServer) -> list[str]:
    return [asked for _, asked, _ in server.requests]


def test_a_file_is_fetched_once_and_noted(server: FileServer, tmp_path: Path) -> None:
    server.answers["/a.zip"] = Answer(ZIP)
    fetch(server, tmp_path)
    assert (tmp_path / "a" / "a.zip").read_bytes() == ZIP
    note = noted(tmp_path)
    digest = hashlib.sha256(ZIP).hexdigest()
    assert note["complete"] and note["files"]["a.zip"]["sha256"] == digest
    assert note["files"]["a.zip"]["hash_from"] == "first fetch" and "partial" not in note
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "a.zip", LOCK]
    fetch(server, tmp_path)
    assert len(server.requests) == 1


def test_redirects_are_followed_and_circles_are_not(server: FileServer, tmp_path: Path) -> None:
    server.answers["/a.zip"] = Answer(redirect="/b.zip?key=1")
    server.answers["/b.zip"] = Answer(redirect=server.url("/c.zip"))
    server.answers["/c.zip"] = Answer(ZIP, cuts=[1 << 20])
    fetch(server, tmp_path)
    assert (tmp_path / "a" / "a.zip").read_bytes() == ZIP
    assert ranges(server)[-1] == "bytes=1048576-", "the rest, after the redirects"
    server.answers["/c.zip"] = Answer(redirect="/a.zip")
    with pytest.raises(UserError, match="leads in a circle"):
        fetch(server, tmp_path / "new")


@pytest.mark.parametrize("cuts", [[100], [70_000, 1 << 20, 5], [1_500_000, 500_000]])
def test_a_cut_connection_goes_on_where_it_was_cut(server: FileServer, tmp_path: Path, cuts: list[int]) -> None:
    server.answers["/a.zip"] = Answer(ZIP, cuts=[*cuts])
    fetch(server, tmp_path)
    assert (tmp_path / "a" / "a.zip").read_bytes() == ZIP
    assert len(server.requests) == len(cuts) + 1
    assert sum(int(asked[6:-1] or 0) > 0 for asked in ranges(server) if asked) >= len(cuts) - 1


def test_a_connection_that_is_always_cut_ends_in_one_line_and_loses_nothing(server: FileServer, tmp_path: Path) -> None:
    server.answers["/a.zip"] = Answer(ZIP, cuts=[1_200_000] + [0] * transfer.TRIES)
    with pytest.raises(UserError, match=r"was cut .*the same command goes on"):
        fetch(server, tmp_path)
    kept = (tmp_path / "a" / "a.zip.part").stat().st_size
    assert kept > 1_000_000 and noted(tmp_path)["partial"]["validator"] == '"1"'
    assert collection.states(tmp_path).keys() and not noted(tmp_path).get("complete")
    fetch(server, tmp_path)
    assert ranges(server)[-1] == f"bytes={kept}-" and server.requests[-1][2] == '"1"'
    assert (tmp_path / "a" / "a.zip").read_bytes() == ZIP


@pytest.mark.parametrize("kind", ["ignored", "refused"])
def test_a_server_that_sends_no_ranges_sends_all(server: FileServer, tmp_path: Path, kind: str) -> None:
    server.answers["/a.zip"] = Answer(ZIP, ranges=kind, cuts=[1_500_000])
    fetch(server, tmp_path)
    assert (tmp_path / "a" / "a.zip").read_bytes() == ZIP


def test_a_file_that_changed_meanwhile_is_fetched_anew(server: FileServer, tmp_path: Path) -> None:
    server.answers["/a.zip"] = Answer(ZIP, cuts=[1_500_000] + [0] * transfer.TRIES)
    with pytest.raises(UserError, match=r"was cut"):
        fetch(server, tmp_path)
    server.answers["/a.zip"] = Answer(OTHER, etag='"2"')
    fetch(server, tmp_path)
    assert (tmp_path / "a" / "a.zip").read_bytes() == OTHER, "no half of one and half of the other"


@pytest.mark.parametrize(("etag", "date"), [("", ""), ('W/"1"', "")])
def test_what_cannot_be_told_apart_is_not_joined(server: FileServer, tmp_path: Path, etag: str, date: str) -> None:
    server.answers["/a.zip"] = Answer(ZIP, etag=etag, last_modified=date, cuts=[1_500_000])
    fetch(server, tmp_path)
    assert (tmp_path / "a" / "a.zip").read_bytes() == ZIP and set(ranges(server)) == {""}


def test_a_date_of_change_is_enough_to_go_on(server: FileServer, tmp_path: Path) -> None:
    date = "Wed, 21 Oct 2015 07:28:00 GMT"
    server.answers["/a.zip"] = Answer(ZIP, etag='W/"1"', last_modified=date, cuts=[1_500_000])
    fetch(server, tmp_path)
    assert (tmp_path / "a" / "a.zip").read_bytes() == ZIP and server.requests[-1][2] == date


def test_a_server_that_states_no_size_is_read_to_its_end(server: FileServer, tmp_path: Path) -> None:
    server.answers["/a.zip"] = Answer(ZIP, length=False)
    fetch(server, tmp_path)
    assert (tmp_path / "a" / "a.zip").read_bytes() == ZIP


PAGES = {
    b"<!DOCTYPE html><html><head><title>Sign in &amp; up - Dropbox</title>": r'web page \("Sign in & up - Dropbox"\)',
    b"<html><body>Too many requests": "gives a web page",
    b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>": r"gives a message \(NoSuchKey\)",
    b'{"error": "quota exceeded"}': r"gives a message \(.*quota exceeded",
    b"\x1f\x8bsomething else": "gives other bytes instead of a.zip",
    b"": "gives nothing instead of a.zip",
}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_instead_of_a_file_is_recognised(server: FileServer, tmp_path: Path, page: bytes) -> None:
    server.answers["/a.zip"] = Answer(page)
    with pytest.raises(UserError, match=PAGES[page]):
        fetch(server, tmp_path)
    assert not list((tmp_path / "a").iterdir())
    server.answers["/a.zip"] = Answer(ZIP)
    fetch(server, tmp_path)


def test_a_page_on_the_way_leaves_what_came(server: FileServer, tmp_path: Path) -> None:
    """The session has ended, and the rest is a page to sign in."""
    server.answers["/a.zip"] = Answer(ZIP, cuts=[1_500_000] + [0] * transfer.TRIES)
    with pytest.raises(UserError, match=r"was cut"):
        fetch(server, tmp_path)
    before = (tmp_path / "a" / "a.zip.part").read_bytes()
    server.answers["/a.zip"] = Answer(b"<html><title>Sign in</title>", etag="")
    with pytest.raises(UserError, match="Sign in"):
        fetch(server, tmp_path)
    assert (tmp_path / "a" / "a.zip.part").read_bytes() == before


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, "wants you to sign in"),
        (403, "does not give it"),
        (404, "no such file any more"),
        (503, "try again later"),
    ],
)
def test_a_refusal_is_one_line(server: FileServer, tmp_path: Path, status: int, message: str) -> None:
    server.answers["/a.zip"] = Answer(b"no", status=status)
    with pytest.raises(UserError, match=message) as caught:
        fetch(server, tmp_path)
    assert "\n" not in str(caught.value) and not (tmp_path / "a" / "a.zip").exists()


def test_nobody_listens(server: FileServer, tmp_path: Path) -> None:
    import socket

    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}/a.zip"
    with pytest.raises(UserError, match="cannot be reached"):
        collection.fetch_sources(tmp_path, [Source("a", "", "", Download(address, "a.zip"))], lambda new: True)


def test_a_wrong_hash_is_refused_and_the_right_one_is_asked_for_again(server: FileServer, tmp_path: Path) -> None:
    server.answers["/a.zip"] = Answer(ZIP)
    fetch(server, tmp_path)
    lock = (tmp_path / LOCK).read_bytes()
    (tmp_path / "a" / "a.zip").unlink()
    server.answers["/a.zip"] = Answer(OTHER, etag='"2"')
    with pytest.raises(
        UserError, match=r"its SHA-256 is .* \(first fetch\); the owners changed the file.*take a out of"
    ):
        fetch(server, tmp_path)
    assert not list((tmp_path / "a").iterdir())
    server.answers["/a.zip"] = Answer(OTHER + b"more", etag='"3"')
    with pytest.raises(UserError, match=r"bytes now, and .* when it was fetched first"):
        fetch(server, tmp_path)
    server.answers["/a.zip"] = Answer(ZIP, etag='"4"')
    fetch(server, tmp_path)
    assert json.loads(lock)["sources"]["a"]["files"]["a.zip"]["sha256"] == noted(tmp_path)["files"]["a.zip"]["sha256"]


def test_a_stated_md5_is_checked(server: FileServer, tmp_path: Path) -> None:
    server.answers["/a.zip"] = Answer(ZIP, md5=md5(OTHER))
    with pytest.raises(UserError, match="another MD5 than the server states"):
        fetch(server, tmp_path)
    assert not list((tmp_path / "a").iterdir())
    server.answers["/a.zip"] = Answer(ZIP, md5=md5(ZIP), cuts=[1_500_000])
    fetch(server, tmp_path)
    assert noted(tmp_path)["files"]["a.zip"]["hash_from"] == "checked by the server's MD5"


def test_a_file_that_was_changed_here_is_not_taken_for_it(server: FileServer, tmp_path: Path) -> None:
    server.answers["/a.zip"] = Answer(ZIP)
    fetch(server, tmp_path)
    (tmp_path / "a" / "a.zip").write_bytes(OTHER)
    with pytest.raises(UserError, match="is not the file that was fetched"):
        fetch(server, tmp_path)
    assert (tmp_path / "a" / "a.zip").read_bytes() == OTHER, "nothing of the user's is removed"
    (tmp_path / "a" / "a.zip").write_bytes(ZIP)
    fetch(server, tmp_path)
    assert len(server.requests) == 1, "the same bytes at another time are the same"


def test_a_disk_that_is_too_small_is_named_first(server: FileServer, tmp_path: Path, monkeypatch) -> None:
    server.answers["/a.zip"] = Answer(ZIP)
    usage = transfer.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda path: usage._replace(free=transfer.SPARE + len(ZIP) - 1))
    with pytest.raises(UserError, match=r"a needs 2\.0 MB more .* are free there; make room"):
        fetch(server, tmp_path)
    assert not list((tmp_path / "a").iterdir())
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda path: usage._replace(free=transfer.SPARE + len(ZIP)))
    fetch(server, tmp_path)


def test_a_disk_that_is_full_on_the_way_loses_nothing(server: FileServer, tmp_path: Path) -> None:
    server.answers["/a.zip"] = Answer(ZIP)
    resource = pytest.importorskip("resource", reason="a limit on the size of files stands for a full disk")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_100_000, limits[1]))
    try:
        with pytest.raises(UserError, match=r"cannot be written .*the same command goes on"):
            fetch(server, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    fetch(server, tmp_path)
    assert (tmp_path / "a" / "a.zip").read_bytes() == ZIP and ranges(server)[1].startswith("bytes=1")


SCRIPT = """
import sys
from pathlib import Path
from benchmark.fetching import collection
from benchmark.fetching.download import Download
from benchmark.fetching.source import Source
source = Source("a", "", "", Download(sys.argv[1], "a.zip"))
collection.fetch_sources(Path(sys.argv[2]), [source], lambda new: True)
"""


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_fetch_goes_on(server: FileServer, tmp_path: Path, stop: signal.Signals) -> None:
    server.answers["/a.zip"] = answer = Answer(ZIP * 2, stall=threading.Event(), stall_after=3 << 20)
    (tmp_path / "fetch.py").write_text(SCRIPT)
    words = [sys.executable, str(tmp_path / "fetch.py"), server.url("/a.zip"), str(tmp_path / "out")]
    part = tmp_path / "out" / "a" / "a.zip.part"
    with subprocess.Popen(words, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}) as process:
        end = time.monotonic() + 60
        while not (part.is_file() and part.stat().st_size >= 1 << 20) and time.monotonic() < end:
            time.sleep(0.01)
        process.send_signal(stop)
    kept = part.stat().st_size
    answer.stall.set()
    fetch(server, tmp_path / "out")
    assert (tmp_path / "out" / "a" / "a.zip").read_bytes() == ZIP * 2
    assert ranges(server)[-1] == f"bytes={kept}-" and kept >= 1 << 20


def test_a_server_that_falls_silent_is_asked_again(server: FileServer, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(transfer, "TIMEOUT", (5, 0.3))
    answer = server.answers["/a.zip"] = Answer(ZIP, stall=threading.Event(), stall_after=3 << 19)
    release = threading.Timer(0.6, answer.stall.set)
    release.start()
    fetch(server, tmp_path)
    assert (tmp_path / "a" / "a.zip").read_bytes() == ZIP and len(server.requests) > 1
    release.join()


def test_a_redirect_to_plain_http_is_refused() -> None:
    import requests

    answer = requests.Response()
    answer.status_code, answer.url, answer.headers["Location"] = 302, "https://a.org/x", "http://a.org/x"
    with transfer.open_session() as session, pytest.raises(UserError, match="without https"):
        session.get_redirect_target(answer)


def test_progress_and_the_time_left_are_shown_on_a_terminal(server: FileServer, tmp_path: Path, monkeypatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    server.answers["/a.zip"] = answer = Answer(ZIP, stall=threading.Event(), stall_after=3 << 19)
    release = threading.Timer(0.3, answer.stall.set)
    release.start()
    fetch(server, tmp_path)
    release.join()
    assert re.search(r"a\.zip: .*2\.05M.*\[\d\d:\d\d<\d\d:\d\d, .*B/s\]", terminal.getvalue().replace("\r", "\n"))


def test_two_fetches_do_not_share_a_folder(server: FileServer, tmp_path: Path) -> None:
    from benchmark.core.workdir import working
    from benchmark.fetching.lock import KIND, NOTE

    with working(tmp_path / "out", KIND, NOTE), pytest.raises(UserError, match="another process is at work"):
        fetch(server, tmp_path / "out")
