"""`head-only`: fine-tuning of the classification head alone, the baseline that the paper lacks.

It is `ft` on other weights: the same loss, optimiser, plain SGD first step and stop rule, so that the two differ
in where they edit and in nothing else. No source settles this; it is this project's choice (SPEC, 5, beyond
the paper). ``editors/examples/weights.py`` is the same idea with Adam, written as a third party would.
"""

from __future__ import annotations

from torch import nn

from editors.core.registry import register_editor
from editors.methods.finetune import FineTune


@register_editor("head-only")
class HeadOnly(FineTune):
    """Fine-tuning of the head's weight and bias, until right with cross-entropy below 0.01; features stay."""

    def matrices(self, model: nn.Module) -> tuple[str, ...]:
        """Names of the head's parameters, weight (classes, N) and bias (classes,)."""
        return tuple(f"head.{name}" for name, _ in model.get_submodule("head").named_parameters())
