"""Images with another look, and what is kept of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tests.survival.cases.inputs import command, model, pictures
from tests.survival.server import Case

if TYPE_CHECKING:
    import pandas as pd


def _look_at_once() -> None:
    """Let the looks change nothing: how long they take says nothing of what is written."""
    from generation.looks import shifting

    shifting.AT_ONCE = 1
    shifting.LOOKS.update(dict.fromkeys(shifting.LOOKS, lambda image, seed: image))


def _shift() -> None:
    _look_at_once()
    command("generation.procedural --images in/photos --out out")()


def _procedural() -> None:
    """Of six images of the mini's pool."""
    from generation import procedural

    _look_at_once()
    read = procedural.read_split

    def some(folder: Path, split: str):
        return read(folder, split).take(np.arange(6)) if split == "pool" else read(folder, split)

    procedural.read_split = some
    procedural.select_sources = lambda pool, labels, used: np.arange(2)
    command("generation.procedural --out out")()


def _paint() -> None:
    """What the commands with a diffusion model do with its images."""
    from PIL import Image

    from benchmark.core import cli
    from generation.core.folder import GeneratedImages

    def paint() -> None:
        with GeneratedImages.held(Path("out"), {"model": "none"}) as folder:
            folder.keep_fitting_batch(2)
            while jobs := folder.list_missing([6, 987], 3):
                pixels = [np.full((8, 8, 3), sum(job) % 256, np.uint8) for job in jobs[:2]]
                folder.add([(job, Image.fromarray(pixel), {}) for job, pixel in zip(jobs[:2], pixels, strict=True)])

    cli.run(paint, [])


def _filter() -> None:
    """With similarities that no CLIP was asked for."""
    import pandas as pd

    from generation import clip_filter

    def similarities(clip: object, images, shift: str, batch_size: int = 32) -> pd.DataFrame:
        share = np.arange(len(images.ids)) / len(images.ids)
        columns = {"class_index": images.known_labels.tolist(), "class_similarity": share, "shift_similarity": share}
        return pd.DataFrame({"image": list(images.ids), **columns})

    clip_filter.load_clip, clip_filter.compute_similarities = (lambda *_: None), similarities
    words = "made --shift oil_painting --images in/photos --base in/base --least 0 --most 0 --out out"
    command(f"generation.clip_filter {words}")()


def _made() -> None:
    model("in/base")
    pictures("in/photos", "6", "987")
    pictures("in/made", "6", "987")
    for picture in Path("in/made").rglob("*.png"):  # as links, since the folder gets a table
        link = Path("made", picture.parent.name, picture.name)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(picture.absolute())
    from generation.core.folder import write_table

    write_table(Path("made"), [{"file": f"{c}/{n}.png", "scores": None} for c in (6, 987) for n in range(2)])


CASES = (
    Case("shift", lambda: pictures("in/photos", "6", "987"), _shift, repeats=50),
    Case("procedural", lambda: None, _procedural),
    Case("paint", lambda: None, _paint, repeats=50),
    Case("filter", _made, _filter, refuses="is not empty"),
)
