"""The names that users import, and the contents of a wheel."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark import __version__, load, load_base
from benchmark.core import cli
from leaderboard import submit

ROOT = Path(__file__).parent.parent
PACKAGES = ("benchmark", "mad", "generation", "editors", "leaderboard")


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_there_and_documented(package: str) -> None:
    module = importlib.import_module(package)
    assert module.__all__ == sorted(module.__all__) and (ROOT / package / "py.typed").is_file()
    for name in module.__all__:
        assert getattr(module, name).__doc__, name
    with pytest.raises(AttributeError, match="has no attribute nothing"):
        module.nothing  # noqa: B018


def test_importing_the_packages_imports_nothing_heavy() -> None:
    heavy = ("torch", "numpy", "pandas", "pyarrow", "tyro")
    script = f"import sys, {', '.join(PACKAGES)}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_readme_imports_from_the_public_face() -> None:
    """`from editors import Editor`, never from a room: rooms may move."""
    texts = [ROOT / "README.md", *(ROOT / "editors" / "examples").glob("*.py")]
    for text in texts:
        for package in PACKAGES:
            assert f"from {package}." not in text.read_text(), text


def test_what_is_printed_of_data_and_models_is_a_line() -> None:
    benchmark, base = load("mini"), load_base("mini")
    assert str(benchmark) == "Benchmark(mini mini-1: 418 editing samples in 18 groups, 320 locality images)"
    for text in (str(benchmark.edit), str(base)):
        assert len(text) < 400 and "\n" not in text


def test_the_release_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {__version__}\n" in citation
    cli.run(submit.main, ["--version"])
    assert capsys.readouterr().out == f"vit-edit-bench {__version__}\n"


def test_what_one_prints_is_one_short_line() -> None:
    """A notebook's cell or `print` never fills a screen with tensors, pages of bytes or tables."""
    import torch

    import benchmark
    from editors import Cut, FailedEdit, ModuleEdit, TailEdit, WeightEdit
    from leaderboard.records import outcomes, record

    data, base = benchmark.load("mini"), benchmark.load_base("mini")
    run = next(path for path in (ROOT / "leaderboard/results/mini-1").iterdir() if (path / "record.json").is_file())
    weights = WeightEdit({"head.bias": torch.zeros(1000), "blocks.3.mlp.fc1.weight": torch.zeros(384, 96)}, 3)
    shown = [
        data, data.edit, data.locality, base, weights, TailEdit(base.module, cut=Cut(3)), ModuleEdit(base.module),
        FailedEdit("why"), record.read(run / "record.json"), outcomes.read(run),
    ]  # fmt: skip
    for value in shown:
        assert len(repr(value)) < 400 and "\n" not in repr(value), type(value)
    assert repr(weights) == "WeightEdit(head.bias (1000,), blocks.3.mlp.fc1.weight (384, 96); 3 steps)"
    assert repr(shown[-1]) == f"Outcomes({len(outcomes.read(run).edits)} edits, 1851 images)"
