"""The whole review in a real Chromium: two annotators, a conflict, a kill in the middle, undo, export."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import re
import runpy
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from benchmark.core.cli import run
from mad.review.__main__ import export, status
from tests.browser_checks import check_page, check_state
from tests.mad.review.conftest import MEMBERS

HOSTILE = "<img src=x onerror=\"document.title='hacked'\">.png"
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}


class Server:
    """`python -m mad.review` as a process of its own, which finds its libraries imported."""

    def __init__(self, log: Path, *arguments: object, port: int = 0) -> None:
        self.log = log
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["pandas", "timm.data", "uvicorn", "mad.review.session", "mad.review.server"])
        self.process = context.Process(target=_review, args=(log, [*map(str, arguments), "--port", str(port)]))
        self.process.start()

    def url(self) -> str:
        """The page's address, once it is served."""
        for _ in range(600):
            if self.log.exists() and (said := re.search(r"^open (\S+)", self.log.read_text(), flags=re.M)):
                return said[1]
            assert self.process.is_alive(), self.log.read_text()
            time.sleep(0.1)
        raise AssertionError("the server does not start")

    def stop(self, how: signal.Signals) -> int | None:
        assert self.process.pid is not None
        os.kill(self.process.pid, how)
        self.process.join(30)
        return self.process.exitcode


def _review(log: Path, arguments: list[str]) -> None:
    with log.open("w") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    # A shell's background ignores Ctrl-C, and a fork server that the border started before us blocks it: so would we.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    sys.argv = ["mad.review", *arguments]
    runpy.run_module("mad.review", run_name="__main__", alter_sys=True)


def ready(page) -> None:
    page.wait_for_selector("#accept[aria-disabled=false]")


def press(page, keys: str) -> None:
    """Answer with the keyboard, each time after the last answer is counted and the next picture shown."""
    for key in keys:
        ready(page)
        before = page.text_content("#overall-count")
        page.keyboard.press({">": "ArrowRight", "<": "ArrowLeft", "-": "Backspace"}.get(key, key))
        page.wait_for_function("before => document.querySelector('#overall-count').textContent !== before", arg=before)


@pytest.fixture
def servers() -> Iterator[list[Server]]:
    """Those that a test started; whatever still runs at its end is stopped."""
    started: list[Server] = []
    yield started
    for server in started:
        if server.process.is_alive():
            server.stop(signal.SIGKILL)


def test_two_annotators_from_search_to_export(
    browser, servers: list[Server], write_search, pool: Path, tmp_path: Path, capsys
) -> None:
    (pool / "b.png").rename(pool / HOSTILE)
    search_folder = write_search({"890-430": ["a.jpg", HOSTILE, "c.webp", "more/d.jpg"], "134-517": MEMBERS["134-517"]})
    servers += [Server(tmp_path / f"{name}.log", search_folder, "--annotator", name) for name in ("ann", "bo")]
    addresses = [server.url() for server in servers]

    # Ann, at a desk.
    ann = browser.new_page(viewport=DESKTOP)
    complaints: list[str] = []
    ann.on("console", lambda message: complaints.append(message.text))
    ann.on("pageerror", lambda error: complaints.append(str(error)))
    ann.goto(addresses[0])
    ready(ann)
    assert ann.inner_text("h1:visible") == "volleyball" and ann.inner_text("#base") == "basketball"
    assert ann.evaluate("document.querySelector('#picture').naturalWidth") == 40
    press(ann, "y")
    ready(ann)
    assert ann.inner_text("#name") == HOSTILE and ann.title() == "Review · ann"
    assert ann.locator("img").count() == 1, "a file's name is text"
    press(ann, ">n")
    ready(ann)
    ann.keyboard.press("?")
    ann.keyboard.press("y")  # means nothing to the help
    assert ann.is_visible("#help")
    ann.keyboard.press("Escape")
    assert ann.text_content("#overall-count") == "3 of 6" and ann.text_content("#in-group-count") == "3 of 4"
    assert "Image 4 of 4" in ann.inner_text("#said")
    assert complaints == []

    # Her server dies. What she does then is not counted, and she is told.
    servers.pop(0).stop(signal.SIGKILL)
    ann.keyboard.press("y")
    ann.wait_for_selector("#problem:visible")
    assert "does not answer" in ann.inner_text("#problem")
    assert ann.text_content("#overall-count") == "3 of 6"
    port = int(addresses[0].rstrip("/").rpartition(":")[2])
    servers.append(Server(tmp_path / "again.log", search_folder, "--annotator", "ann", port=port))

    # Bo, on a phone, meanwhile.
    bo = browser.new_page(viewport=PHONE, has_touch=True, is_mobile=True)
    bo.goto(addresses[1])
    ready(bo)
    assert bo.text_content("#overall-count") == "0 of 6" and "ann" not in bo.inner_text("body")
    assert bo.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    assert bo.evaluate("document.documentElement.scrollHeight") == PHONE["height"]
    bo.tap("#accept")
    press(bo, "y-")  # a slip, and undone
    ready(bo)
    assert bo.inner_text("#name") == HOSTILE and bo.text_content("#overall-count") == "1 of 6"
    press(bo, "<n")
    bo.tap("#show-groups")
    bo.tap("#group-list button:has-text('crane')")
    bo.wait_for_selector("h1:text('crane')")
    assert "wading bird" in bo.inner_text("#strong-meaning")
    press(bo, "yyy")
    bo.wait_for_selector("#finished:visible")
    assert "all 6 images" in bo.inner_text("#finished")

    # Ann's page is older than her new server, and is told so; then she goes on where she was.
    assert servers[-1].url() == addresses[0]
    ann.keyboard.press("y")
    ann.wait_for_selector("#problem:has-text('reload this page')")
    ann.reload()
    ready(ann)
    assert ann.is_hidden("#problem")
    assert ann.text_content("#overall-count") == "3 of 6" and ann.inner_text("#name") == "more/d.jpg"

    # A key held down answers one image, not all.
    ann.keyboard.down("y")
    ann.wait_for_selector("#overall-count:text-is('4 of 6')")
    ready(ann)
    ann.keyboard.down("y")
    ann.keyboard.up("y")
    ann.wait_for_timeout(200)
    assert ann.text_content("#overall-count") == "4 of 6"
    press(ann, "yn")
    ann.wait_for_selector("#finished:visible")
    assert {server.stop(signal.SIGINT) for server in servers} == {130}

    # What became of it: b (the hostile one) and f are in conflict, c is rejected by both.
    run(status, [str(search_folder)])
    assert "both answered 6 images, agree on 66.7%" in " ".join(capsys.readouterr().out.split())
    assert pd.read_csv(search_folder / "conflicts.csv")["image"].tolist() == [HOSTILE, "f.jpg"]
    run(export, [str(search_folder), "--out", str(tmp_path / "natural")])
    images = {str(path.relative_to(tmp_path / "natural")) for path in (tmp_path / "natural").glob("*/*")}
    assert images == {
        f"{folder}/{hashlib.sha256((pool / image).read_bytes()).hexdigest()}{Path(image).suffix}"
        for folder, image in [
            ("890_volleyball-basketball", "a.jpg"),
            ("890_volleyball-basketball", "more/d.jpg"),
            ("134_crane-crane 517", "e.png"),
        ]
    }


def test_every_state_of_the_page_keeps_our_rules(browser, servers: list[Server], write_search, tmp_path: Path) -> None:
    search_folder = write_search()
    servers.append(Server(tmp_path / "ann.log", search_folder, "--annotator", "ann"))
    url = servers[0].url()

    def ask_and_open_dialogs(page) -> None:
        ready(page)
        check_state(page, "asked")
        for key, dialog in (("?", "#help"), ("g", "#groups")):
            page.keyboard.press(key)
            page.wait_for_selector(f"{dialog}[open]")
            check_state(page, dialog)
            assert page.evaluate("document.activeElement.closest('dialog') !== null"), "the keyboard is in the dialog"
            page.keyboard.press("Escape")

    check_page(browser, url, url, ask_and_open_dialogs)
    page = browser.new_page(viewport=DESKTOP)
    page.goto(url)
    press(page, "ynynyn")
    page.wait_for_selector("#finished:visible")
    commands = page.inner_text("#finished pre").splitlines()
    assert commands[0] == f"python -m mad.review status {search_folder}"
    assert commands[1] == f"python -m mad.review export {search_folder} --out groups"
    check_page(browser, url, url, lambda page: page.wait_for_selector("#finished:visible"))
