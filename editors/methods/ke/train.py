"""``python -m editors.methods.ke.train``: train KE's network for a base model.

python -m editors.methods.ke.train --base vitb16 --data imagenet/train --device cuda --out out/ke/vitb16.safetensors
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from benchmark.core.cli import run
from editors.methods.ke.fit import train
from editors.methods.ke.recipe import Recipe
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
    others: int | None = None,
    condition: int | None = None,
    hidden: int | None = None,
    margin: float | None = None,
    alpha_lr: float | None = None,
    lr: float | None = None,
    warmup: int | None = None,
    batch: int | None = None,
    iterations: int | None = None,
) -> None:
    """Train KE's network: what should this base model's gradient become, for an edit that works and stays local?

    Args:
        base: mini, vitb16, any timm ViT, NAME=FILE or a timm folder.
        data: a folder of images per class, a data set on the Hub, or mini; no label is used.
        out: the checkpoint, FILE.safetensors; curves (csv, png) and the state to resume from go beside it.
        seed: of the network's weights and of all that is drawn.
        device: cpu or cuda.
        resume: go on with the run that was interrupted at this --out.
        checkpoint_every: iterations between two checkpoints.
        top_k: wanted classes are drawn from the base's top k, without its prediction (default 5).
        crop_scale: least area share of the random crops an edit is made from and judged on (default 0.25).
        others: unrelated images of the batch that each edit is to leave alone (default 3).
        condition: width of the layer that all matrices share (default 1024).
        hidden: width of each matrix's own layer; most of the network's size (default 128).
        margin: KL on the unrelated images that costs nothing (default 0.1).
        alpha_lr: how fast the weight of that KL follows it (default 0.1).
        lr: Adam's learning rate at its highest (default 1e-5).
        warmup: iterations until it is reached; from there it falls to zero at the end (default 1,000).
        batch: editing samples a step (default 4).
        iterations: steps (default 200,000).
    """
    recipe = Recipe().but(
        top_k=top_k,
        crop_scale=crop_scale,
        others=others,
        condition=condition,
        hidden=hidden,
        margin=margin,
        alpha_lr=alpha_lr,
        lr=lr,
        warmup=warmup,
        batch=batch,
        iterations=iterations,
    )
    model, pictures = opening(base, data, out, device, resume, checkpoint_every)
    train(model, pictures, recipe, out, seed, checkpoint_every)
    print(f"{out}: {recipe.iterations:,} iterations; use it as ke:checkpoint={out}")


if __name__ == "__main__":
    run(main)
