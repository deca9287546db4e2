"""A Vision Transformer in two pieces, for all families; `benchmark.models.family` holds what differs between them.

The *prefix* is everything up to a `Cut`, and depends on no edit, so it is
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

import torch
from torch import Tensor

from benchmark.core.devices import free_bytes
from benchmark.models.family import Family, Model, Taps, family_of
from benchmark.models.layers import NO_OVERRIDES, Overrides


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
    blocks = edited_blocks(model) if blocks is None else blocks
    return tuple(f"blocks.{block}.mlp.{layer}.weight" for block in blocks for layer in ("fc1", "fc2"))


def last_ffn_matrices(model: Model) -> tuple[str, ...]:
    """`ffn_matrices` of the last three FFNs, of all if there are fewer; KE and MEND edit these (paper, 5.1 and B.2)."""
    return ffn_matrices(model, range(max(0, depth(model) - 3), depth(model)))


def msa_matrices(blocks: Iterable[int]) -> tuple[str, ...]:
    """Names of the two weight matrices of each MSA, query-key-value and projection; never biases."""
    return tuple(f"blocks.{block}.attn.{layer}.weight" for block in blocks for layer in ("qkv", "proj"))


def hidden_width(model: Model) -> int:
    """N_m, the intermediate dimension of the FFNs."""
    return model.blocks[0].mlp.fc1.out_features


def edits_at_once(model: Model, device: torch.device) -> int:
    """The number of edits that one descent should hold: of the model and the kind of device, never of its free memory.

    Measured with `editors.bench`: on a CPU a batch pays while a step is bound by call overhead (small
    weights), and adds nothing once it is bound by arithmetic; on a GPU it pays until memory is full.
    """
    if device.type == "cpu":
        return 32 if _n_edited(model) < 1_000_000 else 1
    return 64


def edits_that_fit(model: Model, device: torch.device, most: int | None = None) -> int:
    """The number of edits that a descent should begin with: of `most` (`edits_at_once`) what fits into a GPU.

    Weight, gradient, optimiser state and a temporary take four bytes each, in a quarter of the memory at most.
    """
    most = edits_at_once(model, device) if most is None else most
    free = free_bytes(device)
    return most if free is None else max(1, min(most, int(free / 4 / (16 * _n_edited(model)))))


def _n_edited(model: Model) -> int:
    return sum(model.get_parameter(name).numel() for name in ffn_matrices(model))


def unit_masks(mask: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
    """Turn a mask over structured units into masks that broadcast against the matrices (paper, 3.2).

    `mask` (..., len(names), N_m): unit i of an ``fc1.weight`` [N_m, N] is its row i, of an ``fc2.weight``
    [N, N_m] its column i.

    >>> mask = torch.tensor([[True, False], [False, True]])
    >>> masks = unit_masks(mask, ("mlp.fc1.weight", "mlp.fc2.weight"))
    >>> masks["mlp.fc1.weight"].tolist(), masks["mlp.fc2.weight"].tolist()
    ([[True], [False]], [[False, True]])
    """
    return {
        name: mask[..., matrix, :, None] if ".fc1." in name else mask[..., matrix, None, :]
        for matrix, name in enumerate(names)
    }


def unit_sums(values: Mapping[str, Tensor]) -> Tensor:
    """Sum values over units (see `unit_masks`): from name to values like the matrix, to (..., len(values), N_m)."""
    return torch.stack([value.sum(-1 if ".fc1." in name else -2) for name, value in values.items()], dim=-2)


def cut_for(model: Model, names: Iterable[str]) -> Cut | None:
    """The last cut before anything that overrides of these parameters can change.

    None if they reach before the first block, where there is no tail to run.
    """
    family, cuts = family_of(model), [Cut(depth(model))]
    for name in names:
        path = name.split(".")
        if path[0] == "blocks":
            cuts.append(Cut(int(path[1]), ffn=path[2] in family.ffn_half))
        elif path[0] not in family.behind_blocks:
            return None
    return min(cuts)


def ffn_cut(model: Model, names: Iterable[str]) -> Cut:
    """The last cut before these FFN matrices, given by name as `ffn_matrices` does."""
    cut = cut_for(model, names)
    assert cut is not None and cut.ffn  # FFNs lie behind the first block's attention
    return cut


def forward_prefix(model: Model, images: Tensor, cut: Cut) -> Tensor:
    """Residual-stream tokens (n, T, N) at `cut` for preprocessed images (n, 3, H, W).

    Behind the last attention only the tokens that reach the head are left: [cls] alone of a plain ViT, so T is 1.
    """
    family = family_of(model)
    tokens = family.embed(model, images)
    for block in range(min(cut.block, depth(model))):
        tokens = _ffn(family, model, block, family.attention(model, block, tokens, NO_OVERRIDES), NO_OVERRIDES)
    return family.attention(model, cut.block, tokens, NO_OVERRIDES) if cut.ffn else tokens


def cls_features(model: Model, images: Tensor) -> Tensor:
    """Features e(x) (n, N): the [cls] token behind the final norm, which the head classifies."""
    return model.norm(forward_prefix(model, images, Cut(depth(model))))[:, 0]


def forward_tail(model: Model, tokens: Tensor, cut: Cut, overrides: Overrides, taps: Taps | None = None) -> Tensor:
    """Logits (n, classes) or (m, n, classes) from the tokens at `cut`, under weight overrides.

    `taps`, if given, is filled with inputs and outputs of every FC layer of the FFNs behind the cut.
    """
    family, first = family_of(model), cut.block
    if cut.ffn:
        tokens, first = _ffn(family, model, first, tokens, overrides, taps), first + 1
    for block in range(first, depth(model)):
        tokens = _ffn(family, model, block, family.attention(model, block, tokens, overrides), overrides, taps)
    return family.logits(model, tokens, overrides)


def ffn_difference(model: Model, block: int, overrides: Overrides) -> Overrides | None:
    """Overrides under which the block's FFN gives the edited FFN's output less the base's.

    It holds the units that the edit changed: with their new weights and, subtracted, with their old ones. None where
    that would not save half of the work: where most units change, or none, or something else than the FFN's two weight
    matrices, or in the last block, of which few tokens are computed.
    """
    name, mlp = f"blocks.{block}.mlp", model.blocks[block].mlp
    old = {f"{name}.{layer}.weight": getattr(mlp, layer).weight for layer in ("fc1", "fc2")}
    (fc1, fc2), new = old, {**old, **overrides}
    changed = {key for key in overrides if key.startswith(f"blocks.{block}.")}
    if block == depth(model) - 1 or changed - {fc1, fc2} or any(new[key].shape != old[key].shape for key in old):
        return None
    rows, columns = (new[fc1] != old[fc1]).any(1), (new[fc2] != old[fc2]).any(0)
    inside, outside = rows.nonzero().flatten(), (columns & ~rows).nonzero().flatten()
    units = torch.cat([inside, inside, outside])
    if not 0 < 2 * len(units) <= len(rows):
        return None
    difference = {
        fc1: torch.cat([new[fc1][inside], old[fc1][inside], old[fc1][outside]]),
        fc2: torch.cat([new[fc2][:, inside], -old[fc2][:, inside], new[fc2][:, outside] - old[fc2][:, outside]], dim=1),
    }
    if mlp.fc1.bias is not None:
        difference[f"{name}.fc1.bias"] = mlp.fc1.bias[units]
    if mlp.fc2.bias is not None:
        difference[f"{name}.fc2.bias"] = torch.zeros_like(mlp.fc2.bias)
    return difference


def forward_tail_beyond(
    model: Model, tokens: Tensor, behind: Tensor, cut: Cut, difference: Overrides, overrides: Overrides
) -> Tensor:
    """Logits as `forward_tail` gives them, from the tokens at an FFN's cut and those `behind` the base's FFN.

    `difference` is that FFN's (see `ffn_difference`): so only the units that the edit changed are computed there.
    """
    hidden = hidden_activations(model, tokens, cut.block, difference)
    return forward_tail(
        model, tokens_after_ffn(model, behind, hidden, cut.block, difference), Cut(cut.block + 1), overrides
    )


def hidden_activations(
    model: Model, tokens: Tensor, block: int, overrides: Overrides = NO_OVERRIDES, taps: Taps | None = None
) -> Tensor:
    """Activations (..., T, N_m) between the two FC layers of a block's FFN, from the tokens at its ffn cut."""
    return family_of(model).hidden(model, block, tokens, overrides, taps)


def tokens_after_ffn(
    model: Model,
    tokens: Tensor,
    hidden: Tensor,
    block: int,
    overrides: Overrides = NO_OVERRIDES,
    taps: Taps | None = None,
) -> Tensor:
    """The tokens behind a block's FFN, from those at its ffn cut and its activations, changed or not."""
    return family_of(model).after_ffn(model, block, tokens, hidden, overrides, taps)


def forward(model: Model, images: Tensor, overrides: Overrides) -> Tensor:
    """Logits (n, classes) under overrides of any parameters, by one full forward."""
    return torch.func.functional_call(model, dict(overrides), (images,))


def _ffn(
    family: Family, model: Model, block: int, tokens: Tensor, overrides: Overrides, taps: Taps | None = None
) -> Tensor:
    """One FFN half, residual included; of the last block only the tokens that reach the head."""
    if block == depth(model) - 1:
        tokens = tokens[..., : family.leading, :]
    hidden = family.hidden(model, block, tokens, overrides, taps)
    return family.after_ffn(model, block, tokens, hidden, overrides, taps)
