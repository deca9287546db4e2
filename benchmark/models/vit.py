"""The only file that knows how a timm Vision Transformer is built.

It runs one in two pieces. The *prefix* is everything up to a `Cut`, and depends on no edit, so it is
computed once an image and cached. The *tail* is everything after the cut, run under *weight overrides*:
a dict from parameter name to the tensor that stands in for it. An override has the parameter's own number
of axes (one edit, tokens ``(n, T, N)``), or one more in front (m edits at once, tokens ``(m, n, T, N)``), in
which case edit i sees only its own weights. Rows may be added to ``fc1`` and columns to ``fc2``: nothing
here assumes the widths of the base.

Notation of the paper: N is the width, N_m the intermediate dimension of the FFN, T tokens with [cls] first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Overrides = Mapping[str, Tensor]
AS_IT_IS: Overrides = MappingProxyType({})
Model = Any  # a timm VisionTransformer: the attributes of an nn.Module have no static types
Taps = dict[str, tuple[Tensor, Tensor]]  # by the name of an FC matrix, the layer's inputs and outputs (..., T, width)


@dataclass(frozen=True, order=True)
class Cut:
    """The place where the tail begins: before block `block`'s attention, or (`ffn`) between its attention and its FFN.

    ``block == depth`` is after the last block. Cuts are ordered as the computation runs.
    """

    block: int
    ffn: bool = False


def depth(model: Model) -> int:
    """Number of attention blocks L."""
    return len(model.blocks)


def edited_blocks(model: Model) -> tuple[int, ...]:
    """The three blocks whose FFNs are edited, from 0: 7, 8, 9 of 12 (paper, 4.1: "the 8th to 10th FFNs").

    Other depths keep the distance from the end; fewer than five blocks: the last three.
    """
    last = depth(model) - 2 if depth(model) >= 5 else depth(model)
    return tuple(range(max(0, last - 3), last))


def ffn_matrices(model: Model, blocks: Iterable[int] | None = None) -> tuple[str, ...]:
    """Names of the two FC weight matrices of each edited FFN, in order; never biases (six for a ViT-B/16)."""
    chosen = edited_blocks(model) if blocks is None else blocks
    return tuple(f"blocks.{block}.mlp.{layer}.weight" for block in chosen for layer in ("fc1", "fc2"))


def last_ffn_matrices(model: Model) -> tuple[str, ...]:
    """`ffn_matrices` of the last three FFNs, of all if there are fewer: what KE and MEND edit (paper, 5.1 and B.2)."""
    return ffn_matrices(model, range(max(0, depth(model) - 3), depth(model)))


def msa_matrices(blocks: Iterable[int]) -> tuple[str, ...]:
    """Names of the two weight matrices of each MSA, query-key-value and projection; never biases."""
    return tuple(f"blocks.{block}.attn.{layer}.weight" for block in blocks for layer in ("qkv", "proj"))


def hidden_width(model: Model) -> int:
    """N_m, the intermediate dimension of the FFNs."""
    return model.blocks[0].mlp.fc1.out_features


def edits_at_once(model: Model, device: torch.device) -> int:
    """The number of edits that one descent should hold.

    Measured with `editors.bench`: on a CPU a batch pays while a step is bound by call overhead (small
    weights), and adds nothing once it is bound by arithmetic; on a GPU it pays until memory is full.
    """
    weights = sum(model.get_parameter(name).numel() for name in ffn_matrices(model))
    if device.type == "cpu":
        return 32 if weights < 1_000_000 else 1
    # weight, gradient, optimiser state and a temporary, four bytes each; a quarter of the memory at most
    free, _ = torch.cuda.mem_get_info(device)
    return max(1, min(64, int(free / 4 / (16 * weights))))


def unit_masks(mask: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
    """Masks over structured units as masks that broadcast against the matrices (paper, 3.2).

    `mask` (..., len(names), N_m): unit i of an ``fc1.weight`` [N_m, N] is its row i, of an ``fc2.weight``
    [N, N_m] its column i.
    """
    return {
        name: mask[..., layer, :, None] if ".fc1." in name else mask[..., layer, None, :]
        for layer, name in enumerate(names)
    }


def unit_sums(values: Mapping[str, Tensor]) -> Tensor:
    """Sums over units (see `unit_masks`) of values by name, each like its matrix, (..., len(values), N_m)."""
    return torch.stack([value.sum(-1 if ".fc1." in name else -2) for name, value in values.items()], dim=-2)


def cut_for(model: Model, names: Iterable[str]) -> Cut | None:
    """The last cut before anything that overrides of these parameters can change.

    None if they reach before the first block, where there is no tail to run.
    """
    cuts = [Cut(depth(model))]
    for name in names:
        path = name.split(".")
        if path[0] == "blocks":
            cuts.append(Cut(int(path[1]), ffn=path[2] in ("norm2", "mlp", "ls2")))
        elif path[0] not in ("norm", "head"):
            return None
    return min(cuts)


def ffn_cut(model: Model, names: Iterable[str]) -> Cut:
    """The last cut before these FFN matrices, given by name as `ffn_matrices` does."""
    cut = cut_for(model, names)
    assert cut is not None and cut.ffn  # FFNs lie behind the first block's attention
    return cut


def forward_prefix(model: Model, images: Tensor, cut: Cut) -> Tensor:
    """Residual-stream tokens (n, T, N) at `cut` for preprocessed images (n, 3, H, W).

    Behind the last attention only [cls] reaches the head, so there T is 1.
    """
    tokens = model.norm_pre(model.patch_drop(model._pos_embed(model.patch_embed(images))))
    for block in range(min(cut.block, depth(model))):
        tokens = _ffn(model, block, _attention(model, block, tokens, {}), {})
    return _attention(model, cut.block, tokens, {}) if cut.ffn else tokens


def cls_features(model: Model, images: Tensor) -> Tensor:
    """Features e(x) (n, N): the [cls] token behind the final norm, which the head classifies."""
    return model.norm(forward_prefix(model, images, Cut(depth(model))))[:, 0]


def forward_tail(model: Model, tokens: Tensor, cut: Cut, overrides: Overrides, taps: Taps | None = None) -> Tensor:
    """Logits (n, classes) or (m, n, classes) from the tokens at `cut`, under weight overrides.

    `taps`, if given, is filled with what goes in and out of every FC layer of the FFNs behind the cut.
    """
    first = cut.block
    if cut.ffn:
        tokens, first = _ffn(model, first, tokens, overrides, taps), first + 1
    for block in range(first, depth(model)):
        tokens = _ffn(model, block, _attention(model, block, tokens, overrides), overrides, taps)
    features = _norm(model.norm, "norm", tokens[..., :1, :], overrides)
    return _linear(model.head, "head", features, overrides).squeeze(-2)


def hidden_activations(
    model: Model, tokens: Tensor, block: int, overrides: Overrides = AS_IT_IS, taps: Taps | None = None
) -> Tensor:
    """Activations (..., T, N_m) between the two FC layers of a block's FFN, from the tokens at its ffn cut."""
    name, mlp = f"blocks.{block}", model.blocks[block].mlp
    inputs = _norm(model.blocks[block].norm2, f"{name}.norm2", tokens, overrides)
    outputs = _linear(mlp.fc1, f"{name}.mlp.fc1", inputs, overrides)
    if taps is not None:
        taps[f"{name}.mlp.fc1.weight"] = inputs, outputs
    return mlp.act(outputs)


def tokens_after_ffn(
    model: Model, tokens: Tensor, hidden: Tensor, block: int, overrides: Overrides = AS_IT_IS, taps: Taps | None = None
) -> Tensor:
    """The tokens behind a block's FFN, from those at its ffn cut and its activations, changed or not."""
    name = f"blocks.{block}"
    outputs = _linear(model.blocks[block].mlp.fc2, f"{name}.mlp.fc2", hidden, overrides)
    if taps is not None:
        taps[f"{name}.mlp.fc2.weight"] = hidden, outputs
    return tokens + _scale(model.blocks[block].ls2, f"{name}.ls2", outputs, overrides)


def forward(model: Model, images: Tensor, overrides: Overrides) -> Tensor:
    """Logits (n, classes) under overrides of any parameters whatever, the plain way: one full forward."""
    return torch.func.functional_call(model, dict(overrides), (images,))


def _attention(model: Model, index: int, tokens: Tensor, overrides: Overrides) -> Tensor:
    """One attention half, residual included; of the last block only the [cls] query is computed."""
    block, name = model.blocks[index], f"blocks.{index}"
    attn = block.attn
    normed = _norm(block.norm1, f"{name}.norm1", tokens, overrides)
    if index == depth(model) - 1:
        tokens = tokens[..., :1, :]
        width = attn.num_heads * attn.head_dim
        query = _linear(attn.qkv, f"{name}.attn.qkv", normed[..., :1, :], overrides, slice(0, width))
        key, value = _linear(attn.qkv, f"{name}.attn.qkv", normed, overrides, slice(width, 3 * width)).chunk(2, -1)
    else:
        query, key, value = _linear(attn.qkv, f"{name}.attn.qkv", normed, overrides).chunk(3, -1)
    query, key, value = (_heads(part, attn.num_heads) for part in (query, key, value))
    query = _norm(attn.q_norm, f"{name}.attn.q_norm", query, overrides)
    key = _norm(attn.k_norm, f"{name}.attn.k_norm", key, overrides)
    batch = query.shape[:-3]  # fused attention takes one batch axis
    mixed = F.scaled_dot_product_attention(query.flatten(0, -4), key.flatten(0, -4), value.flatten(0, -4))
    mixed = mixed.transpose(-3, -2).flatten(-2).unflatten(0, batch)
    if hasattr(attn, "norm"):
        mixed = _norm(attn.norm, f"{name}.attn.norm", mixed, overrides)
    mixed = _linear(attn.proj, f"{name}.attn.proj", mixed, overrides)
    return tokens + _scale(block.ls1, f"{name}.ls1", mixed, overrides)


def _heads(tokens: Tensor, heads: int) -> Tensor:
    """(..., T, heads * d) as (..., heads, T, d)."""
    return tokens.unflatten(-1, (heads, -1)).transpose(-3, -2)


def _ffn(model: Model, index: int, tokens: Tensor, overrides: Overrides, taps: Taps | None = None) -> Tensor:
    """One FFN half, residual included; of the last block only [cls], which alone reaches the head."""
    if index == depth(model) - 1:
        tokens = tokens[..., :1, :]
    hidden = hidden_activations(model, tokens, index, overrides, taps)
    return tokens_after_ffn(model, tokens, hidden, index, overrides, taps)


def _linear(layer: nn.Linear, name: str, inputs: Tensor, overrides: Overrides, rows: slice = slice(None)) -> Tensor:
    """A linear layer, or some output rows of it, under overrides that may have an axis of edits in front."""
    weight = overrides.get(f"{name}.weight", layer.weight)[..., rows, :]
    bias = overrides.get(f"{name}.bias", layer.bias)
    bias = bias[..., rows] if bias is not None else None
    if weight.dim() == 2:
        if bias is None or bias.dim() == 1:
            return F.linear(inputs, weight, bias)
        return F.linear(inputs, weight) + _per_edit(bias, inputs)
    edits = weight.shape[0]
    if inputs.dim() < 4 or inputs.shape[0] != edits:
        raise ValueError(f"{name}: {edits} edits' weights want tokens ({edits}, n, T, N), not {tuple(inputs.shape)}")
    if edits == 1:  # one matrix product instead of a batch of one, which is slower on a CPU
        own = bias.squeeze(0) if bias is not None and bias.dim() == 2 else bias
        return F.linear(inputs, weight.squeeze(0), own)
    # weight times inputs, not inputs times weight: so the weight's gradient comes in the weight's own memory
    # order, without which an optimiser step costs three times as much
    flat = inputs.reshape(edits, -1, inputs.shape[-1]).mT
    outputs = torch.bmm(weight, flat) if bias is None else torch.baddbmm(bias[..., None], weight, flat)
    return outputs.mT.reshape(*inputs.shape[:-1], weight.shape[-2])


def _norm(layer: Any, name: str, inputs: Tensor, overrides: Overrides) -> Tensor:
    if f"{name}.weight" not in overrides and f"{name}.bias" not in overrides:
        return layer(inputs)
    weight = overrides.get(f"{name}.weight", layer.weight)
    bias = overrides.get(f"{name}.bias", layer.bias)
    normed = F.layer_norm(inputs, inputs.shape[-1:], eps=layer.eps)
    return normed * _per_edit(weight, inputs) + _per_edit(bias, inputs)


def _scale(layer: Any, name: str, inputs: Tensor, overrides: Overrides) -> Tensor:
    gamma = overrides.get(f"{name}.gamma")
    return layer(inputs) if gamma is None else inputs * _per_edit(gamma, inputs)


def _per_edit(vector: Tensor, like: Tensor) -> Tensor:
    """A vector (N,) as it is, one an edit (m, N) with axes that broadcast against tokens (m, n, T, N)."""
    return vector if vector.dim() == 1 else vector.reshape(len(vector), *(1,) * (like.dim() - 2), -1)
