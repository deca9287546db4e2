"""Real images under the two looks: their seeds, and a folder of photographs by class."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from benchmark.images.decode import decode
from benchmark.images.open import open_images
from generation.core.flaws import TRIES, Made, find_flaw, make_sound
from generation.core.folder import GeneratedImages, Job
from generation.looks.painting import paint_in_oil
from generation.looks.spotlight import light_stage

SEED = 17
LOOKS: dict[str, Callable[[Image.Image, int], Image.Image]] = {"oil_painting": paint_in_oil, "stage_light": light_stage}
AT_ONCE = 32  # images between two writings of a folder's table


def list_seeds(name: str, look: str, seed: int = SEED) -> list[int]:
    """The seeds of one image under one look, to try in turn: of nothing else, so that any subset is made the same."""
    words = [f"{seed} {look} {name}" + (f" {attempt}" if attempt else "") for attempt in range(TRIES)]
    return [int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") for text in words]


def shift(image: Image.Image, look: str, seeds: Sequence[int]) -> Made:
    """One image under one look. A source that shows nothing is thrown away itself, since no seed can mend it."""
    if flaw := find_flaw(np.asarray(image)):
        return Made(thrown_away=[{"seed": None, "flaw": flaw}])
    (made,) = make_sound([seeds], lambda tried: [np.asarray(LOOKS[look](image, seed)) for seed in tried])
    return made


def shift_folder(images: Path | str, out: Path, seed: int = SEED) -> str:
    """Give a folder of images by class both looks: OUT/<look>/<class index>/<number>.png; return the counts, in words.

    An image that is there already, made of the same bytes, is not made again, so the same command goes on after a kill.

    Raises:
        UserError: if OUT/<look> holds something else, or images made from others.
    """
    source = open_images(images, labelled=True)
    jobs = [(label, number) for number, label in enumerate(source.known_labels.tolist())]
    ids_sha256 = hashlib.sha256("\n".join(source.ids).encode()).hexdigest()
    counts = []
    for look in LOOKS:
        settings = {"look": look, "seed": seed, "names_sha256": ids_sha256}
        with GeneratedImages.held(out / look, settings) as folder:
            shift_into(folder, look, jobs, source.ids, source.read, seed)
            counts.append(f"{look} {folder.summarise(jobs)}")
    return "; ".join(counts)


def shift_into(
    folder: GeneratedImages,
    look: str,
    jobs: Sequence[Job],
    names: Sequence[str],
    read: Callable[[int], bytes],
    seed: int,
) -> None:
    """Give images one look: those of `names`, as `jobs`, whose bytes `read` gives by their number in the job.

    An image that is in `folder` already, made of the same bytes, is not made again.
    """
    made: list[tuple[Job, Image.Image | None, dict[str, Any]]] = []
    for job, name in zip(jobs, tqdm(names, desc=look, unit="image", delay=2), strict=True):
        data = read(job[1])
        sha256 = hashlib.sha256(data).hexdigest()
        if job not in folder.rows or folder.rows[job]["source_sha256"] != sha256:
            result = shift(decode(data), look, list_seeds(sha256, look, seed))
            image = None if result.pixels is None else Image.fromarray(result.pixels)
            made.append((job, image, {"source_id": name, "source_sha256": sha256, **result.columns, "scores": None}))
        if len(made) == AT_ONCE:
            folder.add(made)
            made = []
    folder.add(made)
