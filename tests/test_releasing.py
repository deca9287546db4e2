"""docs/releasing.md: its commands for the data set run as they stand; the wheel holds what it says."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from benchmark import hydrate
from benchmark.core import cli
from benchmark.core.errors import UserError
from benchmark.core.files import sha256
from tests.benchmark import released
from tests.hub_server import ROOT, TOKEN, HubServer

COMMANDS = re.findall(r"^```sh\n(.*?)```$", (ROOT / "docs" / "releasing.md").read_text(), flags=re.S | re.M)
NAME = "where2edit/vit-edit-bench"
PACKAGES = ("benchmark", "mad", "generation", "editors", "leaderboard")


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
    publish, look, _ = COMMANDS
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


def test_the_package_holds_what_the_page_says(tmp_path: Path) -> None:
    assert COMMANDS[2] == "uv build && uv publish --dry-run\n"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    names = [name for name in listed.split("\0") if (ROOT / name).is_file()]
    for name in names:
        if name.startswith(PACKAGES) or "/" not in name:
            (tmp_path / "clone" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, tmp_path / "clone" / name)
    words = ("pip", "wheel", ".", "--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", str(tmp_path))
    subprocess.run([sys.executable, "-m", *words], cwd=tmp_path / "clone", check=True)
    (wheel,) = tmp_path.glob("vit_edit_bench-*.whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    ours = {name for name in names if name.partition("/")[0] in PACKAGES}
    assert held == {name for name in ours if not name.startswith("leaderboard/results/")}
