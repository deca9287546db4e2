"""Tensors on a GPU that cross from one process to another by a handle, without a copy to the host (CUDA IPC).

A handle opens all of the memory that lies in one allocation with the tensor. So they go one way only, from the editor's
process to the judge, who copies at once, on the device: what it judges, nobody else can write.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing import reductions

Handle = list[Any]  # the arguments of torch's `rebuild_cuda_tensor`, as plain values


def export(tensor: Tensor) -> Handle | None:
    """A handle to a tensor; None where it is not on a GPU, or the platform gives none (WSL, some containers).

    The tensor must stay alive until the other process has copied it.
    """
    if not tensor.is_cuda:
        return None
    try:
        _, (_, size, stride, offset, _, dtype, *rest) = reductions.reduce_tensor(tensor.detach())
    except RuntimeError:
        return None
    plain = [value.hex() if isinstance(value, bytes) else value for value in rest]
    return [list(size), list(stride), offset, str(dtype).removeprefix("torch."), *plain]


def take(handle: Handle) -> Tensor:
    """A copy, on the same device, of the tensor behind a handle. Raises `ValueError` for what is no handle of ours."""
    size, stride, offset, dtype, device, memory, length, start, _, counter, counted, event, waits = handle
    if not isinstance(getattr(torch, dtype), torch.dtype):
        raise ValueError(f"no format: {dtype}")
    shared: Tensor = reductions.rebuild_cuda_tensor(
        Tensor, torch.Size(size), tuple(stride), int(offset), torch.storage.TypedStorage, getattr(torch, dtype),
        int(device), bytes.fromhex(memory), int(length), int(start), False,
        bytes.fromhex(counter), int(counted), bytes.fromhex(event), bool(waits),
    )  # fmt: skip
    own = shared.clone()
    torch.cuda.synchronize(int(device))
    return own
