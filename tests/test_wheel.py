"""The wheel: what it holds, its page, and README's first commands in an empty folder."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

from benchmark import __version__

ROOT = Path(__file__).parent.parent
PACKAGES = ("benchmark", "mad", "generation", "editors", "leaderboard")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)]+)\)")
ADDRESS = "https://example.org/vit-edit-bench"


def test_it_holds_the_packages_the_mini_and_the_example(wheel: Path) -> None:
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    listed = subprocess.run(["git", "ls-files", "-z", *PACKAGES], cwd=ROOT, capture_output=True, check=True).stdout
    ours = {name for name in listed.decode().split("\0") if name and (ROOT / name).is_file()}
    assert held == {name for name in ours if not name.startswith("leaderboard/results/")}
    assert {f"editors/examples/{kind}.py" for kind in ("weights", "module", "memory", "trained")} <= held


def test_its_page_has_no_link_that_leads_nowhere(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    page = message_from_bytes(archive.read(name))
    assert page["Version"] == __version__ and page["Description-Content-Type"] == "text/markdown"
    assert {url.partition(",")[0] for url in page.get_all("Project-URL")} >= {"Paper", "Data set"}
    text = str(page.get_payload(decode=True), "utf-8")
    assert text.startswith("# vit-edit-bench\n") and "docs/python.md calls them" in text
    assert all(target.startswith("https://") for target in LINK.findall(text))


def test_links_of_its_page_lead_into_the_repository_once_it_is_named() -> None:
    spec = importlib.util.spec_from_file_location("setup_file", ROOT / "setup.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    text = module.describe(readme, f'[project.urls]\nRepository = "{ADDRESS}"\n')
    targets = LINK.findall(text)
    assert len(targets) == len(LINK.findall(readme)) and f"{ADDRESS}/raw/HEAD/docs/images/mined.png" in targets
    for target in targets:
        assert target.startswith("https://")
        if target.startswith(ADDRESS):
            assert (ROOT / target.removeprefix(ADDRESS).split("/", 3)[3]).exists(), target
    assert module.describe("[a](https://x.org) ![b](c.png) [d](e.md)", "") == "[a](https://x.org)  d"


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where pip put the wheel and its script; what the wheel needs is there already."""
    target = tmp_path_factory.mktemp("installed")
    words = ("install", "--quiet", "--no-deps", "--no-index", "--target", str(target), str(wheel))
    subprocess.run([sys.executable, "-m", "pip", *words], check=True)
    return target


def test_readmes_first_commands_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    """As one types them who has installed the wheel; nothing of a clone is near."""
    folder = tmp_path / "empty"
    folder.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1", "COLUMNS": "80"}

    def run(*words: str) -> str:
        done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
        print("$", *(Path(word).name if word.startswith("/") else word for word in words), f"\n{done.stdout}")
        assert done.returncode == 0, done.stderr
        return done.stdout

    script = installed / "bin" / "vit-edit-bench"
    assert run(sys.executable, str(script), "--version") == f"vit-edit-bench {__version__}\n"
    assert "python -m leaderboard.new" in run(sys.executable, str(script))
    code = "import benchmark; print(benchmark.__file__); print(benchmark.__version__); print(benchmark.load('mini'))"
    file, version, mini = run(sys.executable, "-c", code).splitlines()
    assert Path(file).is_relative_to(installed) and version == __version__ and mini.startswith("Benchmark(mini mini-1")
    python = (sys.executable, "-m")
    run(*python, "mad.search", "--pair", "mini,mini-strong")
    assert (folder / "out" / "mad" / "report.html").is_file()
    run(*python, "leaderboard.new", "my_editor.py")
    for words in (("leaderboard.submit", "ft", "my_editor.py:MyEditor", "--limit", "2"), ("leaderboard.tables",)):
        shown = run(*python, *words)
        assert "ft" in shown and "my_editor.py:MyEditor" in shown
