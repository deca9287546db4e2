"""The packaged parts of WordNet come out of the command again."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.core.cli import run
from mad.crawling.keywords import POLYSEMOUS
from mad.mining.wordnet import EXTRACT, LICENCE, find_installed_nouns
from mad.rebuild import main


@pytest.mark.skipif(find_installed_nouns() is None, reason="WordNet 3.0 is not installed")
def test_both_commands_write_what_is_packaged(tmp_path: Path) -> None:
    run(main, ["wordnet", "--out", str(tmp_path)])
    run(main, ["keywords", "--out", str(tmp_path)])
    for packaged in (EXTRACT, LICENCE, POLYSEMOUS):
        assert (tmp_path / packaged.name).read_bytes() == packaged.read_bytes()


@pytest.mark.parametrize("command", ["wordnet", "keywords"])
def test_no_wordnet_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    with pytest.raises(SystemExit) as stop:
        run(main, [command, "--nouns", str(tmp_path / "none"), "--out", str(tmp_path / "out")])
    assert stop.value.code == 2
    assert "name its data.noun with --nouns" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
