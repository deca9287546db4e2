"""Stand-ins for the released archives, in exactly their layouts, with small images of every awkward kind.

No image is there twice: each carries its number in a comment, so that a few pictures make thousands of hashes.
"""

from __future__ import annotations

import csv
import io
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import count
from pathlib import Path

import numpy as np
from PIL import Image

from benchmark.data.groups import PAPER_LOCALITY
from benchmark.labels.imagenet import names, synsets
from benchmark.subsets import oil_painting, stage_light
from benchmark.subsets.subset import paper_groups

NATURAL = {group.id: group.count for group in paper_groups() if group.subset == "natural"}
OIL_PAINTING, LIGHTS = 860, 7
STAGE_LIGHT = 1092
PUG_COLUMNS = (
    "filename", "world_name", "character_name", "character_label", "character_rotation_yaw", "character_rotation_roll",
    "character_rotation_pitch", "character_scale", "camera_roll", "camera_pitch", "camera_yaw", "character_texture",
    "scene_light",
)  # fmt: skip


@lru_cache
def pictures() -> tuple[bytes, ...]:
    """A dozen small encoded pictures: RGB, greyscale, CMYK and EXIF-rotated JPEGs, and PNGs."""
    rng = np.random.default_rng(0)
    made = []
    for number in range(12):
        coarse = rng.integers(0, 256, (3, 4, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((80, 60), Image.Resampling.BILINEAR)
        buffer = io.BytesIO()
        if number % 6 == 1:
            image.convert("L").save(buffer, "JPEG")
        elif number % 6 == 2:
            image.convert("CMYK").save(buffer, "JPEG")
        elif number % 6 == 3:
            turned = Image.Exif()
            turned[0x0112] = 6  # turn by 90 degrees to show it upright
            image.save(buffer, "JPEG", exif=turned)
        elif number % 6 == 4:
            image.save(buffer, "PNG")
        else:
            image.save(buffer, "JPEG")
        made.append(buffer.getvalue())
    return tuple(made)


def numbered(number: int) -> bytes:
    """The picture for this number, which no other number has: the number stands in a comment."""
    data, text = pictures()[number % len(pictures())], f"picture {number}".encode()
    if data.startswith(b"\xff\xd8"):
        return data[:2] + b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text + data[2:]
    chunk = b"tEXtComment\0" + text
    return data[:33] + struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]


def natural(path: Path, counts: Mapping[str, int] = NATURAL, first: int = 0) -> Path:
    """``Natural-Image-Subset.zip``: a folder a group, named ``<label>_<anything>``; a PNG may be named .jpg."""
    files = {
        f"Natural-Image-Subset/{identity.split('-')[0]}_{identity.split('-')[1]}/{number}.jpg"
        for identity, n_images in counts.items()
        for number in range(n_images)
    }
    return zipped(path, {name: numbered(first + i) for i, name in enumerate(sorted(files))})


def zipped(path: Path, files: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    """A ZIP archive of these files."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def oil_paintings(folder: Path, n_images: int = OIL_PAINTING, first: int = 10_000) -> Path:
    """One folder a class, named by index, synset id or class name in turn."""
    classes = sorted(oil_painting.CLASSES)
    titles = [(str(c), synsets()[c], names()[c].replace(" ", "_"))[i % 3] for i, c in enumerate(classes)]
    for number in range(n_images):
        _put(folder / titles[number % len(titles)] / f"{number:04d}.png", numbered(first + number))
    return folder


def pug(folder: Path, n_images: int = STAGE_LIGHT, first: int = 20_000) -> Path:
    """PUG's root: its csv with rows of other factors and classes as well, and the ImageFolder Scene_Light."""
    rows = list(_pug_rows(n_images))
    for number, row in enumerate(rows):
        _put(folder / row["filename"], numbered(first + number))
    other = dict.fromkeys(PUG_COLUMNS, "Default")
    rows.append(other | {"filename": "Worlds/Barrel/1.png", "world_name": "City", "character_label": "Barrel"})
    unlisted = {"character_label": "Goldfish", "character_name": "fish", "scene_light": "4.0"}
    rows.append(other | unlisted | {"filename": "Scene_Light/Goldfish/1.png"})
    with (folder / stage_light.LABELS_CSV).open("w", newline="") as file:
        writer = csv.DictWriter(file, PUG_COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return folder


def _pug_rows(n_images: int) -> Iterator[dict[str, str]]:
    labels = list(stage_light.CLASSES)
    for number in range(n_images):
        asset, light = divmod(number, LIGHTS)
        label = labels[asset % len(labels)]
        row = dict.fromkeys(PUG_COLUMNS, "Default") | {"character_name": f"{label}_{asset}"}
        name = f"Scene_Light/{label}/{label}_{asset}_{light}.png"
        yield row | {"filename": name, "character_label": label, "scene_light": f"{light}.0"}


def locality(path: Path, n_images: int = PAPER_LOCALITY, first: int = 30_000) -> Path:
    """``Sensitive-Images.zip``: flat, without labels, under the names that the images have in their sets."""
    patterns = ("ILSVRC2012_val_{:08d}.JPEG", "sketch_{}.JPEG", "art_{}.jpg")
    stems = (pattern.format(number) for number in count() for pattern in patterns)
    return zipped(path, {f"Sensitive-Images/{next(stems)}": numbered(first + i) for i in range(n_images)})


def all_four(folder: Path) -> dict[str, Path]:
    """Every stand-in with the true counts, as `benchmark.build.build` takes them."""
    folder.mkdir(parents=True, exist_ok=True)
    return {
        "natural": natural(folder / "Natural-Image-Subset.zip"),
        "oil_painting": oil_paintings(folder / "oil"),
        "stage_light": pug(folder / "PUG_ImageNet"),
        "locality": locality(folder / "Sensitive-Images.zip"),
    }


def few(folder: Path) -> dict[str, Path]:
    """Some images of each kind, for tests that are not about counts."""
    folder.mkdir(parents=True, exist_ok=True)
    return {
        "natural": natural(folder / "Natural-Image-Subset.zip", {"890-430": 6, "407-654": 6}),
        "oil_painting": oil_paintings(folder / "oil", 24),
        "stage_light": pug(folder / "PUG_ImageNet", 28),
        "locality": locality(folder / "Sensitive-Images.zip", 12),
    }


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
