"""``python -m editors.methods.hypernetwork.train``: meta-train a hypernetwork for a base model.

python -m editors.methods.hypernetwork.train --base mini --data mini --bank-size 8000 --out out/mini.safetensors
python -m editors.methods.hypernetwork.train --base vitb16 --data imagenet/train --device cuda --out out/v.safetensors
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch

from benchmark.core.cli import run
from editors.methods.hypernetwork.bank import build
from editors.methods.hypernetwork.checkpoint import facts_of
from editors.methods.hypernetwork.fit import train
from editors.methods.hypernetwork.pseudo import PseudoSamples
from editors.methods.hypernetwork.recipe import preset
from editors.training.loop import opening


def main(
    base: str,
    data: str,
    out: Path,
    recipe: Literal["released", "paper"] = "released",
    seed: int = 0,
    device: Literal["cpu", "cuda"] = "cpu",
    resume: bool = False,
    checkpoint_every: int = 500,
    bank: Path | None = None,
    bank_size: int | None = None,
    bank_seed: int = 0,
    form: Literal["decoupled", "standard"] | None = None,
    pseudo: Literal["cutmix", "pgd"] | None = None,
    sparsity_weight: float | None = None,
    temperature: float | None = None,
    inner_steps: int | None = None,
    inner_lr: float | None = None,
    outer_steps: int | None = None,
    second_order: bool | None = None,
    blocks: int | None = None,
    lr: float | None = None,
    batch: int | None = None,
    iterations: int | None = None,
    precision: Literal["float32", "tf32"] | None = None,
) -> None:
    """Meta-train a hypernetwork: where should this base model be edited?

    Args:
        base: mini, vitb16, any timm ViT, NAME=FILE or a timm folder.
        data: a folder of images per class, a data set on the Hub, or mini; no label is used.
        out: the checkpoint, FILE.safetensors; curves (csv, png) and the state to resume from go beside it.
        recipe: what is not given below comes from the released code or from the paper.
        seed: of the network's weights and the order of its batches.
        device: cpu or cuda.
        resume: go on with the run that was interrupted at this --out.
        checkpoint_every: iterations between two checkpoints.
        bank: folder of the decoupled form's targets; other seeds, blocks and learning rates may share it.
        bank_size: pseudo-samples in the bank; by default none is seen twice (iterations x batch).
        bank_seed: of the pseudo-samples and of what their targets start from.
        form: decoupled fits the network to optimised masks; standard differentiates through the edit.
        pseudo: how pseudo-samples are made.
        sparsity_weight: lambda.
        temperature: of the KL.
        inner_steps: T.
        inner_lr: alpha.
        outer_steps: steps on each target mask.
        second_order: differentiate through the inner loop.
        blocks: attention blocks of the hypernetwork.
        lr: learning rate of the hypernetwork.
        batch: pseudo-samples a batch.
        iterations: batches.
        precision: tf32 is faster on a GPU, and less exact.
    """
    chosen = preset(recipe).but(
        form=form,
        pseudo=pseudo,
        sparsity_weight=sparsity_weight,
        temperature=temperature,
        inner_steps=inner_steps,
        inner_lr=inner_lr,
        outer_steps=outer_steps,
        second_order=second_order,
        blocks=blocks,
        lr=lr,
        batch=batch,
        iterations=iterations,
        precision=precision,
    )
    torch.set_float32_matmul_precision("high" if chosen.precision == "tf32" else "highest")
    model, pictures = opening(base, data, out, device, resume, checkpoint_every)
    samples = PseudoSamples(model, pictures, chosen, bank_seed)
    pool = None
    if chosen.form == "decoupled":
        size = chosen.iterations * chosen.batch if bank_size is None else bank_size
        pool = build(bank or out.with_suffix(".bank"), samples, size)
    facts = facts_of(
        model, chosen, seed, pictures.fingerprint, {"size": 0 if pool is None else len(pool), "seed": bank_seed}
    )
    train(samples, pool, out, seed, facts, checkpoint_every)
    print(f"{out}: {chosen.iterations:,} iterations; use it as hypernetwork:checkpoint={out}")


if __name__ == "__main__":
    run(main)
