"""Train a linear probe: the head of a base model on the frozen backbone DINOv2 ViT-S/14.

    python -m benchmark.fetch dinov2-mini
    python -m benchmark.probe --head dinov2-mini --out out/probes/dinov2-mini
    python -m benchmark.probe --head dinov2-mini-strong --out out/probes/dinov2-mini-strong

Needs `pip install "resvg-py==0.5.0"` and npm, which fetches the drawings' packages. --base takes the folder.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from benchmark.core import options
from benchmark.core.ranges import Count


def main(
    head: Literal["dinov2-mini", "dinov2-mini-strong"],
    out: options.Out,
    backbone: Path | None = None,
    threads: Count = 1,
) -> None:
    """Train the head of one of the two base models on DINOv2 and write it as a folder that --base takes.

    OUT gets config.json, head.safetensors and training.json. Features are kept in the cache, so that a repetition is
    quick, and goes on where it was. Prints the accuracy on new views of each style.

    Args:
        head: Head to train, by the name of its base model.
        backbone: File of the backbone's weights, if not the cached one or the Hub's.
        threads: Threads of the CPU.
    """
    from benchmark.mini.probe import make

    print(json.dumps(make(head, out, backbone, threads), indent=2))


if __name__ == "__main__":
    from benchmark.core.cli import run

    run(main)
