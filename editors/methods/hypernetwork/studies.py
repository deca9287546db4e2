"""Hypernetworks trained with one field of the recipe changed (paper, Figs. J-N)."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from pathlib import Path
from typing import Any

from benchmark.images.source import ImageSource
from benchmark.models.load import BaseModel
from editors.methods.hypernetwork import fit
from editors.methods.hypernetwork.bank import BankOptions
from editors.methods.hypernetwork.recipe import preset
from editors.training.studies import NETWORKS, Study, StudyOptions


def train_variant(
    name: str,
    field: str,
    value: Any,
    base: BaseModel,
    source: ImageSource,
    options: StudyOptions,
    seed: int,
    folder: Path,
) -> Path:
    """Checkpoint of a hypernetwork for study `name`, with one field changed.

    Values that leave the targets as they are share one bank, in the decoupled form. Raises `UserError` as `fit.train`.
    """
    recipe = preset(options.recipe).but(iterations=options.iterations, **{field: value})
    settings = {**recipe.target_fields(), "base": base.weights_sha256, "pictures": source.signature}
    digest = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:12]
    checkpoint = folder / NETWORKS / f"{name}={value}-seed={seed}.safetensors"
    fit.train(base, source, recipe, BankOptions(folder / "banks" / digest, options.bank_size), checkpoint, seed)
    return checkpoint


def _study(name: str, field: str, values: tuple[Any, ...], title: str) -> Study:
    return Study(title, values, partial(train_variant, name, field))


STUDIES = {
    "T": _study("T", "inner_steps", (1, 5, 10), "gradient steps T of the inner loop (Fig. L)"),
    "inner-lr": _study("inner-lr", "inner_lr", (1e-4, 1e-3, 1e-2), "learning rate of the inner loop (Fig. M)"),
    "lambda": _study("lambda", "sparsity_weight", (0.1, 1.0, 10.0), "sparsity weight lambda (Fig. K)"),
    "blocks": _study("blocks", "blocks", (1, 3, 5), "attention blocks of the hypernetwork (Fig. N)"),
    "pseudo": _study("pseudo", "pseudo", ("cutmix", "pgd"), "pseudo-samples (Fig. J)"),
}
