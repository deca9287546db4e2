"""The page asks for several images at once; however large they are, memory stays below what is stated."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.benchmark.images.test_memory import LIMIT, png

SIDE = 13_000  # pixels: 507 MB decoded
ASKED = 6  # images: the one that is shown, and those ahead
SCRIPT = f"""
import resource, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from starlette.testclient import TestClient
from mad.review.groups import read_candidates
from mad.review.images import find_images
from mad.review.server import About, create_app
from mad.review.session import Session
from mad.review.store import FILE, AnswerStore
candidates, store = read_candidates(Path(sys.argv[1])), AnswerStore(Path(sys.argv[1], FILE))
session = Session(candidates.images, find_images(candidates), store, "ann")
with TestClient(create_app(session, "secret", About("search")), "http://127.0.0.1:8765") as client:
    state = client.get("/state").json()
    keys = [state["item"]["key"], *state["ahead"]]
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + {LIMIT},) * 2)
    with ThreadPoolExecutor(len(keys)) as threads:
        answers = list(threads.map(client.get, [f"/image/{{key}}" for key in keys]))
    print(len(keys), {{(answer.status_code, answer.headers["content-type"]) for answer in answers}})
store.close()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and other systems do not keep to RLIMIT_AS")
def test_all_images_that_the_page_asks_for_at_once(pool: Path, write_search: Callable[..., Path]) -> None:
    names = [f"{number}.png" for number in range(ASKED)]
    (pool / names[0]).write_bytes(png("RGB", SIDE, SIDE))
    for name in names[1:]:
        os.link(pool / names[0], pool / name)
    folder = write_search({"890-430": names})
    done = subprocess.run([sys.executable, "-c", SCRIPT, folder], capture_output=True, text=True)
    assert done.stdout == f"{ASKED} {{(200, 'image/jpeg')}}\n", done.stdout + done.stderr[-500:]
