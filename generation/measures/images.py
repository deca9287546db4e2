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
from generation.measures.networks import SIZES, make_random_pipeline

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
        """Factor by which ours is faster: the plain calls' median time over ours."""
        return self.plain.median / self.ours.median

    def images_an_hour(self, timing: Timing) -> float:
        """Images an hour at a variant's median time."""
        return 3600 * self.images / timing.median


@dataclass(frozen=True)
class Case:
    """The same images for both variants. `settings` are those of `diffusion.generate`."""

    pipe: Any
    settings: Mapping[str, Any]
    images: int
    batch_size: int

    def run_ours(self, out: Path) -> int:
        """Generate into the new folder `out`; return the batch size that fitted."""
        folder, model = GeneratedImages(out, self.settings), diffusion.Model(self.pipe, {})
        diffusion.generate(model, folder, lambda _: (PROMPT, ""), [CLASS], self.images, self.batch_size)
        return folder.fitting_batch or self.batch_size

    def run_plain(self, out: Path) -> None:
        """One call and one file an image."""
        (out / str(CLASS)).mkdir(parents=True)
        side = self.settings["size"]
        for number in range(self.images):
            image = self.pipe(
                PROMPT,
                num_inference_steps=self.settings["steps"],
                guidance_scale=self.settings["guidance"],
                generator=torch.Generator("cpu").manual_seed(diffusion.compute_seed(CLASS, number)),
            ).images[0]
            image.resize((side, side)).save(out / str(CLASS) / f"{number:05d}.png")


def read_images(out: Path) -> np.ndarray:
    """The pixels that a variant has written, uint8 (n, H, W, 3)."""
    return np.stack([np.asarray(Image.open(path)) for path in sorted((out / str(CLASS)).glob("*.png"))])


def compare(ours: np.ndarray, plain: np.ndarray, half: bool) -> tuple[float, int, float]:
    """`apart`, `farthest` and `distinct` of `ImageSpeed`; images uint8 (n, H, W, 3), n of two at least.

    Raises `AssertionError` if the two variants' images differ by more than is allowed, or are all but the same for any
    seed (those of networks that overflow are black).
    """
    assert ours.shape == plain.shape, f"images {ours.shape}, plain ones {plain.shape}"
    allowed = FLOAT16_APART if half else FLOAT32_APART
    wide = plain.astype(int)
    distinct = float(np.abs(np.diff(wide, axis=0)).mean((1, 2, 3)).min())
    assert distinct > DISTINCT * allowed, f"two seeds' images are {distinct:.2g} of 255 apart: too alike to compare"
    difference = np.abs(ours - wide)
    apart, farthest = float(difference.mean((1, 2, 3)).max()), int(difference.max())
    deviation, place = (apart, "on average") if half else (farthest, "somewhere")
    assert deviation <= allowed, (
        f"an image differs from a plain call's by {deviation:.3g} of 255 {place}, allowed {allowed}"
    )
    return apart, farthest, distinct


def measure_images(size: str, device: str, images: int, steps: int, batch_size: int, repeats: int) -> ImageSpeed:
    """Check equality, then time both variants in turn: in float16 on a GPU, as by `diffusion.load_model`, else float32.

    Raises:
        UserError: for fewer than two images, which could not be told apart, and where the device is missing.
        AssertionError: if the two variants make different images.
    """
    import diffusers

    if images < 2:
        raise UserError(f"--limit must be 2 or more, not {images}: seeds are to make different images")
    torch_device = pick(device)
    half = torch_device.type == "cuda"
    pipe = make_random_pipeline(SIZES[size], torch_device).to(torch_device, torch.float16 if half else torch.float32)
    pipe.set_progress_bar_config(disable=True)
    pixels = pipe.unet.config.sample_size * pipe.vae_scale_factor
    settings = {"steps": steps, "guidance": diffusion.GUIDANCE, "size": min(pixels, diffusion.SIZE)}
    case = Case(pipe, settings, images, min(batch_size, images))
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        case = replace(case, batch_size=case.run_ours(root / "ours"))
        case.run_plain(root / "plain")
        apart, farthest, distinct = compare(read_images(root / "ours"), read_images(root / "plain"), half)
        fresh = (root / str(number) for number in range(2 * repeats))
        variants = {"ours": lambda: case.run_ours(next(fresh)), "plain": lambda: case.run_plain(next(fresh))}
        timing = interleaved(variants, repeats, torch_device)
    return ImageSpeed(
        device_name(torch_device), load_average(), torch.__version__, diffusers.__version__,
        size, str(pipe.dtype).removeprefix("torch."), images, steps, diffusion.GUIDANCE, pixels, settings["size"],
        case.batch_size, timing["ours"], timing["plain"], apart, farthest, distinct,
    )  # fmt: skip
