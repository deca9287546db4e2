"""Measure images an hour: our batches beside one plain pipeline call an image.

python -m generation.bench --device cuda                  # a network of Stable Diffusion 2's size, in float16
python -m generation.bench --quick --steps 5              # tiny networks, on a CPU, in seconds
"""

from __future__ import annotations

from benchmark.core import options
from benchmark.core.cli import run
from benchmark.core.devices import pick
from benchmark.core.timing import write_json
from generation.diffusion import batches as diffusion
from generation.measures.images import measure_images


def main(
    quick: options.Quick = False,
    limit: options.Limit = None,
    steps: options.Steps = diffusion.STEPS,
    batch_size: options.BatchSize = diffusion.BATCH,
    device: options.Device = "auto",
    json: options.Json = None,
) -> None:
    """Compare generating images with one plain call of the pipeline an image, after a check that both make the same.

    The networks have random weights and Stable Diffusion 2's size, which needs a GPU, or with --quick a tiny one; they
    run in float16 on cuda and in float32 on a CPU. One of our batches is made, or --limit images, 2 at least. A batch
    is halved until one fits into memory.
    """
    size = "tiny" if quick else "sd2"
    images = diffusion.BATCH if limit is None else limit
    speed = measure_images(size, device, images, steps, batch_size, 1 if quick else 3)
    ours, plain = (speed.images_an_hour(timing) for timing in (speed.ours, speed.plain))
    print(
        f"{size}, random weights, {speed.pixels} px, {steps} steps, {speed.precision}: ours, in batches of "
        f"{speed.batch_size}, {ours:,.0f} images/h; one plain call an image {plain:,.0f}; {speed.ratio:.2f}x\n"
        f"  the same images: at most {speed.apart:.2g} of 255 apart on average, {speed.farthest} in a pixel; two "
        f"seeds' are {speed.distinct:.2g} apart; load {speed.load:.1f}, {speed.device}"
    )
    write_json(json, f"generate-{size}-{pick(device).type}", speed)


if __name__ == "__main__":
    run(main)
