"""Property: `cut_for` is the last place before anything that the named parameters change, and a tail starts there."""

from __future__ import annotations

from functools import lru_cache

import torch
from hypothesis import example, given
from hypothesis import strategies as st

from benchmark.models import vit
from benchmark.models.vit import Cut
from tests.conftest import small_vit

VARIANTS = {
    "plain": {},
    "scaled": {"init_values": 0.5, "qk_norm": True},
    "as CLIP, with registers": {"pre_norm": True, "reg_tokens": 2},
}


@lru_cache
def model_of(variant: str) -> vit.Model:
    return small_vit(dtype=torch.float64, **VARIANTS[variant])


IMAGES = torch.randn(2, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
SUBSETS = st.sampled_from(list(VARIANTS)).flatmap(
    lambda variant: st.tuples(
        st.just(variant),
        st.lists(st.sampled_from([name for name, _ in model_of(variant).named_parameters()]), max_size=5),
    )
)


def forward_with_tokens(model: vit.Model, overrides: vit.Overrides) -> tuple[torch.Tensor, dict[Cut, torch.Tensor]]:
    """Logits of the plain full forward, and the residual stream as it passes each cut, seen by hooks."""
    seen: dict[Cut, torch.Tensor] = {}
    places = {Cut(vit.depth(model)): model.norm}
    for number, block in enumerate(model.blocks):
        places |= {Cut(number): block.norm1, Cut(number, ffn=True): block.norm2}
    hooks = [
        module.register_forward_pre_hook(lambda _, inputs, cut=cut: seen.__setitem__(cut, inputs[0]))
        for cut, module in places.items()
    ]
    logits = vit.forward(model, IMAGES, overrides)
    for hook in hooks:
        hook.remove()
    return logits, seen


@given(SUBSETS, st.integers(0, 2**16))
@example(("plain", []), 0)
def test_the_tail_behind_the_last_unchanged_cut_is_the_full_forward(subset: tuple[str, list[str]], seed: int) -> None:
    variant, names = subset
    model, random = model_of(variant), torch.Generator().manual_seed(seed)
    values = {name: model.get_parameter(name) for name in names}
    overrides = {
        name: value + 0.3 * torch.randn(value.shape, generator=random, dtype=value.dtype)
        for name, value in values.items()
    }
    logits, tokens = forward_with_tokens(model, overrides)
    unedited = forward_with_tokens(model, {})[1]
    unchanged = [cut for cut in sorted(tokens) if torch.equal(tokens[cut], unedited[cut])]
    cut = vit.cut_for(model, names)
    assert cut == (unchanged[-1] if unchanged else None)
    if cut is not None:
        torch.testing.assert_close(
            vit.forward_tail(model, vit.forward_prefix(model, IMAGES, cut), cut, overrides), logits
        )
