"""A second device that every machine has: tensors that say they lie on ``standin:0``, and lie in the CPU's memory.

Under `SecondDevice`, a `TorchDispatchMode`, torch's operations behave as they do on a GPU: where tensors of two devices
meet they raise, with the line of our code. A tensor without dimensions that lies on the CPU may meet any, as on CUDA.
An index on the CPU may not: CUDA copies it without a word. Copies between the devices of a tensor with dimensions are
noted, each with its place in our code: on a real device such a copy waits until all earlier work is done.

>>> with SecondDevice() as second:
...     try:
...         torch.zeros(3, device=DEVICE) + torch.ones(3)
...     except TwoDevices as error:
...         print(str(error).partition(":")[0])
tensors of two devices meet in aten.add.Tensor

It computes what the CPU computes: kernels that a real device lacks, and its rounding, are not shown.
"""

from __future__ import annotations

import inspect
import linecache
import sys
import textwrap
import threading
import types
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

NAME = "standin"
DEVICE = f"{NAME}:0"
ROOT = Path(__file__).resolve().parents[1]
OURS = tuple(f"{ROOT / package}/" for package in ("benchmark", "editors", "generation", "leaderboard", "mad"))


class _Module(_DummyBackendModule):
    """Answers for torch, which asks every device that a process knows: it draws nothing, so it has no state."""

    def get_rng_state(self, device: object = None) -> torch.Tensor:
        return torch.empty(0, dtype=torch.uint8)

    def set_rng_state(self, state: torch.Tensor, device: object = None) -> None:
        pass


_setup_privateuseone_for_python_backend(NAME, _Module())


class TwoDevices(RuntimeError):
    """Tensors of two devices met."""


class Unsupported(TypeError):
    """The device has no such thing: float64, or a call of `torch.cuda`."""


class SecondTensor(torch.Tensor):
    """A tensor on the second device; `raw` holds its values on the CPU."""

    raw: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, raw: Tensor) -> SecondTensor:
        """Wrap a tensor of the CPU; the two share their memory."""
        offset, strides = raw.storage_offset(), raw.stride()
        wrapped = torch.Tensor._make_wrapper_subclass(
            cls, raw.shape, strides=strides, storage_offset=offset, dtype=raw.dtype, device=DEVICE
        )
        wrapped.raw = raw
        return wrapped

    def __repr__(self) -> str:
        """Show the values and the device."""
        return f"SecondTensor({self.raw})"

    def tolist(self) -> Any:
        """Copy the values to the host, which is noted; torch refuses it of any subclass."""
        return self.cpu().tolist()

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Be saved as a tensor of the CPU."""
        return self.raw.__reduce_ex__(protocol)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation outside of the mode, as in a thread that was started under it."""
        return _run(func, args, kwargs or {}, None)


class SecondDevice(TorchDispatchMode):
    """The mode under which the second device exists.

    to_host, to_device: how often a tensor with dimensions was copied, by its place ``file:function``.
    float64: whether the device has float64; MPS has none, and raises.
    """

    def __init__(self, float64: bool = True) -> None:
        super().__init__()
        self.float64 = float64
        self.to_host: Counter[str] = Counter()
        self.to_device: Counter[str] = Counter()
        self._makers = _Makers()

    def __enter__(self) -> SecondDevice:
        """Make the second device exist."""
        self._makers.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        """Let tensors meet again."""
        super().__exit__(*error)
        self._makers.__exit__(*error)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation where its tensors lie."""
        return _run(func, args, kwargs or {}, self)


class _Makers(TorchFunctionMode):
    """Tensors and indices of Python's numbers, whose last step torch hides from the other mode."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (torch.tensor, torch.as_tensor) and _is_second(kwargs.get("device")):
            return func(*args, **{**kwargs, "device": None}).to(kwargs["device"])
        if func is torch.Tensor.__getitem__ and isinstance(args[0], SecondTensor):
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            return func(args[0], tuple(torch.tensor(i).to(DEVICE) if isinstance(i, list) else i for i in index))
        return func(*args, **kwargs)


def _is_second(device: Any) -> bool:
    return device is not None and torch.device(device).type == NAME


def _raw(value: Any) -> Any:
    return value.raw if isinstance(value, SecondTensor) else value


def _run(func: Any, args: Any, kwargs: dict[str, Any], mode: SecondDevice | None) -> Any:
    """Run one operation of ATen: on raw tensors, once all is checked; its results lie where its tensors do."""
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    there = [tensor for tensor in tensors if isinstance(tensor, SecondTensor)]
    here = [tensor for tensor in tensors if not isinstance(tensor, SecondTensor)]

    def wrap(value: Any) -> Any:
        if not isinstance(value, Tensor) or isinstance(value, SecondTensor):
            return value
        if mode is not None and not mode.float64 and value.dtype in (torch.float64, torch.complex128):
            raise Unsupported(f"this device has no float64, at {where()}")
        return SecondTensor(value)

    if func is torch.ops.aten._to_copy.default:
        (source,) = args
        device = kwargs.get("device")
        on_second = isinstance(source, SecondTensor) if device is None else _is_second(device)
        _note(mode, source, isinstance(source, SecondTensor), on_second)
        # a copy even where nothing but the device changes, as _to_copy makes one
        copied = func(_raw(source), **{**kwargs, "device": torch.device("cpu"), "non_blocking": False})
        return wrap(copied) if on_second else copied
    if func is torch.ops.aten.copy_.default:
        target, source = args[:2]
        _note(mode, source, isinstance(source, SecondTensor), isinstance(target, SecondTensor))
        func(*map(_raw, args), **kwargs)
        return target

    on_second = bool(there) or _is_second(kwargs.get("device"))
    generator = kwargs.get("generator")
    if on_second and (any(tensor.dim() > 0 for tensor in here) or _is_cpu(generator)):
        raise TwoDevices(f"tensors of two devices meet in {func}: {where()}")
    if there and func is torch.ops.aten.index.Tensor and here:
        raise TwoDevices(f"tensors of two devices meet in {func}: {where()}")
    if _is_second(kwargs.get("device")):
        kwargs = {**kwargs, "device": torch.device("cpu")}
    result = func(*tree_map(_raw, args), **tree_map(_raw, kwargs))
    if not on_second or func is torch.ops.aten._local_scalar_dense.default:
        return result
    return return_and_correct_aliasing(func, args, kwargs, tree_map(wrap, result))


def _is_cpu(generator: torch.Generator | None) -> bool:
    return generator is not None and generator.device.type == "cpu"


def _note(mode: SecondDevice | None, tensor: Tensor, was_second: bool, is_second: bool) -> None:
    """Count a copy between the devices; a tensor without dimensions is a number, as for ``item``."""
    if mode is not None and was_second != is_second and tensor.dim() > 0:
        counter = mode.to_host if was_second else mode.to_device
        counter[place()] += 1


# ------------------------------------------------------------------------------------------ places in our code


def _our_frame() -> types.FrameType | None:
    """The innermost function of our packages that runs; autograd's threads have none, so there the main thread's."""
    for start in (sys._getframe(), sys._current_frames().get(threading.main_thread().ident or 0)):
        frame = start
        while frame is not None:
            code = frame.f_code
            if code.co_filename.startswith(OURS) and not code.co_name.startswith("<"):  # as comprehensions are
                return frame
            frame = frame.f_back
    return None


def place() -> str:
    """``file:function`` of our code that runs now; ``outside`` where none does."""
    frame = _our_frame()
    if frame is None:
        return "outside"
    return f"{Path(frame.f_code.co_filename).relative_to(ROOT).as_posix()}:{frame.f_code.co_name}"


def where() -> str:
    """`place` with the line and its text."""
    frame = _our_frame()
    if frame is None:
        return "outside our packages"
    line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
    return f"{place()}, line {frame.f_lineno}: {line}"


# ------------------------------------------------------------------------------------------ MPS, and planted faults


def forbid_cuda(patch: pytest.MonkeyPatch) -> None:
    """Our code's calls of `torch.cuda` raise, but for the questions whether there is CUDA; torch's own go through."""

    def forbidden(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if sys._getframe(1).f_code.co_filename.startswith(OURS):
                raise Unsupported(f"torch.cuda.{name} is called at {where()}")
            return real(*args, **kwargs)

        return call

    for name in torch.cuda.__all__:
        real = getattr(torch.cuda, name)
        if isinstance(real, types.FunctionType) and not name.startswith("is_"):
            patch.setattr(torch.cuda, name, forbidden(name, real))


def plant(patch: pytest.MonkeyPatch, owner: Any, name: str, old: str, new: str) -> None:
    """Replace a function of a module or a class by one in whose source `new` stands for `old`, which is there once."""
    function = inspect.unwrap(getattr(owner, name))
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(old) == 1, f"{old!r} must stand once in {name}"
    module = sys.modules[function.__module__]
    scope: dict[str, Any] = {}
    code = compile("from __future__ import annotations\n" + source.replace(old, new), str(module.__file__), "exec")
    exec(code, module.__dict__, scope)
    patch.setattr(owner, name, scope[name])
