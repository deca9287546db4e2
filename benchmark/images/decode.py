"""Decoding images that may be broken or hostile, and the preprocessing that belongs to a base model."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.core.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from PIL import Image

# Only formats that Pillow itself decodes: an EPS by another name would be handed to Ghostscript.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM")
_BY_CAMERAS = (".avif", ".avifs", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".apng", ".webp", ".tif", ".tiff")
_BY_OTHERS = (".bmp", ".gif", ".pbm", ".pfm", ".pgm", ".pnm", ".ppm")
SUFFIXES = frozenset((*_BY_CAMERAS, *_BY_OTHERS))  # of image files: all suffixes of `FORMATS`
SUFFIX_OF = {"JPEG": ".jpg", "MPO": ".jpg", "TIFF": ".tif"}  # of others their name; MPO: a JPEG with a second picture
MAX_PIXELS = 178_956_970  # Pillow's own limit for a decompression bomb
MAX_ASPECT = 64  # long side by short side; a longer strip would take gigabytes once its short side is resized
GROUND = (255, 255, 255)  # behind what is transparent: white, as paper and most pages are
DEEP = {"I;16": 65535, "I;16L": 65535, "I;16B": 65535, "I;16N": 65535, "F": 1.0}  # mode -> the value of white


class BrokenImage(Exception):
    """Bytes that are no image, or only part of one, or too large to be decoded safely."""


@dataclass(frozen=True)
class Preprocessing:
    """From a decoded image to a model's input: short side to `resize`, centre `size`, normalise.

    Part of the protocol and of every record: scores of near-boundary images depend on it.
    """

    size: int
    resize: int
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @classmethod
    def from_timm(cls, config: dict[str, Any]) -> Preprocessing:
        """The evaluation transform of timm for a pretrained config (``resolve_data_config``)."""
        if config.get("crop_mode", "center") != "center":
            raise UserError(f'the crop mode must be "center", not "{config["crop_mode"]}"; take another base model')
        size = int(config["input_size"][-1])
        return cls(
            size=size,
            resize=int(size // config["crop_pct"]),
            interpolation=config["interpolation"],
            mean=tuple(config["mean"]),
            std=tuple(config["std"]),
        )

    def __call__(self, image: Image.Image) -> torch.Tensor:
        """An RGB image as a float32 tensor (3, size, size)."""
        return _transform(self)(image)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for records and cache keys."""
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}


@lru_cache(maxsize=8)
def _transform(preprocessing: Preprocessing) -> Any:
    from torchvision import transforms

    return transforms.Compose(
        [
            transforms.Resize(
                preprocessing.resize, transforms.InterpolationMode(preprocessing.interpolation), antialias=True
            ),
            transforms.CenterCrop(preprocessing.size),
            transforms.ToTensor(),
            transforms.Normalize(preprocessing.mean, preprocessing.std),
        ]
    )


@lru_cache(maxsize=1)
def _formats() -> list[str]:
    from PIL import Image

    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]  # AVIF is optional in Pillow


def decode(source: bytes | Path, draft: int | None = None) -> Image.Image:
    """An RGB image, upright (EXIF rotation applied, as the `datasets` library does).

    Transparency is laid on `GROUND`: the colours that it hides are nobody's picture. Greys of 16 bits, and floats from
    0 to 1, become the picture that they show, in 8 bits; other deep greys do not say which value is white.

    With `draft`, a JPEG is decoded at the smallest of the scales 1, 1/2, 1/4 and 1/8 at which both its sides are at
    least `draft` pixels: much faster where photographs are large, and not quite the same pixels once resized.

    Raises `BrokenImage` for bytes that do not decode in full, for decompression bombs, strips longer than `MAX_ASPECT`
    and greys without a white.
    """
    from PIL import Image, ImageOps

    try:
        opened = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=_formats())
        if opened.width * opened.height > MAX_PIXELS:
            raise BrokenImage(f"{opened.width} x {opened.height} pixels are too many")
        if max(opened.size) > MAX_ASPECT * min(opened.size):
            raise BrokenImage(f"{opened.width} x {opened.height} pixels are a strip, longer than {MAX_ASPECT} to 1")
        if draft is not None:
            opened.draft(None, (draft, draft))
        return _as_rgb(ImageOps.exif_transpose(opened))
    except BrokenImage:
        raise
    except Image.UnidentifiedImageError as error:
        raise BrokenImage("not an image") from error
    except Exception as error:  # Pillow's decoders raise whatever they like on hostile bytes
        raise BrokenImage(f"does not decode ({type(error).__name__})") from error


def _as_rgb(image: Image.Image) -> Image.Image:
    """The picture that an image of any mode shows; Pillow's own conversion clips deep greys and uncovers the hidden."""
    from PIL import Image

    if image.mode in DEEP:
        return Image.fromarray(_eight_bits(image)).convert("RGB")
    if image.mode == "I":
        raise BrokenImage("grey values of 32 bits do not say which one is white")
    if not image.has_transparency_data:
        return image.convert("RGB")
    shown = image.convert("RGBA")
    ground = Image.new("RGBA", shown.size, (*GROUND, 255))
    return Image.alpha_composite(ground, shown).convert("RGB")


def _eight_bits(image: Image.Image) -> np.ndarray:
    """Deep greys (H, W) as uint8, rounded."""
    import numpy as np

    values = np.asarray(image).astype(np.float64) / DEEP[image.mode]
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
        raise BrokenImage("its grey values lie outside of 0 to 1")
    return np.rint(255 * values).astype(np.uint8)


def suffix_of(data: bytes) -> str:
    """The usual suffix of an encoded image's format, whatever its file was called; `BrokenImage` for no image."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=_formats()) as opened:
            name = str(opened.format)
    except Exception as error:
        raise BrokenImage("not an image") from error
    return SUFFIX_OF.get(name, f".{name.lower()}")
