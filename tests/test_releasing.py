"""docs/releasing.md: its commands for the data set run as they stand; the wheel holds what it says."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from benchmark import __version__, hydrate
from benchmark.core import cli
from benchmark.core.errors import UserError
from benchmark.core.files import sha256
from tests.benchmark import released
from tests.hub_server import ROOT, TOKEN, HubServer

COMMANDS = re.findall(r"^```sh\n(.*?)```$", (ROOT / "docs" / "releasing.md").read_text(), flags=re.S | re.M)
NAME = "where2edit/vit-edit-bench"


def run_as_written(commands: str, *more: str) -> None:
    """Run each command of a block in this process."""
    for line in commands.replace("\\\n", "").splitlines():
        python, dash_m, module, *words = shlex.split(line)
        assert (python, dash_m) == ("python", "-m")
        cli.run(importlib.import_module(module).main, [*words, *more])


@pytest.fixture
def archives(tmp_path: Path) -> Path:
    """The four archives under the page's names, with a few images each."""
    folder = tmp_path / "archives"
    folder.mkdir()
    released.natural(folder / "Natural-Image-Subset.zip", dict(zip(released.NATURAL, (3, 2), strict=False)))
    released.oil_paintings(folder / "oil", 4)
    released.pug(folder / "PUG_ImageNet", 14)
    released.locality(folder / "Sensitive-Images.zip", 6)
    return folder


def stop(*_: object) -> None:
    """Be whatever ends a command early."""
    raise UserError("stopped")


def test_the_data_set_is_published_as_the_page_says(
    archives: Path, hub: HubServer, tmp_path: Path, monkeypatch, capsys
) -> None:
    publish, look, *_ = COMMANDS
    monkeypatch.chdir(archives)
    monkeypatch.setattr("builtins.input", lambda prompt: "n")
    with pytest.raises(SystemExit) as stop:
        run_as_written(publish, "--allow-partial")
    shown = capsys.readouterr()
    assert stop.value.code == 2 and "nothing was uploaded" in shown.err and "data/locality-00000" in shown.out
    assert hub.requests == [], "the dry run asks nobody"

    monkeypatch.setenv("HF_TOKEN", TOKEN)
    run_as_written(publish, "--allow-partial", "--yes")
    repository = hub.repositories["datasets", NAME]
    files = repository.commits[commit := next(reversed(repository.commits))]
    assert repository.private, "its owner looks at it first"
    assert {name: blob.sha256 for name, blob in files.items()} == {
        path.relative_to(NAME).as_posix(): sha256(path) for path in Path(NAME).rglob("*") if path.is_file()
    }

    monkeypatch.chdir(shutil.copytree(archives, tmp_path / "elsewhere", ignore=shutil.ignore_patterns("where2edit")))
    capsys.readouterr()
    at_commit = look.replace(NAME, f"{NAME}@{commit}").splitlines()[0]
    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(hydrate, "find", stop)
        run_as_written(at_commit)
    assert f"{NAME}@{commit}: fetched into {NAME}" in capsys.readouterr().out
    run_as_written(at_commit)
    assert capsys.readouterr().out.endswith("20 of 20 images filled in\n"), "the same command goes on"
    run_as_written(at_commit)
    assert capsys.readouterr().out == f"{NAME}: no image is left out\n", "and does no harm once it is done"
    run_as_written(look)
    assert "23 editing samples, 6 locality images" in capsys.readouterr().out

    build = json.loads(Path(NAME, "build.json").read_text())
    Path(NAME, "build.json").write_text(json.dumps(build | {"version": "another"}))
    with pytest.raises(SystemExit):
        run_as_written(at_commit)
    assert f"{NAME}: is here already, and not {NAME}@{commit}" in capsys.readouterr().err


def test_the_package_is_built_as_the_page_says(wheel: Path) -> None:
    """Its contents are a matter of tests/test_wheel.py."""
    assert COMMANDS[2] == "uv build && uv publish --dry-run\n"
    assert wheel.name == f"vit_edit_bench-{__version__}-py3-none-any.whl"
