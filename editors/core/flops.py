"""Floating-point operations of a ViT's matrix products, counted from its shapes; a multiply-add is two.

Only matrix products: what else there is (norms, GELU, softmax, optimiser) is what keeps a path below the
device's ceiling.
"""

from __future__ import annotations

from benchmark.models.family import family_of
from benchmark.models.vit import Cut, Model, depth, ffn_cut, ffn_matrices, hidden_width


def forward_flops(model: Model) -> int:
    """One image through the whole model, as the model itself computes it."""
    pixels: int = model.patch_embed.proj.weight[0].numel()
    patches: int = 2 * model.patch_embed.num_patches * pixels * model.embed_dim
    return patches + _behind(model, Cut(0), _tokens(model))


def tail_flops(model: Model, cut: Cut, units: int | None = None) -> int:
    """One image from `cut` to the logits; of the last block only the tokens that reach the head.

    `units`: so many of the first FFN are computed, where that is done beyond the base's output (`ffn_difference`).
    """
    spared = 0 if units is None else hidden_width(model) - units
    return _behind(model, cut, family_of(model).leading) - 4 * _tokens(model) * int(model.embed_dim) * spared


def step_flops(model: Model, plain: bool = False) -> int:
    """One gradient step on one image for the edited FFN matrices: from the cached prefix, or `plain` in full.

    Backward takes one product for each forward behind the cut, a second one where both factors want a gradient
    (within attention, and for the edited matrices), and none for the input of the first edited matrix.
    """
    names = ffn_matrices(model)
    cut = ffn_cut(model, names)
    tokens, last = _tokens(model), depth(model) - 1
    last_rows = tokens if plain else family_of(model).leading
    behind = _behind(model, cut, last_rows)
    attention = sum(
        _attention(model, last_rows if block == last else tokens) for block in range(cut.block + cut.ffn, last + 1)
    )
    rows = [last_rows if name.startswith(f"blocks.{last}.") else tokens for name in names]
    weights: int = 2 * model.embed_dim * hidden_width(model) * (sum(rows) - rows[0])
    return (forward_flops(model) if plain else behind) + behind + attention + weights


def _tokens(model: Model) -> int:
    tokens: int = model.pos_embed.shape[1] + (model.num_prefix_tokens if model.no_embed_class else 0)
    return tokens


def _attention(model: Model, queries: int) -> int:
    """The two products of attention itself for so many queries of one image.

    q k^T and its use on v; where fewer queries than tokens ask, each head asks the tokens themselves.
    """
    tokens, width = _tokens(model), int(model.embed_dim)
    heads: int = model.blocks[0].attn.num_heads if queries < tokens else 1
    return 4 * queries * heads * tokens * width


def _behind(model: Model, cut: Cut, last_rows: int) -> int:
    """Everything behind `cut` for one image, with `last_rows` tokens leaving the last block's attention."""
    tokens, width = _tokens(model), model.embed_dim
    total: int = 2 * width * model.num_classes
    for block in range(cut.block, depth(model)):
        rows = last_rows if block == depth(model) - 1 else tokens
        if not (cut.ffn and block == cut.block):
            total += 8 * rows * width**2 + _attention(model, rows)  # q, k, v and proj
        total += 4 * rows * width * hidden_width(model)
    return total
