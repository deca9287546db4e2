"""`null-edit`: the six matrices overridden by equal copies of themselves.

It changes nothing, yet runs through the same kernels and batches as a real edit: its flips against the
full forward are the noise floor of a run.
"""

from __future__ import annotations

from torch import Tensor, nn

from benchmark.models.vit import ffn_matrices
from editors.core.base import Editor
from editors.core.edit import WeightEdit
from editors.core.registry import register_editor


@register_editor("null-edit")
class NullEdit(Editor):
    """No edit at all, by the route of one. SR 0 and LR that of the base, by construction."""

    def edit(self, model: nn.Module, images: Tensor, labels: Tensor) -> WeightEdit:
        """Equal copies of the six matrices."""
        return WeightEdit({name: model.get_parameter(name).detach().clone() for name in ffn_matrices(model)})
