"""The base is left alone: one small function for each respect in which an editor could change what is edited.

A `Snapshot` is taken before an editor's code runs and compared after it. What can be put back without a loss is put
back (`Surroundings`, and the switches of the base); what cannot ends the run in one line that names it.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from benchmark.core.devices import float32_state, set_float32_state
from benchmark.core.errors import UserError
from benchmark.models.identity import MACHINE, MACHINERY, hash_tensors, plain_attributes

State = dict[str, Any]  # from the name of a thing, as a message shows it, to a value that changes when the thing does
TORCH = (torch, torch.nn.functional)
BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def weights(model: nn.Module) -> State:
    """Parameters, bit by bit."""
    return {name: hash_tensors({"": value}) for name, value in model.named_parameters(remove_duplicate=False)}


def buffers(model: nn.Module) -> State:
    """Buffers, bit by bit, also those that are in no state dict."""
    return {name: hash_tensors({"": value}) for name, value in model.named_buffers(remove_duplicate=False)}


def checksum(model: nn.Module) -> State:
    """A cheap sum over the bits of parameters and buffers, on their device, so that nothing but it is copied."""
    tensors = [*model.parameters(), *model.buffers()]
    sums = [_bits(tensor).sum(dtype=torch.int64) for tensor in tensors if tensor.numel()]
    return {"a weight or buffer": torch.stack(sums).tolist() if sums else []}


def placed(model: nn.Module) -> State:
    """The tensors themselves: one that another took the place of, or of another type, shape or device."""
    named = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    return {name: (_Same(value), value.dtype, value.shape, value.device) for name, value in named}


def modules(model: nn.Module) -> State:
    """Submodules: one that another took the place of, was added or lost, or got another class."""
    return {name or "the model": (_Same(part), type(part)) for name, part in _parts(model)}


def hooks(model: nn.Module) -> State:
    """Hooks of modules, of parameters, and those that torch calls for every module."""
    states = {f"a hook of {name or 'the model'}": _hooks_in(vars(part)) for name, part in _parts(model)}
    for name, value in model.named_parameters():
        held = (value._backward_hooks, getattr(value, "_post_accumulate_grad_hooks", None))
        states[f"a hook of {name}"] = [_Same(hook) for table in held for hook in (table or {}).values()]
    states["a hook of all modules"] = _hooks_in(vars(torch_module))
    return states


def attributes(model: nn.Module) -> State:
    """Attributes beside weights that a forward reads: eps, heads, dropout, pooling, tensors, functions, objects."""
    states: State = {}
    for prefix, part in _parts(model):
        plain = dict(plain_attributes(part))
        for name, value in vars(part).items():
            if name not in MACHINERY | MACHINE:
                state = hash_tensors({"": value}) if isinstance(value, Tensor) else plain.get(name, _Same(value))
                states[f"{prefix}.{name}".lstrip(".")] = state
    return states


def forwards(model: nn.Module) -> State:
    """The code that is called: methods of the modules' classes, of tensors, and torch's functions."""
    classes = dict.fromkeys(base for part in model.modules() for base in type(part).__mro__[:-1])
    methods = {f"{place.__module__}.{place.__qualname__}": vars(place) for place in (*classes, Tensor)}
    functions = {place.__name__: vars(place) for place in TORCH}
    return {
        f"{place}.{name}": _Same(value)
        for place, names in {**methods, **functions}.items()
        for name, value in names.items()
        if callable(value) or hasattr(value, "__get__")
    }


class BaseChanged(UserError):
    """An editor changed the base: what was edited before and after it is not the same model."""


FULL: tuple[Callable[[nn.Module], State], ...] = (weights, buffers, placed, modules, hooks, attributes, forwards)
CHEAP: tuple[Callable[[nn.Module], State], ...] = (checksum, placed, modules, hooks, attributes, forwards)


class Snapshot:
    """A base and what surrounds it, as they were before an editor's code ran.

    Switches of the base that change no weight (training mode, `requires_grad`, `grad`) and all that `Surroundings`
    holds are put back by `restore`.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._states = {check: check(model) for check in (*FULL, checksum)}
        self._modes = [(part, part.training) for part in model.modules()]
        self._flags = [(value, value.requires_grad) for value in model.parameters()]
        self.surroundings = Surroundings()

    def restore(self) -> list[str]:
        """Put back the base's switches and the surroundings; the names of those that can move a prediction, and did."""
        moved = self.surroundings.restore()
        moved += ["the base's training mode"] if any(part.training != mode for part, mode in self._modes) else []
        for part, training in self._modes:
            part.training = training
        for value, flag in self._flags:
            value.requires_grad_(flag)
            value.grad = None
        return moved

    def compare(self, editor: str, full: bool = False, where: str = "") -> None:
        """Raise `BaseChanged` with the first thing of the base that is not as it was; `full` hashes all weights.

        `where` is the file and line of the editor's code that ran, in brackets.
        """
        for check in FULL if full else CHEAP:
            before, now = self._states[check], check(self._model)
            for name in [*before, *filter(_can_be_added, now.keys() - before.keys())]:
                if name not in now or name not in before or before[name] != now[name]:
                    if check is checksum:
                        self.compare(editor, full=True, where=where)  # which names the weight
                    raise BaseChanged(
                        f"{editor} changed the base model: {name} is not as it was{where}; an editor must "
                        "work on a copy, such as copy.deepcopy(model), and leave the base alone"
                    )


class Setting(NamedTuple):
    """A setting of torch's that can move a prediction: its name, and functions that read it and put it back."""

    name: str
    get: Callable[[], Any]
    put: Callable[[Any], Any]


def _pop_modes(left: int) -> None:
    """Leave modes that catch calls of torch's functions, until so many are `left`."""
    while torch._C._len_torch_function_stack() > left:
        torch._C._pop_torch_function_stack()


FLAGS = (
    (torch.backends.cudnn, "benchmark"),
    (torch.backends.cudnn, "deterministic"),
    (torch.backends.cudnn, "enabled"),
    (torch.backends.cuda.matmul, "allow_fp16_reduced_precision_reduction"),
    (torch.backends.cuda.matmul, "allow_bf16_reduced_precision_reduction"),
    (torch.backends.mkldnn, "enabled"),
    (torch.utils.deterministic, "fill_uninitialized_memory"),
)
SDP = ("flash_sdp", "mem_efficient_sdp", "math_sdp", "cudnn_sdp")
SETTINGS = (
    Setting("default dtype", torch.get_default_dtype, torch.set_default_dtype),
    Setting("grad mode", torch.is_grad_enabled, torch.set_grad_enabled),
    Setting("precision of float32", float32_state, set_float32_state),
    Setting("number of threads", torch.get_num_threads, torch.set_num_threads),
    Setting("deterministic mode", torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    Setting("anomaly detection", torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    *(
        Setting(
            f"autocast on {kind}", partial(torch.is_autocast_enabled, kind), partial(torch.set_autocast_enabled, kind)
        )
        for kind in ("cpu", "cuda")
    ),
    *(
        Setting(
            f"autocast's dtype on {kind}",
            partial(torch.get_autocast_dtype, kind),
            partial(torch.set_autocast_dtype, kind),
        )
        for kind in ("cpu", "cuda")
    ),
    *(
        Setting(
            f"{name} attention",
            getattr(torch.backends.cuda, f"{name}_enabled"),
            getattr(torch.backends.cuda, f"enable_{name}"),
        )
        for name in SDP
    ),
    *(Setting(name, partial(getattr, place, name), partial(setattr, place, name)) for place, name in FLAGS),
)
# Those that one process does not send to another.
OWN_SETTINGS = (
    Setting(
        "default device",
        torch.get_default_device,
        lambda device: torch.set_default_device(None if device.type == "cpu" else device),
    ),
    Setting("modes around its functions", torch._C._len_torch_function_stack, _pop_modes),
)


class Surroundings:
    """torch's settings, numpy's error handling, the random states, the working folder and the environment."""

    def __init__(self) -> None:
        self._settings = self.settings()
        self._own = [setting.get() for setting in OWN_SETTINGS]
        self._errors = np.geterr()
        self._random = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
        self._cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
        self._folder, self._environment = Path.cwd(), dict(os.environ)

    @classmethod
    def settings(cls) -> list[Any]:
        """torch's settings as they are, to be sent to another process."""
        return [setting.get() for setting in SETTINGS]

    @classmethod
    def apply(cls, values: list[Any], settings: Sequence[Setting] = SETTINGS) -> list[str]:
        """Set what `settings` gave; the names of those that were otherwise.

        What is as it was is not touched, since some of it warns when it is set.
        """
        moved = []
        for setting, value in zip(settings, values, strict=True):
            if setting.get() != value:
                setting.put(value)
                moved.append(f"torch's {setting.name}")
        return moved

    def restore(self) -> list[str]:
        """Put everything back; the names of what can move a prediction, and was not as it had been.

        Random states are drawn from, and an edit begins with its own: they are put back without a word.
        """
        moved = self.apply(self._own, OWN_SETTINGS) + self.apply(self._settings)
        np.seterr(**self._errors)
        random.setstate(self._random[0])
        np.random.set_state(self._random[1])  # noqa: NPY002 - the generator that editors may use
        torch.set_rng_state(self._random[2])
        if self._cuda is not None:
            torch.cuda.set_rng_state_all(self._cuda)
        os.chdir(self._folder)
        if dict(os.environ) != self._environment:
            os.environ.clear()
            os.environ.update(self._environment)
        return moved


class _Same:
    """Equal to what holds the very same object, which it keeps alive, so that no other takes its address."""

    def __init__(self, held: Any) -> None:
        self._held = held

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other._held is self._held

    __hash__ = None  # type: ignore[assignment]


def _can_be_added(name: str) -> bool:
    """Return whether a new name matters: torch gets new functions where its lazy parts are first used."""
    return name.rpartition(".")[0] not in [place.__name__ for place in TORCH]


def _parts(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    yield from model.named_modules(remove_duplicate=False)


def _hooks_in(names: dict[str, Any]) -> list[_Same]:
    """The hooks in a module's or torch's own tables of them."""
    tables = [value for name, value in names.items() if name.endswith(("_hooks", "_pre_hooks"))]
    return [_Same(hook) for table in tables if isinstance(table, dict) for hook in table.values()]


def _bits(tensor: Tensor) -> Tensor:
    """A tensor's bits as whole numbers."""
    plain = tensor.detach()
    if plain.dtype == torch.bool:
        return plain.view(torch.uint8)
    if plain.is_complex():
        plain = torch.view_as_real(plain)
    return plain.contiguous().view(BITS[plain.element_size()])
