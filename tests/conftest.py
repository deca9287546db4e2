"""Fixtures of all tests: random ViTs, a benchmark in the Hub's layout made of noise, and a browser."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import timm
import torch
from huggingface_hub import constants, hf_api
from hypothesis import settings
from PIL import Image
from timm.models.vision_transformer import VisionTransformer

from benchmark.data.dataset import Benchmark, load
from benchmark.images.decode import Preprocessing
from benchmark.models.identity import hash_weights
from benchmark.models.load import BaseModel
from leaderboard.records.samples import SAMPLES_FILE, find_samples
from tests.hub_server import ROOT, HubServer, serving

# The same examples in every run: a property that breaks does so for everyone, and not once in a while.
settings.register_profile("fixed", max_examples=200, derandomize=True, deadline=None, database=None)
settings.load_profile("fixed")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PREPROCESSING = Preprocessing(32, 32, "bicubic", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def small_vit(seed: int = 0, dtype: torch.dtype = torch.float32, **settings) -> VisionTransformer:
    """A random 6-block ViT on 32-px images whose logits differ between images."""
    torch.manual_seed(seed)
    shape = {"img_size": 32, "patch_size": 16, "embed_dim": 24, "depth": 6, "num_heads": 3, "num_classes": 1000}
    model = timm.create_model("vit_tiny_patch16_224", **{**shape, **settings})
    torch.nn.init.normal_(model.head.weight)
    for block in model.blocks:
        torch.nn.init.normal_(block.mlp.fc1.weight, std=0.2)
        torch.nn.init.normal_(block.mlp.fc2.weight, std=0.2)
    return model.to(dtype).eval().requires_grad_(False)


def pytest_configure() -> None:
    """Hear Ctrl-C even where a shell's background started the tests with it ignored: processes that they start do."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's cache."""
    monkeypatch.setenv("VIT_EDIT_BENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def _no_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Output has no width, unless a test gives it one: pytest-xdist says that it is 80 columns wide."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A Hub on loopback, still empty, that this process asks; so do those that `HubServer.python` starts."""
    with serving() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.endpoint)
        template = server.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(hf_api.api, "endpoint", server.endpoint)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        yield server


@pytest.fixture
def datasets_hub(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HubServer:
    """The Hub on loopback, for `datasets` too."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", hub.endpoint)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "DOWNLOADED_DATASETS_PATH", tmp_path / "cache" / "downloads")
    return hub


@pytest.fixture
def vit() -> VisionTransformer:
    return small_vit()


@pytest.fixture
def base(vit: VisionTransformer) -> BaseModel:
    return BaseModel("small", vit, PREPROCESSING, hash_weights(vit))


def png(rng: np.random.Generator) -> bytes:
    """A 32-px PNG of coloured noise."""
    coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((32, 32), Image.Resampling.NEAREST).save(buffer, "PNG")
    return buffer.getvalue()


def copy_run(source: Path, target: Path) -> Path:
    """Copy a committed run whole: its samples, which committed runs share, come to lie beside its outcomes."""
    shutil.copytree(source, target)
    shutil.copyfile(find_samples(source), target / SAMPLES_FILE)
    return target


def write_split(folder: Path, split: str, rows: list[dict]) -> None:
    """Write one split of a data set in the Hub's layout."""
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / f"{split}-00000-of-00001.parquet")


def rows_of(groups: dict[tuple[str | None, str | None], int], seed: int, labels: int = 20) -> list[dict]:
    """Rows for (group id, subset) -> count, two views a drawing."""
    rng = np.random.default_rng(seed)
    rows = []
    for (group, subset), count in groups.items():
        for number in range(count):
            image = png(rng)
            rows.append(
                {
                    "image": {"bytes": image, "path": None},
                    "label": int(rng.integers(labels)),
                    "group": group,
                    "group_id": group,
                    "subset": subset,
                    "drawing": f"{group}/{number // 2}",
                    "sha256": hashlib.sha256(image).hexdigest(),
                }
            )
    return rows


@pytest.fixture
def small_data(tmp_path: Path) -> Path:
    """A folder with 4 groups in 2 subsets (one of them of a single image) and 12 locality images."""
    data = tmp_path / "noise" / "data"
    groups = {("1-2", "pairs"): 4, ("3-4", "pairs"): 3, ("5-6", "pairs"): 1, ("line", "line_drawing"): 5}
    write_split(data, "edit", rows_of(groups, seed=1))
    write_split(data, "locality", rows_of({(None, "locality"): 12}, seed=2))
    write_split(data, "train", rows_of({(None, "train"): 6}, seed=3))
    return data.parent


@pytest.fixture
def small_benchmark(small_data: Path) -> Benchmark:
    return load(str(small_data))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Thirty pictures of noise in a folder and one below it."""
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    random = np.random.default_rng(0)
    for i in range(30):
        pixels = random.integers(0, 256, (4 + i % 3, 5, 3), dtype=np.uint8)
        path = folder / ("more" if i % 4 == 0 else "") / f"{i:02d}.png"
        Image.fromarray(pixels).resize((40, 30 + i)).save(path)
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator:
    """Debian's Chromium, else Playwright's own; on a developer's machine without either the test is skipped."""
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        if os.environ.get("CI"):
            raise
        pytest.skip("needs playwright: pip install -e '.[browser]'")
    with sync_playwright() as playwright:
        try:
            chromium = playwright.chromium.launch(executable_path=CHROMIUM)
        except Error:
            if CHROMIUM or os.environ.get("CI"):
                raise
            pytest.skip("needs Chromium: apt install chromium, or playwright install chromium")
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of what git keeps."""
    folder = tmp_path_factory.mktemp("wheel")
    copy_tracked(folder / "clone")
    words = ("wheel", ".", "--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", str(folder))
    subprocess.run([sys.executable, "-m", "pip", *words], cwd=folder / "clone", check=True)
    (path,) = folder.glob("vit_edit_bench-*.whl")
    return path


def copy_tracked(folder: Path) -> None:
    """Copy the files that git keeps, and no others, into `folder`."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():  # one that was removed just now is listed still
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
