"""Chunks: all work is done once, in order, whatever fits."""

from __future__ import annotations

import pytest
import torch

from benchmark.core.chunks import Chunks


def working(fits: int, tried: list[int]):
    def work(part: slice) -> list[int]:
        tried.append(part.stop - part.start)
        if tried[-1] > fits:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return list(range(part.start, part.stop))

    return work


@pytest.mark.parametrize(("size", "fits"), [(None, 99), (4, 99), (None, 3), (8, 1), (1, 1)])
def test_each_thing_is_worked_on_once_and_in_order(size: int | None, fits: int) -> None:
    tried: list[int] = []
    chunks = Chunks(size)
    for _ in range(2):
        done = [number for part in chunks.run(working(fits, tried), 10) for number in part]
        assert done == list(range(10))


def test_what_did_not_fit_is_not_tried_again() -> None:
    tried: list[int] = []
    chunks = Chunks()
    chunks.run(working(3, tried), 10)
    assert (tried, chunks.size) == ([10, 5, 2, 2, 2, 2, 2], 2)
    chunks.run(working(3, tried), 4)
    assert tried[7:] == [2, 2]


def test_one_thing_that_does_not_fit_and_any_other_error_pass_on() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        Chunks().run(working(0, []), 4)
    with pytest.raises(ZeroDivisionError):
        Chunks().run(lambda part: 1 // 0, 4)


def test_the_machines_own_memory_counts_too() -> None:
    def work(part: slice) -> int:
        if part.stop - part.start > 2:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        return part.start

    assert Chunks().run(work, 4) == [0, 2]
