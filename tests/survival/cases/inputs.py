"""What the cases share: a command as a function, a model and pictures.

What lies in "in" is only read: it is linked into the folder of each run, and keeps its times.
"""

from __future__ import annotations

import importlib
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np


def command(line: str) -> Callable[[], None]:
    """A run of ``python -m <line>``."""
    module, *words = line.split()

    def run() -> None:
        from benchmark.core import cli

        cli.run(importlib.import_module(module).main, words, prog=f"python -m {module}")

    return run


def model(name: str, seed: int = 0) -> None:
    """A random ViT of three blocks in timm's folder layout."""
    from timm.models import save_for_hf

    from tests.conftest import small_vit

    model = small_vit(seed, depth=3)
    shape = {"img_size": 32, "patch_size": 16, "embed_dim": 24, "depth": 3, "num_heads": 3}
    model.pretrained_cfg = {**model.pretrained_cfg, "input_size": (3, 32, 32), "crop_pct": 1.0}
    save_for_hf(model, name, model_args=shape, safe_serialization=True)


def pictures(folder: str, *classes: str, each: int = 2) -> None:
    """Pictures of noise in folders by class."""
    from tests.conftest import png

    rng = np.random.default_rng(0)
    for name in classes:
        Path(folder, name).mkdir(parents=True)
        for number in range(each):
            Path(folder, name, f"{number}.png").write_bytes(png(rng))


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
