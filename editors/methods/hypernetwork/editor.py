"""`hypernetwork`: the paper's method. A trained hypernetwork picks the units; masked fine-tuning edits them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmark.core.devices import in_float64
from benchmark.core.ranges import Fraction
from benchmark.models.checks import check_inputs
from benchmark.models.vit import cls_features, ffn_matrices, unit_masks
from editors.core.edit import Edit
from editors.core.registry import register_editor
from editors.methods.hypernetwork.checkpoint import STORE, load
from editors.methods.hypernetwork.network import Hypernetwork
from editors.methods.hypernetwork.recipe import HypernetworkRecipe
from editors.methods.masked import MaskedConfig, MaskedFineTune
from editors.training.checkpoint import Checkpoint
from editors.training.pretrained import PretrainedEditor
from editors.training.studies import Study


@dataclass(frozen=True)
class HypernetworkConfig(MaskedConfig):
    """Settings of `hypernetwork`.

    checkpoint: a trained hypernetwork; by default the one that comes with the project for this base.
    rho: move the units whose mask value reaches this (eq. 6), however many they are, instead of a given share.
    """

    checkpoint: Path | None = None
    rho: Fraction | None = None


@register_editor("hypernetwork")
class HypernetworkEditor(PretrainedEditor, MaskedFineTune):
    """Masked fine-tuning of the units that the hypernetwork picks from the unedited model's features (paper, 3.4)."""

    Config = HypernetworkConfig
    store = STORE

    def load(self, path: Path, base_weights_sha256: str) -> Checkpoint[Hypernetwork, HypernetworkRecipe]:
        """See `editors.methods.hypernetwork.checkpoint.load`."""
        return load(path, base_weights_sha256)

    @classmethod
    def studies(cls) -> Mapping[str, Study]:
        """See `PretrainedEditor.studies`; what trains is imported only here."""
        from editors.methods.hypernetwork.studies import STUDIES

        return STUDIES

    def edit_many(self, model: nn.Module, images: Tensor, labels: Tensor, seeds: Sequence[int]) -> list[Edit]:
        """See `Editor.edit_many`. Raises `UserError` for images or labels this base does not take."""
        check_inputs(model, images.flatten(0, 1), labels.flatten())
        return super().edit_many(model, images, labels, seeds)

    @torch.no_grad()
    def scores(self, model: nn.Module, images: Tensor, labels: Tensor, seeds: Sequence[int]) -> Tensor:
        """Mask values in (0, 1), (m, layers, N_m), averaged over the n editing samples of each failure."""
        checkpoint = self.checkpoint(model)
        network, recipe = checkpoint.network, checkpoint.recipe
        features = cls_features(model, images.flatten(0, 1)).to(network.tokens.dtype)
        # float64, so that fewer saturated values tie at the clamp
        values = (
            (recipe.slope * in_float64(network(features))).sigmoid().clamp(recipe.clamp_edit, 1 - recipe.clamp_edit)
        )
        means: Tensor = values.unflatten(0, images.shape[:2]).mean(1)
        return means

    def masks(self, model: nn.Module, images: Tensor, labels: Tensor, seeds: Sequence[int]) -> dict[str, Tensor]:
        """The units at the sparsity of the config or, with `rho`, above that threshold."""
        if self.config.rho is None:
            return super().masks(model, images, labels, seeds)
        chosen = self.scores(model, images, labels, seeds) >= self.config.rho
        return unit_masks(chosen.to(images.device), ffn_matrices(model))
