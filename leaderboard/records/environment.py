"""What a result was made with: library versions, commit, device. Read, never guessed."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from pathlib import Path

import torch

from benchmark.core.devices import peak_memory_bytes

LIBRARIES = ("torch", "timm", "torchvision", "numpy", "pandas", "pyarrow", "pillow")


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that can move a score."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "missing"
    return found


def commit() -> tuple[str | None, bool | None]:
    """Commit of this checkout and whether its tree was changed; None where this is no checkout."""
    root = Path(__file__).resolve().parents[2]
    try:
        head = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return None, None
    return head, bool(changed)


def peak_memory_mb(device: torch.device) -> float | None:
    """Peak memory of this process so far, MiB: the device's on CUDA, resident memory on a CPU, if the system tells."""
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else peak_memory_bytes()
    return None if peak is None else peak / 2**20


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()
