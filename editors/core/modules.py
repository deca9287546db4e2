"""From a changed model that an editor returned to an edit.

Only a model that is the base with other weights, and nothing else, may be scored by its weights alone. Equal
types, printed settings and state dicts are not enough (a hook leaves them equal), so its outputs on real images are
compared as well, for every edit.
"""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral

import torch
from torch import Tensor, nn

from benchmark.core.errors import UserError, unknown
from benchmark.models.vit import depth, forward
from editors.core.edit import Edit, FailedEdit, ModuleEdit, TailEdit, WeightEdit

# Same weights, same kernels, same batch: what is left is rounding of another summation order.
TOLERANCE = 1e-6
MOST_STEPS = 2**31
WIDTH_AXES = {"fc1.weight": 0, "fc1.bias": 0, "fc2.weight": 1}  # of an FFN: the axis that has its width N_m
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_state_dict_hooks")


@torch.no_grad()
def to_edit(base: nn.Module, edited: Edit | nn.Module, probes: Tensor) -> Edit:
    """The edit that an editor returned, or the one that makes the model it returned.

    `probes` (n, 3, H, W) are images on which a returned model must give the logits of the base with its weights. If
    it does not, or has another structure, it stays a module and is scored by calling it. Weights that are not finite
    make a failed edit. Raises `UserError` for the base itself, for what is no edit, and for unknown parameters.
    """
    if isinstance(edited, nn.Module):
        edited = getattr(edited, "_orig_mod", edited)  # the same model without torch.compile's wrapper
        if edited is base:
            raise UserError("the editor returned the base model itself; it must return a changed copy or an Edit")
        edited = _from_module(base, edited.eval(), probes)
    elif not isinstance(edited, Edit):
        raise UserError(_no_edit(edited))
    if not isinstance(edited.steps, Integral) or not 0 <= edited.steps < MOST_STEPS:
        raise UserError(f"an edit's steps must be a whole number below {MOST_STEPS:,}, not {edited.steps!r:.50}")
    if isinstance(edited, TailEdit) and not 0 <= edited.cut.block < depth(base):
        raise UserError(f"an edit's cut must be at a block below {depth(base)}, not {edited.cut.block}")
    if not isinstance(edited, WeightEdit):
        return edited
    _check_overrides(base, edited.overrides)
    for name, value in edited.overrides.items():
        if not value.isfinite().all():
            return FailedEdit(f"{name} is not finite", edited.steps)
    return edited


def _no_edit(returned: object) -> str:
    """The error for what is neither an edit nor a model, with what was meant, as far as the type tells."""
    hint = ""
    match returned:
        case None:
            hint = "; is its return missing?"
        case Tensor():
            hint = "; return the changed copy itself, not its logits"
        case Mapping():
            hint = "; a dict from parameter names to tensors is WeightEdit(overrides)"
        case tuple() | list():
            hint = "; return the copy alone, or its number of steps as WeightEdit(overrides, steps)"
    return f"an editor must return an edit or a model, not {type(returned).__name__}{hint}"


def _check_overrides(base: nn.Module, overrides: Mapping[str, Tensor]) -> None:
    """Raise `UserError` for what no weight of the base can be replaced by: name, type, place and shape.

    An FFN may become wider or narrower: the three tensors that have its width then have the same.
    """
    parameters = dict(base.named_parameters())
    for name, value in overrides.items():
        if name not in parameters:
            raise unknown("parameter of the base model", str(name), parameters)
        weight = parameters[name]
        right = f"{weight.dtype} {tuple(weight.shape)} on {weight.device}"
        if not isinstance(value, Tensor):
            raise UserError(f"the edit's {name} must be {right}, not {type(value).__name__}")
        ffn, _, tensor = name.rpartition(".mlp.")
        free = WIDTH_AXES.get(tensor) if ffn else None
        axes = [axis for axis in range(weight.ndim) if axis != free]
        fits = value.ndim == weight.ndim and all(value.shape[axis] == weight.shape[axis] for axis in axes)
        if not fits or (value.dtype, value.device) != (weight.dtype, weight.device):
            shown = f"{value.dtype} {tuple(value.shape)} on {value.device}"
            raise UserError(f"the edit's {name} must be {right}, not {shown}")
        if free is not None and value.shape != weight.shape:
            _check_width(f"{ffn}.mlp", {**parameters, **overrides})


def _check_width(ffn: str, tensors: Mapping[str, Tensor]) -> None:
    shapes = {key: tuple(tensors[f"{ffn}.{key}"].shape) for key in WIDTH_AXES if f"{ffn}.{key}" in tensors}
    if len({shape[WIDTH_AXES[key]] for key, shape in shapes.items()}) > 1:
        shown = ", ".join(f"{key} {shape}" for key, shape in shapes.items())
        raise UserError(f"the edit's {ffn} has {shown}, which do not fit together; override all of them")


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
    if not all(value.isfinite().all() for value in overrides.values()):
        return WeightEdit(overrides)  # a failed edit, whatever its forward is
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
