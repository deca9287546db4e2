"""Layers under weight overrides, which may have an axis of edits in front: see `benchmark.models.vit`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Overrides = Mapping[str, Tensor]
NO_OVERRIDES: Overrides = MappingProxyType({})


def linear(layer: nn.Linear, name: str, inputs: Tensor, overrides: Overrides, rows: slice = slice(None)) -> Tensor:
    """Apply a linear layer, or `rows` of its outputs, under overrides that may have an axis of edits in front."""
    weight = overrides.get(f"{name}.weight", layer.weight)[..., rows, :]
    bias = overrides.get(f"{name}.bias", layer.bias)
    bias = bias[..., rows] if bias is not None else None
    if weight.dim() == 2:
        if bias is None or bias.dim() == 1:
            return F.linear(inputs, weight, bias)
        return F.linear(inputs, weight) + per_edit(bias, inputs)
    edits = weight.shape[0]
    if inputs.dim() < 4 or inputs.shape[0] != edits:
        raise ValueError(f"{name}: tokens for {edits} edits must be ({edits}, n, T, N), not {tuple(inputs.shape)}")
    if edits == 1:  # one matrix product instead of a batch of one, which is slower on a CPU
        only_bias = bias.squeeze(0) if bias is not None and bias.dim() == 2 else bias
        return F.linear(inputs, weight.squeeze(0), only_bias)
    # weight times inputs, not inputs times weight: so the weight's gradient comes in the weight's own memory
    # order, without which an optimiser step costs three times as much
    flat = inputs.reshape(edits, -1, inputs.shape[-1]).mT
    outputs = torch.bmm(weight, flat) if bias is None else torch.baddbmm(bias[..., None], weight, flat)
    return outputs.mT.reshape(*inputs.shape[:-1], weight.shape[-2])


def norm(layer: Any, name: str, inputs: Tensor, overrides: Overrides) -> Tensor:
    """Apply a layer norm under overrides; without any, `layer` itself, of any type."""
    if f"{name}.weight" not in overrides and f"{name}.bias" not in overrides:
        return layer(inputs)
    weight = overrides.get(f"{name}.weight", layer.weight)
    bias = overrides.get(f"{name}.bias", layer.bias)
    normed = F.layer_norm(inputs, inputs.shape[-1:], eps=layer.eps)
    return normed * per_edit(weight, inputs) + per_edit(bias, inputs)


def scale(layer: Any, name: str, inputs: Tensor, overrides: Overrides) -> Tensor:
    """Apply a LayerScale under overrides of its `gamma`; without any, `layer` itself, of any type."""
    gamma = overrides.get(f"{name}.gamma")
    return layer(inputs) if gamma is None else inputs * per_edit(gamma, inputs)


def per_edit(vector: Tensor, like: Tensor) -> Tensor:
    """A vector (N,) as it is, one an edit (m, N) with axes that broadcast against tokens (m, n, T, N)."""
    return vector if vector.dim() == 1 else vector.reshape(len(vector), *(1,) * (like.dim() - 2), -1)


def stack_overrides(edits: Sequence[Overrides]) -> Overrides:
    """The overrides of several edits of the same parameters as those of m edits at once; of one edit, its own.

    Where one has fewer FFN units than another, units of zeros are added, which add nothing to the FFN's output.
    """
    return edits[0] if len(edits) == 1 else {name: _stacked([edit[name] for edit in edits]) for name in edits[0]}


def _stacked(values: Sequence[Tensor]) -> Tensor:
    stacked = values[0].new_zeros(len(values), *map(max, zip(*(value.shape for value in values), strict=True)))
    for row, value in zip(stacked, values, strict=True):
        row[tuple(map(slice, value.shape))] = value
    return stacked
