"""The examples of CONTRIBUTING.md are complete: each is put into a copy of the project, and its test passes there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("benchmark", "mad", "generation", "editors", "leaderboard", "tests")
LARGE = shutil.ignore_patterns("assets", "weights", "results", "__pycache__")
EXAMPLE = re.compile(r"^```python\n# (\S+\.py)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)


def test_each_example_is_one_file_and_its_test(tmp_path: Path) -> None:
    examples = dict(EXAMPLE.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")))
    rooms = [str(Path(name).parent) for name in examples if not name.startswith("tests/")]
    assert rooms == ["editors/methods", "benchmark/subsets", "benchmark/models/families", "benchmark"]
    copy = tmp_path / "project"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package, ignore=LARGE)
    (copy / "benchmark" / "assets").symlink_to(ROOT / "benchmark" / "assets")
    shutil.copy(ROOT / "pyproject.toml", copy)
    for name, code in examples.items():
        assert not (copy / name).exists(), f"{name} is there already: this example adds nothing"
        (copy / name).write_text(code, encoding="utf-8")
    tests = [name for name in examples if name.startswith("tests/")]
    assert run(copy, "pytest", "-q", "-p", "no:cacheprovider", *tests)
    assert run(copy, "ruff", "check", *examples) and run(copy, "ruff", "format", "--check", *examples)


def run(folder: Path, *words: str) -> bool:
    """Run a module of Python's in `folder`; show what it printed if it fails."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run([sys.executable, "-m", *words], cwd=folder, env=environment, capture_output=True, text=True)
    print(done.stdout, done.stderr)
    return done.returncode == 0
