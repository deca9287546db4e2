"""float32 is float32: what rounds it is switched off while scores are made, read back, and restored."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.core import devices
from benchmark.core.devices import exact_float32, float32_settings, free_bytes, pick
from benchmark.core.errors import UserError
from benchmark.data.dataset import Benchmark
from benchmark.models.load import BaseModel, load_base
from benchmark.predict.benchmark import filter_benchmark

IEEE = {"ieee"}
ROOT = Path(__file__).resolve().parents[3]
CUDA_ALONE = {  # where no other device is meant
    "benchmark/core/devices.py": "each question has its one place here",
    "leaderboard/judging/checks.py": "CUDA's generators of random numbers",
    "leaderboard/judging/handles.py": "handles of memory, which only CUDA shares between processes",
}


@pytest.fixture
def rounding():
    """A script that asked for TF32 and bfloat16 before."""
    matmul, cudnn = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("medium")
    torch.backends.cudnn.allow_tf32 = True
    yield
    torch.set_float32_matmul_precision(matmul)
    torch.backends.cudnn.allow_tf32 = cudnn


def test_rounding_is_off_inside_and_as_before_outside(rounding: None) -> None:
    before = float32_settings()
    assert before["cuda.matmul"] in ("tf32", "bf16") and before["cudnn.conv"] == "tf32"
    with pytest.raises(ArithmeticError), exact_float32():
        assert set(float32_settings().values()) == IEEE
        assert torch.get_float32_matmul_precision() == "highest" and not torch.backends.cudnn.allow_tf32
        raise ArithmeticError
    assert float32_settings() == before and torch.get_float32_matmul_precision() == "medium"


@pytest.mark.skipif(not hasattr(torch.backends, "fp32_precision"), reason="torch before 2.9")
def test_the_newer_way_to_ask_for_rounding_is_seen_too(rounding: None) -> None:
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    torch.backends.cudnn.conv.fp32_precision = "tf32"
    before = float32_settings()
    with exact_float32():
        assert set(float32_settings().values()) == IEEE
    assert float32_settings() == before and before["cuda.matmul"] == "tf32"


def test_predictions_are_made_in_float32_whatever_was_asked_for(
    rounding: None, base: BaseModel, small_benchmark: Benchmark, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, str]] = []
    base.module.register_forward_pre_hook(lambda *_: seen.append(float32_settings()))
    filter_benchmark(base, small_benchmark)
    base.probe()
    assert len(seen) >= 3 and all(set(settings.values()) == IEEE for settings in seen)


@pytest.mark.gpu
def test_products_and_convolutions_are_exact_on_a_gpu(rounding: None) -> None:
    random = torch.Generator().manual_seed(0)
    left, right = (torch.randn(512, 512, generator=random) for _ in range(2))
    image, kernel = torch.randn(8, 64, 32, 32, generator=random), torch.randn(64, 64, 3, 3, generator=random)

    def error() -> np.ndarray:
        product = left.cuda() @ right.cuda()
        convolved = torch.nn.functional.conv2d(image.cuda(), kernel.cuda())
        exact = left.double() @ right.double(), torch.nn.functional.conv2d(image.double(), kernel.double())
        pairs = zip((product, convolved), exact, strict=True)
        return np.array([((ours.cpu().double() - right).norm() / right.norm()).item() for ours, right in pairs])

    assert (error() > 1e-4).all(), "without it torch rounds factors to 10 bits"
    with exact_float32():
        assert (error() < 1e-5).all()


@pytest.mark.parametrize(
    ("cuda", "mps", "chosen"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")], ids=str
)
def test_auto_is_cuda_else_mps_else_the_cpu(
    cuda: bool, mps: bool, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert pick("auto") == torch.device(chosen) and pick("cpu").type == "cpu"
    for kind, is_there in {"cuda": cuda, "mps": mps}.items():
        if not is_there:
            with pytest.raises(UserError, match=f"no {kind.upper()} device is there; leave --device out"):
                pick(kind)


def test_metals_memory_is_asked_of_metal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 1000)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 300)
    assert free_bytes(torch.device("mps")) == 700 and devices.device_peak_bytes(torch.device("mps")) == 300
    assert free_bytes(torch.device("cpu")) is None


def test_a_base_is_loaded_where_auto_points_and_says_the_devices_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert load_base("mini", device="auto").device == torch.device("cpu")


def test_cuda_is_asked_in_one_place() -> None:
    calls = re.compile(r"torch\.(cuda|mps)\.|import_module\(.torch.cuda")
    files = [
        path for package in ("benchmark", "editors", "leaderboard", "mad") for path in (ROOT / package).rglob("*.py")
    ]
    asking = {path.relative_to(ROOT).as_posix() for path in files if calls.search(path.read_text(encoding="utf-8"))}
    assert asking == set(CUDA_ALONE)
