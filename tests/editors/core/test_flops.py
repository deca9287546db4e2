"""Counted operations, beside those that torch counts."""

from __future__ import annotations

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmark.models import vit
from editors.core import flops
from tests.conftest import small_vit


def counted(work) -> int:
    """FLOPs of the matrix products that torch itself saw; the fused attention kernels are counted otherwise."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


@pytest.mark.parametrize("depth", [3, 6, 12])
def test_counted_flops_are_those_that_torch_counts(depth: int) -> None:
    model = small_vit(depth=depth)
    image = torch.randn(1, 3, 32, 32)
    names = vit.ffn_matrices(model)
    cut = vit.cut_for(model, names)
    tokens = vit.forward_prefix(model, image, cut)

    def step(plain: bool) -> None:
        weights = {name: model.get_parameter(name).clone().requires_grad_() for name in names}
        logits = vit.forward(model, image, weights) if plain else vit.forward_tail(model, tokens, cut, weights)
        torch.autograd.grad(logits.sum(), list(weights.values()))

    def beyond(units: int) -> None:
        first, second = names[:2]
        fc1, fc2 = (model.get_parameter(name).clone() for name in (first, second))
        fc1[7] += 1  # an old and a new unit
        fc2[:, 3] += 1  # the change of its second half
        difference = vit.ffn_difference(model, cut.block, {first: fc1, second: fc2})
        assert difference is not None and len(difference[first]) == units
        vit.forward_tail_beyond(model, tokens, tokens, cut, difference, {})

    assert flops.forward_flops(model) == counted(lambda: model(image))
    assert flops.tail_flops(model, cut) == counted(lambda: vit.forward_tail(model, tokens, cut, {}))
    assert flops.tail_flops(model, cut, units=3) == counted(lambda: beyond(3))
    assert flops.step_flops(model) == counted(lambda: step(plain=False))
    assert flops.step_flops(model, plain=True) == counted(lambda: step(plain=True))
