"""A process in which an editor works, and the line between it and the judge.

It is forked from a server that imported everything and has seen no data. Where there is no such server (Windows), a
process is started anew.
"""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import sys
import threading
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from benchmark.core.errors import UserError
from benchmark.core.stopping import out_of_reach
from leaderboard.judging.seal import Seal
from leaderboard.judging.wire import Message, as_error, unpack
from leaderboard.judging.worker import serve


class Line:
    """A process at work for `name`, and the line to it; `hidden` and `seal` are its `serve`'s."""

    def __init__(self, name: str, hidden: Sequence[Path] = (), seal: Seal | None = None) -> None:
        self._name, self._patience = name, seal and seal.patience
        context = start_server()
        self._connection, theirs = context.Pipe()
        self._process: BaseProcess = context.Process(target=serve, args=(theirs, hidden, seal), daemon=True)  # type: ignore[attr-defined]
        with _without_main():
            self._process.start()
        theirs.close()

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, request: str, *arguments: Any, within: float | None = None) -> Message:
        """The answer to a request. Raises `UserError` for what went wrong there, and where the process died.

        Raises `TimeoutError` where the whole of it takes more than `within` seconds; the process is then killed, since
        one that sends half an answer could hold the judge for ever. So it is, with a `UserError`, where it is shut in
        and takes longer than its seal has patience.
        """
        limit = self._patience if within is None else within
        late = threading.Event()
        timer = threading.Timer(limit or 0, self._give_up, [late])
        try:
            if limit is not None:
                timer.start()
            self._connection.send_bytes(pickle.dumps((request, arguments)))
            wait([self._connection, self._process.sentinel])
            answer = self._connection.recv_bytes() if self._connection.poll() else b""
        except (EOFError, OSError):
            answer = b""
        finally:
            timer.cancel()
        if late.is_set():
            if within is None:
                raise UserError(f"{self._name}: its process took more than {limit:g} s to answer, and was ended")
            raise TimeoutError
        if not answer:
            raise UserError(f"{self._name}: its process {self._end()} before it answered")
        with self.understood():
            header, tensors = unpack(answer)
        if "error" in header:
            raise as_error(header, self._name)
        return header, tensors

    @contextmanager
    def understood(self) -> Iterator[None]:
        """Turn what is no answer into a `UserError`."""
        try:
            yield
        except Exception as error:
            raise UserError(f"{self._name}: its process answered with what is no answer ({error})") from error

    def close(self) -> None:
        """Hang up, and end the process, whatever it is doing."""
        self._connection.close()
        self._process.kill()
        self._process.join()

    def _give_up(self, late: threading.Event) -> None:
        late.set()
        self._process.kill()

    def _end(self) -> str:
        self._process.join(10)
        code = self._process.exitcode
        if code is None or code >= 0:
            return f"ended (exit code {code})"
        names = {number.value: number.name for number in signal.Signals}
        hint = "; out of memory?" if names.get(-code) == "SIGKILL" else ""
        return f"was ended by {names.get(-code, -code)}{hint}"


def start_server() -> multiprocessing.context.BaseContext:
    """The way to start a process; where it is forked from a server, that is started if it is not there yet."""
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if "forkserver" in methods:
        context.set_forkserver_preload([serve.__module__, "timm"])  # a base is of its classes
        resource_tracker.ensure_running()  # which would let Ctrl-C through again
        with out_of_reach():
            forkserver.ensure_running()
    return context


@contextmanager
def _without_main() -> Iterator[None]:
    """Hide the program's own script from multiprocessing, which would import it again in every new process."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
