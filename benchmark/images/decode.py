"""Decoding images that may be broken or hostile, and the preprocessing that belongs to a base model."""

from __future__ import annotations

import contextlib
import io
import math
import threading
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.core.errors import UserError, message_line

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
CROPS = ("center", "squash", "border")
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "box", "hamming", "lanczos")
MAX_PIXELS = 178_956_970  # Pillow's own limit for a decompression bomb
MAX_ASPECT = 64  # long side by short side; a longer strip would take gigabytes once its short side is resized
MAX_SIDE = 2048  # of a model's input, and of what it is cut from; the largest of timm's is 1,024
AT_ONCE = 1 << 27  # pixels of all images that are decoded at once; a larger one is alone
BLOCK = 64 << 20  # bytes that Pillow takes at once: glibc gives pieces above 32 MiB back once they are free
STRIP = 1 << 20  # pixels that are converted at once
GROUND = (255, 255, 255)  # behind what is transparent: white, as paper and most pages are
DEEP = {"I;16": 65535, "I;16L": 65535, "I;16B": 65535, "I;16N": 65535, "F": 1.0}  # mode -> the value of white


class BrokenImage(Exception):
    """Bytes that are no image, or only part of one, or too large to be decoded safely."""


@dataclass(frozen=True)
class Preprocessing:
    """From a decoded image to a model's input: resize, crop to `size`, normalise.

    Part of the protocol and of every record: scores of near-boundary images depend on it. Where width and height of
    the input differ, `size` and `resize` are its height's, `width` and `resize_width` its width's. `crop` is one of
    `CROPS`, timm's crop modes:

    - ``center``: the side that is the shorter, in relation to the input, to its `resize`, then the centre;
    - ``squash``: both sides to their `resize`, whatever that does to the shape, then the centre;
    - ``border``: the longer side to its `resize`, then the centre, with a border of the mean colour.
    """

    size: int
    resize: int
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    width: int | None = None
    resize_width: int | None = None
    crop: str = "center"

    @classmethod
    def from_timm(cls, config: dict[str, Any]) -> Preprocessing:
        """The evaluation transform of timm for a pretrained config (``resolve_data_config``).

        Raises `UserError` for a config that says something else than numbers, known words and RGB.
        """
        try:
            channels, height, width = (int(side) for side in config["input_size"])
            ratio = float(config["crop_pct"])
            mean, std = (tuple(map(float, config[key])) for key in ("mean", "std"))
            resize, resize_width = math.floor(height / ratio), math.floor(width / ratio)
        except (TypeError, ValueError, ZeroDivisionError, OverflowError) as error:
            raise UserError(
                f"the model's config has no preprocessing that can be read ({message_line(error)})"
            ) from error
        crop, interpolation = config.get("crop_mode", "center"), config["interpolation"]
        if channels != 3 or len(mean) != 3 or len(std) != 3:
            raise UserError(f"the model takes images of {channels} channels; only RGB images are shown here")
        if max(height, width, resize, resize_width) > MAX_SIDE:
            raise UserError(f"the model's config asks for images of more than {MAX_SIDE:,} pixels a side")
        if not (min(height, width, resize, resize_width) > 0 and min(std) > 0 and math.isfinite(sum((*mean, *std)))):
            raise UserError("the preprocessing in the model's config must have finite numbers, sizes and std above 0")
        for what, word, known in (("crop mode", crop, CROPS), ("interpolation", interpolation, INTERPOLATIONS)):
            if word not in known:
                raise UserError(f'{what} "{word}" is not supported; must be one of {", ".join(known)}')
        square = height == width
        return cls(
            height, resize, interpolation, mean, std,
            None if square else width, None if square else resize_width, crop,
        )  # fmt: skip

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the model's input."""
        return self.size, self.width or self.size

    @property
    def resize_shape(self) -> tuple[int, int]:
        """Height and width that an image of the input's shape is resized to before the crop."""
        return self.resize, self.resize_width or self.resize

    def __call__(self, image: Image.Image) -> torch.Tensor:
        """An RGB image as a float32 tensor (3, height, width)."""
        return _transform(self)(image)

    def __str__(self) -> str:
        """The preprocessing in words."""
        (height, width), (tall, wide) = self.shape, self.resize_shape
        side = f"{tall}" if tall == wide and self.crop != "squash" else f"{tall} x {wide}"
        steps = f"resized to {side} ({self.interpolation}, {self.crop}), cut to {height} x {width}"
        return f"images {steps}, mean {_numbers(self.mean)}, std {_numbers(self.std)}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for records and cache keys; without those that a square centre crop does not need."""
        values = {**asdict(self), "mean": list(self.mean), "std": list(self.std)}
        defaults = {"width": None, "resize_width": None, "crop": "center"}
        return {key: value for key, value in values.items() if key not in defaults or value != defaults[key]}


def _numbers(values: tuple[float, ...]) -> str:
    """Three numbers in words, one if they are equal."""
    return " ".join(f"{value:g}" for value in (values if len(set(values)) > 1 else values[:1]))


@lru_cache(maxsize=8)
def _transform(preprocessing: Preprocessing) -> Any:
    from torchvision import transforms

    shape, target = preprocessing.shape, preprocessing.resize_shape
    mode = transforms.InterpolationMode(preprocessing.interpolation)
    crop: Any = transforms.CenterCrop(shape)
    if preprocessing.crop == "squash":
        resize: Any = transforms.Resize(target, mode, antialias=True)
    elif preprocessing.crop == "center" and target[0] == target[1]:
        resize = transforms.Resize(target[0], mode, antialias=True)
    else:
        from timm.data.transforms import CenterCropOrPad, ResizeKeepRatio

        border = preprocessing.crop == "border"
        resize = ResizeKeepRatio(target, longest=float(border), interpolation=preprocessing.interpolation)
        if border:
            red, green, blue = (round(255 * value) for value in preprocessing.mean)
            crop = CenterCropOrPad(list(shape), fill=(red, green, blue))
    return transforms.Compose(
        [resize, crop, transforms.ToTensor(), transforms.Normalize(preprocessing.mean, preprocessing.std)]
    )


@lru_cache(maxsize=1)
def _formats() -> list[str]:
    from PIL import Image

    Image.init()
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit is ours
    Image.core.set_block_size(BLOCK)
    return [name for name in FORMATS if name in Image.OPEN]  # AVIF is optional in Pillow


class _Room:
    """Room for `total` pixels that all threads of the process decode at once: whoever needs more waits for the others.

    What needs more than all of it is let in alone.
    """

    def __init__(self, total: int) -> None:
        self._total, self._used, self._changed = total, 0, threading.Condition()

    @contextlib.contextmanager
    def taken(self, pixels: int) -> Iterator[None]:
        """Hold room for `pixels` while the block runs. A thread that holds some must not ask for more."""
        with self._changed:
            self._changed.wait_for(lambda: not self._used or self._used + pixels <= self._total)
            self._used += pixels
        try:
            yield
        finally:
            with self._changed:
                self._used -= pixels
                self._changed.notify_all()


_ROOM = _Room(AT_ONCE)


@contextlib.contextmanager
def decoding(source: bytes | Path, draft: int | None = None) -> Iterator[Image.Image]:
    """An image as `decode` gives it, for a block that makes something smaller of it.

    Threads wait here for each other: all images within such blocks have `AT_ONCE` pixels together.
    """
    from PIL import Image, ImageOps

    try:
        opened = Image.open(source if isinstance(source, Path) else io.BytesIO(source), formats=_formats())
    except Image.UnidentifiedImageError as error:
        raise BrokenImage("not an image") from error
    except Exception as error:  # Pillow's decoders raise whatever they like on hostile bytes
        raise BrokenImage(f"does not decode ({type(error).__name__})") from error
    if opened.width * opened.height > MAX_PIXELS:
        raise BrokenImage(f"{opened.width} x {opened.height} pixels are too many")
    if max(opened.size) > MAX_ASPECT * min(opened.size):
        raise BrokenImage(f"{opened.width} x {opened.height} pixels are a strip, longer than {MAX_ASPECT} to 1")
    if draft is not None:
        opened.draft(None, (draft, draft))
    with _ROOM.taken(opened.width * opened.height):
        try:
            ImageOps.exif_transpose(opened, in_place=True)
            image = _as_rgb(opened)
        except BrokenImage:
            raise
        except Exception as error:
            raise BrokenImage(f"does not decode ({type(error).__name__})") from error
        del opened
        yield image


def decode(source: bytes | Path, draft: int | None = None) -> Image.Image:
    """An RGB image, upright (EXIF rotation applied, as the `datasets` library does; the authors' readers leave it out).

    Transparency is laid on `GROUND`: the colours that it hides are nobody's picture. Greys of 16 bits, and floats from
    0 to 1, become the picture that they show, in 8 bits; other deep greys do not say which value is white.

    With `draft`, a JPEG is decoded at the smallest of the scales 1, 1/2, 1/4 and 1/8 at which both its sides are at
    least `draft` pixels: much faster where photographs are large, and not quite the same pixels once resized.

    Raises `BrokenImage` for bytes that do not decode in full, for decompression bombs, strips longer than `MAX_ASPECT`
    and greys without a white. Threads that decode many at once go through `decoding`, which bounds their memory.
    """
    with decoding(source, draft) as image:
        return image


def _as_rgb(image: Image.Image) -> Image.Image:
    """The picture that an image of any mode shows, made strip by strip, since each step copies what it converts."""
    from PIL import Image

    image.load()
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    rows = max(1, STRIP // image.width)
    if image.height <= rows:
        return _strip_as_rgb(image)
    picture = Image.new("RGB", image.size)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        picture.paste(_strip_as_rgb(strip), (0, top))
    return picture


def _strip_as_rgb(image: Image.Image) -> Image.Image:
    """The picture that it shows; Pillow's own conversion clips deep greys and uncovers what is hidden."""
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
