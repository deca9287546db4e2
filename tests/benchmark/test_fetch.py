"""The command: its table, its question, its lines at the end."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from benchmark import fetch
from benchmark.core import cli
from benchmark.fetching import collection
from benchmark.fetching.download import Download
from benchmark.fetching.source import Source, sources
from tests.benchmark.fetching.test_transfer import ZIP
from tests.benchmark.fetching.test_transfer import server as server
from tests.file_server import Answer, FileServer


@pytest.fixture
def natural(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> FileServer:
    """`natural` at a server on loopback."""
    server.answers["/n.zip"] = Answer(ZIP)
    source = Source("natural", "", "benchmark.build --natural", Download(server.url("/n.zip"), "n.zip"), "{path}/n.zip")
    monkeypatch.setattr(collection, "sources", lambda: {**sources(), "natural": source})
    return server


def run(*words: str) -> None:
    cli.run(fetch.main, [*words])


def test_the_table_has_a_row_a_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("--list", "--out", str(tmp_path / "out"))
    shown = capsys.readouterr().out
    header, *rows = [line for line in shown.splitlines() if line][: len(sources()) + 1]
    assert header.split() == ["name", "content", "for", "size", "licence", "state"]
    assert [row.split()[0] for row in rows] == [*sources()] and all(row.rstrip().endswith("not there") for row in rows)
    assert all(source.origin.address in shown and source.terms in shown for source in sources().values())
    assert not (tmp_path / "out").exists()


def test_terms_are_shown_and_asked_for(natural: FileServer, tmp_path: Path, capsys, monkeypatch) -> None:
    out = tmp_path / "out"
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    with pytest.raises(SystemExit, match="2"):
        run("natural", "--out", str(out))
    shown = capsys.readouterr()
    assert "terms: The owners state no terms" in shown.out and "answer y, or add --yes" in shown.err
    assert not natural.requests
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    run("natural", "--out", str(out))
    assert capsys.readouterr().out.endswith(f"natural: benchmark.build --natural {out}/natural/n.zip\n")
    run("natural", "--out", str(out))
    run("natural", "--list", "--out", str(out))
    assert "there" in capsys.readouterr().out.split("state")[1].splitlines()[1] and len(natural.requests) == 1


def test_yes_asks_nothing_and_shows_the_terms(natural: FileServer, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    run("natural", "--yes", "--out", str(tmp_path / "out"))
    assert "terms: " in capsys.readouterr().out


def test_a_copy_is_named_at_the_end(natural: FileServer, tmp_path: Path, capsys) -> None:
    (tmp_path / "n.zip").write_bytes(ZIP)
    run("natural", "--from-folder", str(tmp_path), "--out", str(tmp_path / "out"))
    assert capsys.readouterr().out == f"natural: benchmark.build --natural {tmp_path}/n.zip\n"
