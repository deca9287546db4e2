"""Measure images an hour: our batches beside one plain pipeline call an image.

python -m generation.bench --device cuda                  # a network of Stable Diffusion 2's size, in float16
python -m generation.bench --size tiny --steps 5          # on a CPU, in seconds
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from benchmark.core.cli import run
from benchmark.core.timing import write_json
from generation.diffusion import batches as diffusion
from generation.measures.images import measure_images


def main(
    size: Literal["sd2", "tiny"] = "sd2",
    images: int = diffusion.BATCH,
    steps: int = diffusion.STEPS,
    batch_size: int = diffusion.BATCH,
    repeats: int = 3,
    device: Literal["cpu", "cuda"] = "cpu",
    json: Path | None = None,
) -> None:
    """Compare generating images with one plain call of the pipeline an image, after a check that both make the same.

    Args:
        size: of the networks, with random weights: Stable Diffusion 2's (for a GPU), or tiny ones.
        images: to make, at least 2.
        steps: of denoising.
        batch_size: images a batch of ours; halved until one fits into memory.
        repeats: how often each variant is timed, in turn.
        device: where the networks run, in float16 on cuda and in float32 on a CPU.
        json: write the numbers to this file too.
    """
    speed = measure_images(size, device, images, steps, batch_size, repeats)
    ours, plain = (speed.images_an_hour(timing) for timing in (speed.ours, speed.plain))
    print(
        f"{size}, random weights, {speed.pixels} px, {steps} steps, {speed.precision}: ours, in batches of "
        f"{speed.batch_size}, {ours:,.0f} images/h; one plain call an image {plain:,.0f}; {speed.ratio:.2f}x\n"
        f"  the same images: at most {speed.apart:.2g} of 255 apart on average, {speed.farthest} in a pixel; two "
        f"seeds' are {speed.distinct:.2g} apart; load {speed.load:.1f}, {speed.device}"
    )
    if json is not None:
        write_json(json, speed)


if __name__ == "__main__":
    run(main)
