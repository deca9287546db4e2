"""Files from outside run no code of theirs: each call that reads them says so, and none unpickles."""

from __future__ import annotations

import ast
import pickle
from pathlib import Path

import pytest

from benchmark.core.errors import UserError
from benchmark.images.open import open_images
from tests.test_imports import PACKAGES, ROOT, modules

BORDER = {"leaderboard/judging/line.py", "leaderboard/judging/worker.py"}  # the judge's own requests to its worker
UNPICKLES = {"read_pickle", "joblib", "dill", "cloudpickle", "marshal", "shelve"}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_unpickles(package: str) -> None:
    for path in modules(package):
        name = path.relative_to(ROOT).as_posix()
        tree = ast.parse(path.read_text(encoding="utf-8"))
        words = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        words |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        assert not words & UNPICKLES, name
        assert "pickle" not in words or name in BORDER, name
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
            assert keywords.get("allow_pickle", "False") == "False", f"{name}:{call.lineno}"
            assert "trust_remote_code" not in keywords, f"{name}:{call.lineno}"
            if ast.unparse(call.func) == "torch.load":
                assert keywords.get("weights_only") == "True", f"{name}:{call.lineno}"


def test_a_data_set_with_a_script_or_pickles_runs_nothing(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return Path.touch, (tmp_path / "was run",)

    folder = tmp_path / "evil"
    for name in ("evil.pkl", "evil.pickle", "data/train-00000-of-00001.pkl", "data/test-00000-of-00001.parquet"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(pickle.dumps(Evil()))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'was run')!r}, 'w')\n")
    for text in ("", "---\nconfigs:\n- config_name: default\n  data_files: evil.pkl\n---\n"):
        (folder / "README.md").write_text(text)
        for split in ("train", "test", None):
            with pytest.raises(UserError):
                open_images(folder, labelled=True, split=split)
            with pytest.raises(UserError):
                open_images(folder, split=split)
    assert not (tmp_path / "was run").exists()
