"""A page's commands, read from the page and run in its order, so that neither can drift from the other."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Callable
from pathlib import Path

from benchmark.core import cli
from benchmark.images.open import open_images
from mad.review.groups import read_candidates
from mad.review.images import find_images
from mad.review.session import Session
from mad.review.store import FILE, AnswerStore
from tests.hub_server import ROOT

COMMAND = re.compile(r"^    (\S(?:.*\\\n)*.*)$|`(python -m [^`]+)`", flags=re.MULTILINE)
Run = Callable[[str, list[str]], None]


def read_commands(page: str) -> list[str]:
    """Return a page's commands in its order, each once: indented lines, and those in a sentence, without comments."""
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    written = [(match[1] or match[2]).replace("\\\n", "") for match in COMMAND.finditer(text)]
    return list(dict.fromkeys(re.sub(r"\s+", " ", re.sub(r"\s+# .*", "", command)) for command in written))


def call(module: str, words: list[str]) -> None:
    """Run ``python -m MODULE WORDS`` in this process."""
    command = importlib.import_module(module)
    command = importlib.import_module(f"{module}.__main__") if hasattr(command, "__path__") else command
    try:
        cli.run(command.main, words, prog=f"python -m {module}")
    except SystemExit as stop:
        assert not stop.code


def walk(page: str, commands: dict[str, str], run: Run = call) -> dict[str, object]:
    """Run those of a page's commands that are in `commands`, in its order, with the words that are added there.

    MODEL is mini and DIR the folder "pictures". A review is answered by people who accept all, two if it names none.
    Returns the names that lines of Python made.
    """
    names: dict[str, object] = {}
    for command in read_commands(page):
        if command not in commands:
            continue
        print(f"$ {command} {commands[command]}".rstrip(), flush=True)
        if not command.startswith("python -m "):
            exec(command, names)
        elif (reviewed := re.fullmatch(r"python -m mad.review (\S+) --annotator (\w+)", command)) is not None:
            people = ("ann", "bo") if reviewed[2] == "NAME" else (reviewed[2],)
            assert len({accept_all(Path(reviewed[1]), person) for person in people} - {0}) == 1
        else:
            module, *words = shlex.split(command.replace("MODEL", "mini").replace("DIR", "pictures"))[2:]
            run(module, [*words, *shlex.split(commands[command])])
    return names


def accept_all(folder: Path, annotator: str) -> int:
    """Accept every image as this annotator would in the browser; return how many there were."""
    candidates, store = read_candidates(folder), AnswerStore(folder / FILE)
    session = Session(candidates.images, find_images(candidates), store, annotator)
    while (item := session.view()["item"]) is not None:
        session.answer(item["key"], True)
    store.close()
    return len(candidates.images)


def save_pool(folder: Path, count: int) -> None:
    """Save the first images of the embedded pool in `folder`."""
    folder.mkdir()
    images = open_images("mini")
    for position in range(count):
        (folder / f"{position}.webp").write_bytes(images.read(position))
