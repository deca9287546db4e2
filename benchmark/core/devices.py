"""The machine: its device, the speed of a matrix product on it, and the memory of this process."""

from __future__ import annotations

import operator
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from benchmark.core.errors import UserError

EXACT = ("ieee", "none")  # torch's words for float32 as it is
NO_FLOAT64 = ("mps",)  # kinds of device


def pick(name: str | torch.device) -> torch.device:
    """``cpu``, ``cuda`` or ``mps`` as a device, or for ``auto`` the first there is; a device as it is.

    Raises `UserError` for a device that this machine lacks.
    """
    if isinstance(name, torch.device):
        return name
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, is_there in there.items() if is_there)
    if not there.get(name, True):
        raise UserError(f"no {name.upper()} device is there; leave --device out to use what there is")
    return torch.device(name)


def in_float64(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor in float64: on its device or, where that has none, on the CPU."""
    return tensor.cpu().double() if tensor.device.type in NO_FLOAT64 else tensor.double()


def move(module: torch.nn.Module, device: torch.device) -> None:
    """Move a module to a device, but for what it holds in float64 where the device has none: that stays where it is."""
    stays = device.type in NO_FLOAT64
    module._apply(lambda tensor: tensor if stays and tensor.dtype == torch.float64 else tensor.to(device))


@contextmanager
def exact_float32() -> Iterator[None]:
    """Keep float32 products and convolutions from being rounded to TF32 or bfloat16; the old settings come back.

    torch rounds convolutions on a GPU by default, and products where a script or a library asked for it.
    """
    before = float32_state()
    try:
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = False
        for leaf in _leaves().values():
            if leaf.fp32_precision not in EXACT:
                leaf.fp32_precision = "ieee"
        yield
    finally:
        set_float32_state(before)


def set_products(precision: str) -> None:
    """Let a GPU round the factors of float32 products (tf32) or not (float32).

    Raises `UserError` for two-pass, by which only scores are computed.
    """
    if precision not in ("float32", "tf32"):
        raise UserError(f"--precision {precision} is for scoring (leaderboard.submit); train in float32 or tf32")
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")


def float32_state() -> list[Any]:
    """Everything that torch holds on how float32 is computed, for `set_float32_state`."""
    return [*_legacy(), {name: leaf.fp32_precision for name, leaf in _leaves().items()}]


def set_float32_state(state: list[Any]) -> None:
    """Set what `float32_state` gave."""
    matmul, cudnn, leaves = state
    torch.set_float32_matmul_precision(matmul)
    torch.backends.cudnn.allow_tf32 = cudnn
    for name, leaf in _leaves().items():
        if leaf.fp32_precision != leaves[name]:
            leaf.fp32_precision = leaves[name]


def float32_settings() -> dict[str, str]:
    """The format of float32 products and convolutions now, read from torch: ``ieee``, or what they are rounded to."""
    leaves = {name: leaf.fp32_precision for name, leaf in _leaves().items()}
    if not leaves:
        matmul, cudnn = _legacy()
        rounded = {"highest": "ieee", "high": "tf32", "medium": "bf16"}[matmul]
        leaves = {"cuda.matmul": rounded, "cudnn.conv": "tf32" if cudnn else "ieee"}
    return {name: "ieee" if precision in EXACT else precision for name, precision in leaves.items()}


def _leaves() -> dict[str, Any]:
    """The objects that hold torch's settings, by name; empty before torch 2.9, which has them elsewhere."""
    if not hasattr(torch.backends, "fp32_precision"):
        return {}
    names = ("cuda.matmul", "cudnn.conv", "mkldnn.matmul", "mkldnn.conv")
    return {name: operator.attrgetter(name)(torch.backends) for name in names}


def _legacy() -> tuple[Any, Any]:
    """The same settings as older torch has them; the exact ones where somebody has mixed both ways to set them."""
    try:
        return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    except RuntimeError:
        return "highest", False


def device_name(device: torch.device) -> str:
    """The accelerator's name, or the processor's with the number of threads in use."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return f"{_processor()}, Metal"
    return f"{_processor()}, {torch.get_num_threads()} threads"


def _processor() -> str:
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return model


def memory_bytes() -> int | None:
    """Resident memory of this process; None where the system does not report it (Linux does)."""
    return _read_status("VmRSS")


def peak_memory_bytes() -> int | None:
    """The largest resident memory of this process so far; None where the system does not report it (Windows)."""
    if (peak := _read_status("VmHWM")) is not None:
        return peak
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def device_peak_bytes(device: torch.device) -> int | None:
    """The most memory so far: the device's on CUDA, what Metal holds now on MPS, else the process's own."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return torch.mps.driver_allocated_memory() if device.type == "mps" else peak_memory_bytes()


def free_bytes(device: torch.device) -> int | None:
    """Memory of the device that is free; None of a CPU, whose memory the system shares out."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        return max(0, torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return None


def release_cached() -> None:
    """Give memory that torch keeps for later back to the devices."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def load_average() -> float:
    """Processes ready to run, on average over the last minute; NaN where the system does not report it."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")


def _read_status(field: str) -> int | None:
    """Bytes that Linux notes under `field` of this process (man 5 proc)."""
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="utf-8").splitlines() if status.is_file() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:")), None)


def wait(device: torch.device) -> None:
    """Wait until the device has done all its work; a CPU has at once."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


@torch.no_grad()
def matmul_ceiling(device: torch.device, dtype: torch.dtype = torch.float32, seconds: float = 1.0) -> float:
    """FLOP/s of a large square matrix product: the best run in `seconds`, and of at least three runs."""
    size = 2048 if device.type == "cpu" else 8192
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    out = left @ right
    best_seconds, n_runs, begin = float("inf"), 0, time.perf_counter()
    while n_runs < 3 or time.perf_counter() - begin < seconds:
        wait(device)
        start = time.perf_counter()
        torch.mm(left, right, out=out)
        wait(device)
        best_seconds, n_runs = min(best_seconds, time.perf_counter() - start), n_runs + 1
    return 2 * size**3 / best_seconds
