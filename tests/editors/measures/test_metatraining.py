"""The measurement of meta-training checks equality before it times anything."""

from __future__ import annotations

import torch

from editors.measures.metatraining import Case, lively_base
from tests.editors.methods.hypernetwork.conftest import quick


def test_the_fast_way_finds_the_masks_of_the_plain_one() -> None:
    recipe = quick(inner_lr=0.1, sparsity_weight=0.02)
    assert float(Case.random(lively_base("mini", dtype=torch.float64), 2, recipe).distances().max()) < 1e-9
