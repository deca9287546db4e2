"""From a changed model that an editor returned to an edit.

Only a model that is the base with other weights, and nothing else, may be scored by its weights alone. Equal
types, printed settings and state dicts are not enough (a hook leaves them equal), so its outputs on real images are
compared as well, for every edit.
"""

from __future__ import annotations

from numbers import Integral

import torch
from torch import Tensor, nn

from benchmark.core.errors import UserError
from benchmark.models.vit import depth, forward
from editors.core.edit import Edit, FailedEdit, ModuleEdit, TailEdit, WeightEdit

# Same weights, same kernels, same batch: what is left is rounding of another summation order.
TOLERANCE = 1e-6
MOST_STEPS = 2**31
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_state_dict_hooks")


@torch.no_grad()
def to_edit(base: nn.Module, edited: Edit | nn.Module, probes: Tensor) -> Edit:
    """The edit that an editor returned, or the one that makes the model it returned.

    `probes` (n, 3, H, W) are images on which a returned model must give the logits of the base with its weights. If
    it does not, or has another structure, it stays a module and is scored by calling it. Weights that are not finite
    make a failed edit. Raises `UserError` for the base itself, for what is no edit, and for unknown parameters.
    """
    if isinstance(edited, nn.Module):
        if edited is base:
            raise UserError("the editor returned the base model itself; it must return a changed copy or an Edit")
        edited = _from_module(base, edited.eval(), probes)
    elif not isinstance(edited, Edit):
        raise UserError(f"an editor must return an edit or a model, not {type(edited).__name__}")
    if not isinstance(edited.steps, Integral) or not 0 <= edited.steps < MOST_STEPS:
        raise UserError(f"an edit's steps must be a whole number below {MOST_STEPS:,}, not {edited.steps!r:.50}")
    if isinstance(edited, TailEdit) and not 0 <= edited.cut.block < depth(base):
        raise UserError(f"an edit's cut must be at a block below {depth(base)}, not {edited.cut.block}")
    if not isinstance(edited, WeightEdit):
        return edited
    parameters = dict(base.named_parameters())
    for name, value in edited.overrides.items():
        if name not in parameters:
            raise UserError(f'the edit overrides "{name}", which is no parameter of the base model')
        weight = parameters[name]
        if not isinstance(value, Tensor) or (value.dtype, value.device) != (weight.dtype, weight.device):
            shown = f"{value.dtype} on {value.device}" if isinstance(value, Tensor) else type(value).__name__
            raise UserError(f"the edit's {name} must be {weight.dtype} on {weight.device}, not {shown}")
        if not value.isfinite().all():
            return FailedEdit(f"{name} is not finite", edited.steps)
    return edited


def _from_module(base: nn.Module, edited: nn.Module, probes: Tensor) -> Edit:
    slow = ModuleEdit(edited)
    if repr(base) != repr(edited) or _types(base) != _types(edited) or is_hooked(edited):
        return slow
    ours, theirs = base.state_dict(), edited.state_dict()
    if ours.keys() != theirs.keys() or any(_format(ours[k]) != _format(theirs[k]) for k in ours):
        return slow
    parameters = {name for name, _ in base.named_parameters()}
    differing = {name: theirs[name] for name in ours if not torch.equal(ours[name], theirs[name])}
    if not differing.keys() <= parameters:
        return slow
    overrides = {name: value.detach().clone() for name, value in differing.items()}
    computed = forward(base, probes, overrides)
    try:
        called = edited(probes)
    except (RuntimeError, TypeError, ValueError):  # whoever judges it calls it again, and says so
        return slow
    if not isinstance(called, Tensor) or _format(called) != _format(computed):
        return slow
    bound = TOLERANCE * max(1.0, computed.abs().max().item())
    return WeightEdit(overrides) if (called - computed).abs().max().item() <= bound else slow


def _format(tensor: Tensor) -> tuple[torch.Size, torch.dtype, torch.device]:
    return tensor.shape, tensor.dtype, tensor.device


def _types(module: nn.Module) -> list[type]:
    return [type(submodule) for submodule in module.modules()]


def is_hooked(module: nn.Module) -> bool:
    """Return whether a module has hooks, or a submodule a forward that is not its class's."""
    return any(getattr(submodule, hooks) for submodule in module.modules() for hooks in HOOKS) or any(
        "forward" in vars(submodule) for submodule in module.modules()
    )
