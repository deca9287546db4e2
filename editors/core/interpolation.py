"""Between the base and an edited model: theta0 + alpha (theta1 - theta0), a trade-off knob after any weight editor.

Source: WiSE-FT (Wortsman et al. 2022, section 3) and PAINT (Ilharco et al. 2022, section 2).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from benchmark.core.errors import UserError
from editors.core.edit import Edit, FailedEdit, WeightEdit


def interpolated(model: nn.Module, edit: Edit, alpha: float) -> Edit:
    """The edit at `alpha`: 0 is the base, 1 the edit as it is, in between a bit of both.

    Where an edit adds neurons, the base is one with the same neurons that nothing listens to: an added output (row)
    stays as the edit has it, an added input (column) starts from zero and is scaled. A failed edit stays one. Raises
    `UserError` for an edit that is no change of weights.
    """
    if isinstance(edit, FailedEdit):
        return edit
    if not isinstance(edit, WeightEdit):
        raise UserError("this editor changes more than weights, so there is nothing to interpolate; leave it out")
    between = {}
    for name, value in edit.overrides.items():
        weight = model.get_parameter(name)
        if value.dim() != weight.dim() or any(map(int.__lt__, value.shape, weight.shape)):
            raise UserError(
                f"the edit's {name} has the shape {tuple(value.shape)}, which cannot be interpolated with "
                f"{tuple(weight.shape)}, the base's"
            )
        between[name] = _between(weight, value, alpha)
    return WeightEdit(between, edit.steps)


def _between(base: Tensor, edited: Tensor, alpha: float) -> Tensor:
    if base.dim() == 2:
        base = F.pad(base, (0, edited.shape[1] - base.shape[1]))
    start = edited.clone()
    start[: len(base)] = base
    return start + alpha * (edited - start)
