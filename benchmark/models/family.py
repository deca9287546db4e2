"""A family of Vision Transformers: all that differs between architectures, and the family of a given model.

A file in ``benchmark/models/families`` holds one as `FAMILY`. Common to all are timm's names: blocks are
``blocks.3``, and an FFN's two matrices ``blocks.3.mlp.fc1.weight`` [N_m, N] and ``blocks.3.mlp.fc2.weight`` [N, N_m].
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import Tensor, nn

from benchmark.core.errors import UserError
from benchmark.core.plugins import import_room
from benchmark.models.layers import Overrides

FAMILIES = "benchmark.models.families"
Model = Any  # one of a family's models: the attributes of an nn.Module have no static types
Taps = dict[str, tuple[Tensor, Tensor]]  # by the name of an FC matrix, the layer's inputs and outputs (..., T, width)


class Family(ABC):
    """The computation of one family's models, in pieces, each under weight overrides.

    Tokens are (n, T, N), or (m, n, T, N) where overrides have an axis of m edits in front.

    model_class: the models' type.
    leading: number of tokens, from the first, that reach the head. Of the last block only they are computed.
    ffn_half: modules of a block that run behind its attention.
    behind_blocks: modules that run behind the last block.
    """

    model_class: ClassVar[type[nn.Module]]
    leading: ClassVar[int] = 1
    ffn_half: ClassVar[frozenset[str]] = frozenset(("norm2", "mlp", "ls2"))
    behind_blocks: ClassVar[frozenset[str]] = frozenset(("norm", "head"))

    @abstractmethod
    def problem(self, model: Model) -> str:
        """The reason why this model of the type `model_class` cannot be edited; empty if it can."""

    @abstractmethod
    def embed(self, model: Model, images: Tensor) -> Tensor:
        """The tokens (n, T, N) that enter the first block, for preprocessed images (n, 3, H, W)."""

    @abstractmethod
    def attention(self, model: Model, block: int, tokens: Tensor, overrides: Overrides) -> Tensor:
        """The tokens behind a block's attention, residual included; of the last block only the `leading` ones."""

    @abstractmethod
    def hidden(self, model: Model, block: int, tokens: Tensor, overrides: Overrides, taps: Taps | None) -> Tensor:
        """Activations (..., T, N_m) between the two FC layers of a block's FFN; notes the first layer in `taps`."""

    @abstractmethod
    def after_ffn(
        self, model: Model, block: int, tokens: Tensor, hidden: Tensor, overrides: Overrides, taps: Taps | None
    ) -> Tensor:
        """The tokens behind a block's FFN, from those before it and `hidden`; notes the second layer in `taps`."""

    @abstractmethod
    def logits(self, model: Model, tokens: Tensor, overrides: Overrides) -> Tensor:
        """Logits (..., classes) from the tokens behind the last block, of which only the `leading` ones count."""


def family_of(model: Model) -> Family:
    """The family of a model: that of its type or, of a type derived from one, of the nearest type that has one.

    Raises `UserError` if there is none.
    """
    return _family_of(type(model))  # type: ignore[arg-type]  # a type is hashable


@functools.cache  # an edit asks many times
def _family_of(model_class: type) -> Family:
    families = {module.FAMILY.model_class: module.FAMILY for module in import_room(FAMILIES)}
    for ancestor in model_class.__mro__:
        if ancestor in families:
            return families[ancestor]
    raise unsupported(f"it is a {model_class.__name__}")


def unsupported(problem: str) -> UserError:
    """The error for a model that no family computes, with the reason."""
    return UserError(
        f"this base model cannot be edited here: {problem}; editors take a timm VisionTransformer "
        "with a class token, such as vit_base_patch16_224 (CONTRIBUTING.md says how to add a family)"
    )
