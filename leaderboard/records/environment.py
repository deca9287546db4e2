"""The environment of a result: library versions, commit, device. Read, never guessed."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import torch

from benchmark.core.devices import device_peak_bytes
from benchmark.core.versions import library_versions, version_of

OTHERS = ("pandas", "pyarrow")  # they keep what the libraries of every key computed


def versions() -> dict[str, str]:
    """Releases of Python, of the libraries that can move a score, and of those that keep results."""
    others = {library: version_of(library) for library in OTHERS}
    return {"python": platform.python_version(), **library_versions(), **others}


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
    """Peak memory of this process so far, MiB: the device's, or resident memory on a CPU, if the system tells."""
    peak = device_peak_bytes(device)
    return None if peak is None else peak / 2**20


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()
