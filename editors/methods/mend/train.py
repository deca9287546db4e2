"""``python -m editors.methods.mend.train``: train MEND's editor network for a base model.

python -m editors.methods.mend.train --base mini --data mini --rank 96 --iterations 600 --out out/mini.safetensors
python -m editors.methods.mend.train --base vitb16 --data imagenet/train --device cuda --out out/mend/vitb16.safetensors
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from benchmark.core.cli import run
from editors.methods.mend.checkpoint import facts_of
from editors.methods.mend.fit import train
from editors.methods.mend.recipe import Recipe
from editors.methods.mend.samples import EditingSamples
from editors.training.loop import opening


def main(
    base: str,
    data: str,
    out: Path,
    seed: int = 0,
    device: Literal["cpu", "cuda"] = "cpu",
    resume: bool = False,
    checkpoint_every: int = 500,
    top_k: int | None = None,
    crop_scale: float | None = None,
    locality: int | None = None,
    edit_weight: float | None = None,
    locality_weight: float | None = None,
    rank: int | None = None,
    step_size: float | None = None,
    lr: float | None = None,
    step_lr: float | None = None,
    clip: float | None = None,
    batch: int | None = None,
    iterations: int | None = None,
) -> None:
    """Train MEND: how should this base model's gradients be changed into edits?

    What is not given comes from MEND's article and code and from the benchmark's paper (editors/mend/recipe.py).

    Args:
        base: mini, vitb16, any timm ViT, NAME=FILE or a timm folder.
        data: a folder of images per class, a data set on the Hub, or mini; no label is used.
        out: the checkpoint, FILE.safetensors; curves (csv, png) and the state to resume from go beside it.
        seed: of the network's weights and of all that is drawn from the images.
        device: cpu or cuda.
        resume: go on with the run that was interrupted at this --out.
        checkpoint_every: iterations between two checkpoints.
        top_k: the wanted class is one of the base's top k of the image, but not its first.
        crop_scale: least area share of the random crops in which an edit is judged.
        locality: unrelated images a sample, on which the base's predictions should stay.
        edit_weight: of the cross-entropy of the other view.
        locality_weight: of the KL on the unrelated images.
        rank: of the network's layers; the checkpoint's size goes with it.
        step_size: of every matrix at the start; it is trained too.
        lr: Adam's learning rate of the network.
        step_lr: Adam's learning rate of the step sizes.
        clip: largest norm of the gradient.
        batch: editing samples an iteration.
        iterations: optimiser steps.
    """
    recipe = Recipe().but(
        top_k=top_k,
        crop_scale=crop_scale,
        locality=locality,
        edit_weight=edit_weight,
        locality_weight=locality_weight,
        rank=rank,
        step_size=step_size,
        lr=lr,
        step_lr=step_lr,
        clip=clip,
        batch=batch,
        iterations=iterations,
    )
    model, pictures = opening(base, data, out, device, resume, checkpoint_every)
    samples = EditingSamples(model, pictures, recipe, seed)
    train(samples, out, seed, facts_of(model, recipe, seed, pictures.fingerprint), checkpoint_every)
    print(f"{out}: {recipe.iterations:,} iterations; use it as mend:checkpoint={out}")


if __name__ == "__main__":
    run(main)
