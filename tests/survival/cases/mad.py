"""Search, crawl and review."""

from __future__ import annotations

import os
from pathlib import Path

from tests.survival.cases.inputs import command, free_port, model, pictures
from tests.survival.server import Case


def _pool() -> None:
    model("in/base")
    model("in/strong", seed=1)
    pictures("in/pool", "a", "b")


_search = command("mad.search --pair in/base,in/strong --pool in/pool --min-group 1 --out out")


PORT = free_port()  # one for all runs: the index keeps addresses


def _crawl() -> None:
    from mad import crawl
    from tests.mad.flickr_server import KEY, SECRET, serving

    os.environ.update({crawl.KEY: KEY, crawl.SECRET: SECRET})
    with serving(PORT) as server:
        server.add("volleyball ball", 3)
        server.images["5002"] = server.images["5001"]  # a duplicate
        command(f"mad.crawl --out out --classes volleyball --api {server.api} --requests-per-second 0")()


def _answer() -> None:
    """What the review server does for a browser: answers and one undo, each reported when it is kept."""
    from mad.review.groups import read_candidates
    from mad.review.images import find_images
    from mad.review.session import Session
    from mad.review.store import FILE, AnswerStore

    def review() -> None:
        candidates = read_candidates(Path("out"))
        store = AnswerStore(Path("out", FILE))
        session = Session(candidates.images, find_images(candidates), store, "ann")
        is_undone = False
        while (item := session.view()["item"]) or not is_undone:
            if item:
                session.answer(item["key"], accepted=True)
                print(f"answered {item['name']}", flush=True)
            else:
                print(f"undone {session.undo()['item']['name']}", flush=True)
                is_undone = True
        store.close()

    from benchmark.core import cli

    cli.run(review, [])


def _lost_answers(output: str, folder: Path) -> list[str]:
    from mad.review.store import FILE, AnswerStore

    reported: dict[str, bool] = {}
    for line in output.splitlines():
        word, _, name = line.partition(" ")
        if word in ("answered", "undone"):
            reported[name] = word == "answered"
    if not reported:
        return []
    store = AnswerStore(folder / "out" / FILE, create=False)
    kept = {image for _, image in store.list_answered("ann")}
    store.close()
    last = list(reported)[-1]  # what comes after it may be kept without having been reported
    return [name for name, is_kept in reported.items() if is_kept != (name in kept) and (is_kept or name != last)]


def _searched() -> None:
    _pool()
    _search()


def _reviewed() -> None:
    from mad.review.groups import read_candidates
    from mad.review.images import find_images
    from mad.review.session import Session
    from mad.review.store import FILE, AnswerStore

    _searched()
    candidates = read_candidates(Path("out"))
    store = AnswerStore(Path("out", FILE))
    for annotator in ("ann", "bo"):
        session = Session(candidates.images, find_images(candidates), store, annotator)
        while item := session.view()["item"]:
            session.answer(item["key"], accepted=True)
    store.close()


CASES = (
    Case("search", _pool, _search),
    Case("crawl", lambda: None, _crawl, repeats=90),
    Case("review", _searched, _answer, lost=_lost_answers),
    Case("status", _reviewed, command("mad.review.__main__ status out")),
    Case("export", _reviewed, command("mad.review.__main__ export out --out natural"), refuses="is not empty"),
)
