from __future__ import annotations

import shlex
import socket
from pathlib import Path

import pytest

from benchmark.core.cli import run
from benchmark.core.errors import UserError
from mad.review.__main__ import main
from mad.review.server import listen
from mad.review.session import Session


def test_a_port_that_is_taken() -> None:
    with listen(0) as listening:
        assert listening.getsockname()[0] == "127.0.0.1"
        with pytest.raises(UserError, match="--port 0"):
            listen(listening.getsockname()[1])


def test_it_listens_for_this_machine_only() -> None:
    with listen(0) as listening, socket.socket() as other, pytest.raises(OSError):
        other.connect(("127.0.0.2", listening.getsockname()[1]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "--annotator", "ann"], "no such file"),
        (["search", "--annotator", ","], "annotator's name"),
        (["search", "--annotator", "ann", "--pool", "nowhere"], "no such file or folder"),
        (["search", "--annotator", "ann", "--conflicts"], "nothing to resolve"),
        (["search", "--annotator", "ann", "--db", "search/groups.csv"], "no SQLite database"),
    ],
)
def test_senseless_commands(arguments: list[str], message: str, search_folder: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(search_folder.parent)
    with pytest.raises(SystemExit) as stop:
        run(main, [*arguments, "--port", "0"])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_a_port_that_there_is_not(capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        run(main, ["search", "--annotator", "ann", "--port", "65536"])
    assert stop.value.code == 2 and "--port must be between 0 and 65535, not 65536" in capsys.readouterr().err


def test_a_third_person_sees_only_conflicts(search_folder: Path, answer_all, monkeypatch) -> None:
    """And one of the two annotators none, who would learn the other's answers from them."""
    monkeypatch.chdir(search_folder.parent)
    from mad.review import server

    def serve(session: Session, listening: socket.socket, about: server.About) -> None:
        views.append(session.view())
        abouts.append(about)
        while item := session.view()["item"]:
            session.answer(item["key"], True)
        listening.close()

    views: list[dict] = []
    abouts: list[server.About] = []
    monkeypatch.setattr(server, "serve", serve)
    answer_all("ann", "yynnyy")
    answer_all("bo", "ynynyn")
    with pytest.raises(SystemExit):
        run(main, [str(search_folder), "--annotator", "Bo", "--conflicts", "--port", "0"])
    run(main, [str(search_folder), "--annotator", "cy", "--conflicts", "--port", "0"])
    (view,) = views
    assert view["total"] == 3 and view["item"]["name"] == "b.png" and view["done"] == 0
    (about,) = abouts
    assert about.conflicts and about.commands[1].endswith("--resolve cy --out groups")
    for command in about.commands:  # they run as they stand
        _, _, module, verb, *words = shlex.split(command)
        assert module == "mad.review"
        run(main[verb], words)
    images = sorted(path.parent.name for path in Path("groups").glob("*/*.*") if path.suffix != ".csv")
    assert len(images) == 5, "two that both accepted, and three that cy did"
