"""Work on many things at once, cut into chunks that fit into memory."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from typing import TypeVar

from benchmark.core.crash import is_out_of_memory
from benchmark.core.devices import release_cached

Result = TypeVar("Result")

log = logging.getLogger(__name__)


class Chunks:
    """Cuts work into chunks of `size` at most, or None: all of it. A chunk that does not fit is halved, for good."""

    def __init__(self, size: int | None = None) -> None:
        self.size = size

    def run(self, work: Callable[[slice], Result], count: int) -> list[Result]:
        """Results of `work` on slices that are `count` things together, in order.

        An error because memory is full passes on where one thing alone does not fit.
        """
        results: list[Result] = []
        start = 0
        while start < count:
            stop = min(count, start + (self.size or count))
            try:
                results.append(work(slice(start, stop)))
            except Exception as error:
                if not is_out_of_memory(error) or stop - start == 1:
                    raise
                self.size = (stop - start) // 2
                log.warning("%d at once do not fit into memory; going on with %d", stop - start, self.size)
            else:
                start = stop
                continue
            _let_go()  # outside of `except`, whose traceback keeps what did not fit
        return results


def _let_go() -> None:
    gc.collect()
    release_cached()
