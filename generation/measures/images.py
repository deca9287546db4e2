"""Images an hour: ours in batches beside one plain pipeline call an image.

Random weights: the time does not depend on what they are. *Ours* is `generation.diffusion.batches.generate`, with its
batches, its table and its files. *Plain* calls the same pipeline for one image at a time, as diffusers' documentation
does, and saves it. Both take the same seeds, and must make the same images before any time is taken.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmark.core.devices import device_name, load_average, pick
from benchmark.core.errors import UserError
from benchmark.core.timing import Timing, interleaved
from generation.core.folder import GeneratedImages
from generation.diffusion import batches as diffusion
from generation.measures.networks import SIZES, random_pipeline

CLASS, PROMPT = 6, "an oil painting of a stingray"  # any would do
FLOAT32_APART = 1  # of 255: what any pixel may differ by at another batch size, as docs/generation.md promises
# of 255: the same in float16, in the mean over an image. Chosen, for no source has one: kernels round otherwise at
# another batch size, guidance and steps carry it on, and a single pixel may stray further. (In float16 on a CPU, the
# large networks differed by 0.07 after 10 steps at 128 px, and two seeds' images by 35.)
FLOAT16_APART = 2.0
DISTINCT = 2  # times what is allowed: so far apart two seeds' images must be, or their equality would say nothing


@dataclass(frozen=True)
class ImageSpeed:
    """`images` made at `pixels` a side and saved at `saved`, in batches of `batch_size` (ours) and one a call (plain).

    `apart`: the largest mean difference of an image of ours from the plain one, and `farthest` that of a pixel, both
    of 255 levels; `distinct`: the least mean difference of two neighbouring seeds' images.
    """

    device: str
    load: float
    torch: str
    diffusers: str
    size: str
    precision: str
    images: int
    steps: int
    guidance: float
    pixels: int
    saved: int
    batch_size: int
    ours: Timing
    plain: Timing
    apart: float
    farthest: int
    distinct: float

    @property
    def ratio(self) -> float:
        """How many times faster our way is, of the medians."""
        return self.plain.median / self.ours.median

    def an_hour(self, way: Timing) -> float:
        """Images an hour at a way's median."""
        return 3600 * self.images / way.median


@dataclass(frozen=True)
class Case:
    """The same images for both ways. `settings` are those of `diffusion.generate`."""

    pipe: Any
    settings: Mapping[str, Any]
    images: int
    batch_size: int

    def ours(self, out: Path) -> int:
        """Generate into the new folder `out`; return the batch size that did fit."""
        folder, model = GeneratedImages(out, self.settings), diffusion.Model(self.pipe, {})
        diffusion.generate(model, folder, lambda _: (PROMPT, ""), [CLASS], self.images, self.batch_size)
        return folder.fitting_batch or self.batch_size

    def plain(self, out: Path) -> None:
        """One call and one file an image."""
        (out / str(CLASS)).mkdir(parents=True)
        side = self.settings["size"]
        for number in range(self.images):
            image = self.pipe(
                PROMPT,
                num_inference_steps=self.settings["steps"],
                guidance_scale=self.settings["guidance"],
                generator=torch.Generator("cpu").manual_seed(diffusion.seed_of(CLASS, number)),
            ).images[0]
            image.resize((side, side)).save(out / str(CLASS) / f"{number:05d}.png")


def read_images(out: Path) -> np.ndarray:
    """The pixels that a way has written, uint8 (n, H, W, 3)."""
    return np.stack([np.asarray(Image.open(path)) for path in sorted((out / str(CLASS)).glob("*.png"))])


def compare(ours: np.ndarray, plain: np.ndarray, half: bool) -> tuple[float, int, float]:
    """`apart`, `farthest` and `distinct` of `ImageSpeed`; images uint8 (n, H, W, 3), n of two at least.

    Raises `AssertionError` if the two ways' images differ by more than is allowed, or are all but the same for any seed
    (those of networks that overflow are black).
    """
    assert ours.shape == plain.shape, f"images {ours.shape}, plain ones {plain.shape}"
    allowed = FLOAT16_APART if half else FLOAT32_APART
    wide = plain.astype(int)
    distinct = float(np.abs(np.diff(wide, axis=0)).mean((1, 2, 3)).min())
    assert distinct > DISTINCT * allowed, f"two seeds' images are {distinct:.2g} of 255 apart: too alike to compare"
    difference = np.abs(ours - wide)
    apart, farthest = float(difference.mean((1, 2, 3)).max()), int(difference.max())
    found, what = (apart, "on average") if half else (farthest, "somewhere")
    assert found <= allowed, f"an image differs from a plain call's by {found:.3g} of 255 {what}, allowed {allowed}"
    return apart, farthest, distinct


def measure_images(size: str, device: str, images: int, steps: int, batch_size: int, repeats: int) -> ImageSpeed:
    """Check equality, then time both ways in turn. float16 on a GPU, as `diffusion.load_model` has it, else float32.

    Raises:
        UserError: for fewer than two images, which could not be told apart, and where the device is missing.
        AssertionError: if the two ways make other images.
    """
    import diffusers

    if images < 2 or min(steps, batch_size, repeats) < 1:
        raise UserError("--images is at least 2; --steps, --batch-size and --repeats are at least 1")
    where = pick(device)
    half = where.type == "cuda"
    pipe = random_pipeline(SIZES[size], where).to(where, torch.float16 if half else torch.float32)
    pipe.set_progress_bar_config(disable=True)
    pixels = pipe.unet.config.sample_size * pipe.vae_scale_factor
    settings = {"steps": steps, "guidance": diffusion.GUIDANCE, "size": min(pixels, diffusion.SIZE)}
    case = Case(pipe, settings, images, min(batch_size, images))
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        case = replace(case, batch_size=case.ours(root / "ours"))
        case.plain(root / "plain")
        apart, farthest, distinct = compare(read_images(root / "ours"), read_images(root / "plain"), half)
        fresh = (root / str(number) for number in range(2 * repeats))
        ways = {"ours": lambda: case.ours(next(fresh)), "plain": lambda: case.plain(next(fresh))}
        timing = interleaved(ways, repeats, where)
    return ImageSpeed(
        device_name(where), load_average(), torch.__version__, diffusers.__version__,
        size, str(pipe.dtype).removeprefix("torch."), images, steps, diffusion.GUIDANCE, pixels, settings["size"],
        case.batch_size, timing["ours"], timing["plain"], apart, farthest, distinct,
    )  # fmt: skip
