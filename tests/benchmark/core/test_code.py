"""The source files that a run depends on, and the changes of them that change their hashes."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import sys
from pathlib import Path

import pytest

from benchmark.core.code import PACKAGES, ROOT, hash_named_files, hash_sources


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of this project's sources."""
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            copy = tmp_path / "tree" / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    return tmp_path / "tree"


def hashes(tree: Path, editor: str = "editors/methods/finetune.py") -> dict[str, str]:
    return hash_sources([tree / editor, tree / "leaderboard/judging/evaluate.py"], tree)


def differing(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def test_what_edits_and_judges_is_covered_and_nothing_else(tree: Path) -> None:
    names = hashes(tree).keys()
    assert names >= {"editors", "editors.methods.finetune", "editors.core.descent", "leaderboard.judging.judge"}
    assert names >= {"benchmark.models.vit", "benchmark.images.decode", "leaderboard.scores.metrics"}
    others = ("mad", "generation", "editors.methods.ke", "leaderboard.tables")
    assert not [name for name in names if name.startswith(others)]
    assert "editors.methods.ke.network" in hashes(tree, "editors/methods/ke/editor.py")
    assert hashes(tree) == hashes(ROOT)


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("editors/core/descent.py", "LOSS_BELOW = 0.01", "LOSS_BELOW = 0.5"),
        ("leaderboard/scores/metrics.py", "predictions == ", "predictions != "),
        ("benchmark/images/decode.py", "antialias=True", "antialias=False"),
        ("editors/core/descent.py", '"rmsprop"', '"adam"'),
    ],
)
def test_a_changed_value_changes_the_hash_of_its_module_alone(tree: Path, path: str, old: str, new: str) -> None:
    before, text = hashes(tree), (tree / path).read_text()
    assert old in text
    (tree / path).write_text(text.replace(old, new, 1))
    assert differing(before, hashes(tree)) == {path.removesuffix(".py").replace("/", ".")}


def test_comments_docstrings_line_ends_and_layout_change_nothing(tree: Path) -> None:
    before, path = hashes(tree), tree / "editors/core/descent.py"
    text = path.read_text()
    assert text.startswith('"""')
    text = '"""Other words."""\n\n\n# a remark\n' + text[text.index('"""', 3) + 3 :]
    path.write_bytes(text.replace("\n", "\r\n").encode())
    assert hashes(tree) == before


def written(folder: Path, **files: str) -> Path:
    """Python files by name, "folder__name" for one below; the folder."""
    for name, text in files.items():
        path = folder.joinpath(*name.split("___")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_every_file_that_an_editors_file_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside it, on the path, in a package, from within a function, by name; but no library."""
    beside = written(
        tmp_path / "beside",
        mine="import torch, helper\nfrom editors.core.base import Editor\ndef f():\n    from kit import deep\n",
        helper="import importlib\nimportlib.import_module('named')\nSTEP = 1.0\n",
        named="from far import away",
        kit_____init__="",
        kit___deep="from . import wide\nfrom .wide import x",
        kit___wide="x = 1",
        other="y = 1",
    )
    monkeypatch.setattr(sys, "path", [*sys.path, str(written(tmp_path / "far", far="away = 1"))])
    hashes = hash_sources([beside / "mine.py"])
    local = {name for name in hashes if name.split(".")[0] not in PACKAGES}
    assert local == {"mine", "helper", "named", "far", "kit", "kit.deep", "kit.wide"}
    assert "editors.core.base" in hashes
    (beside / "helper.py").write_text((beside / "helper.py").read_text().replace("1.0", "7.0"))
    assert differing(hashes, hash_sources([beside / "mine.py"])) == {"helper"}


@dataclasses.dataclass(frozen=True)
class Named:
    checkpoint: Path
    words: tuple[str, ...] = ()
    lr: float = 0.1
    nothing: str | None = None
    long: str = "x" * 5000


def test_files_that_a_config_names(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"one")
    (tmp_path / "more" / "b").mkdir(parents=True)
    (tmp_path / "more" / "b" / "c.txt").write_text("two")
    config = Named(tmp_path / "a.bin", ("adam", str(tmp_path / "more" / "b" / "c.txt")))
    expected = {str(tmp_path / "a.bin"): b"one", str(tmp_path / "more" / "b" / "c.txt"): b"two"}
    hashed = {name: hashlib.sha256(content).hexdigest() for name, content in expected.items()}
    assert hash_named_files(dataclasses.asdict(config)) == hashed
    folder = Named(tmp_path / "more")
    assert list(hash_named_files(dataclasses.asdict(folder))) == [str(tmp_path / "more" / "b" / "c.txt")]
    assert hash_named_files(dataclasses.asdict(Named(tmp_path / "missing"))) == {}
