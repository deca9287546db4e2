"""The libraries that can move a score: one list for every key, record and table."""

from __future__ import annotations

import importlib.metadata

VERSION = "0.1.0"  # of this project
LIBRARIES = ("torch", "torchvision", "timm", "pillow", "numpy")  # they decode, resize or compute


def version_of(library: str) -> str:
    """The installed release of a library, or "missing"."""
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def library_versions() -> dict[str, str]:
    """The releases of `LIBRARIES`. What another of them computed may differ, and is neither resumed nor reused."""
    return {library: version_of(library) for library in LIBRARIES}
