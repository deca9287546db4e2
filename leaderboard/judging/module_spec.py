"""A changed copy of the base that is more than other weights, as plain values and tensors, so that it can cross.

Its submodules are the base's, with other settings (`eps`, heads, a dropout rate), other shapes of weights, or others
of torch's activations. Whatever else it is stays in the editor's process.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.models.identity import MACHINERY
from editors.core.modules import TOLERANCE, is_hooked

ACTIVATIONS = nn.modules.activation  # the one module of torch whose classes may take a submodule's place
Spec = dict[str, dict[str, Any]]  # "classes": submodule -> class name; "settings": submodule -> attribute -> value


@torch.no_grad()
def describe(base: nn.Module, edited: nn.Module, probes: Tensor) -> tuple[Spec, dict[str, Tensor]] | None:
    """A spec of `edited` and its state, from which `build` makes a model with the same logits of `probes`.

    None where there is none: it has hooks, other submodules, a forward of its own, or logits that differ.
    """
    ours, theirs = dict(base.named_modules()), dict(edited.named_modules())
    if ours.keys() != theirs.keys() or is_hooked(edited):
        return None
    classes = {name: type(part).__name__ for name, part in theirs.items() if type(part) is not type(ours[name])}
    settings = {name: _settings(part, ours[name]) for name, part in theirs.items()}
    spec: Spec = {"classes": classes, "settings": {name: changed for name, changed in settings.items() if changed}}
    state = edited.state_dict()
    try:
        if any(type(theirs[name]) is not getattr(ACTIVATIONS, shown, None) for name, shown in classes.items()):
            return None
        built = build(base, json.loads(json.dumps(spec)), state)
        called, computed = edited(probes), built(probes)
        bound = TOLERANCE * max(1.0, computed.abs().max().item())
        return (spec, state) if (called - computed).abs().max().item() <= bound else None
    except Exception:  # whoever judges it calls it again, and says so
        return None


def build(base: nn.Module, spec: Mapping[str, Any], state: Mapping[str, Tensor]) -> nn.Module:
    """The model of a spec and its state. Raises `ValueError` for what is no spec of a changed base."""
    model = copy.deepcopy(base)
    for name, shown in spec["classes"].items():
        activation = getattr(ACTIVATIONS, shown, None)
        if not (isinstance(activation, type) and activation.__module__ == ACTIVATIONS.__name__):
            raise ValueError(f"no activation: {shown}")
        setattr(model.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2], activation())
    for name, settings in spec["settings"].items():
        part = model.get_submodule(name)
        for setting, value in settings.items():
            if setting in MACHINERY or hasattr(type(part), setting) or not isinstance(value, (bool, int, float, str)):
                raise ValueError(f"no setting: {name}.{setting}")
            setattr(part, setting, value)
    for name, tensor in state.items():
        part, key = model.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2]
        if key in part._parameters:
            part._parameters[key] = nn.Parameter(tensor.detach(), requires_grad=False)
        elif key in part._buffers:
            part._buffers[key] = tensor.detach()
        else:
            raise ValueError(f"no tensor of the base: {name}")
    return model.eval()


def _settings(part: nn.Module, ours: nn.Module) -> dict[str, Any]:
    """The plain attributes of a submodule that are not the base's."""
    return {
        name: value
        for name, value in vars(part).items()
        if name not in MACHINERY and isinstance(value, (bool, int, float, str)) and vars(ours).get(name) != value
    }
