"""A command that is stopped, by Ctrl-C or by SIGTERM, ends in one line that says truly how to go on.

Exit codes are the shell's: 130 after Ctrl-C, 143 after SIGTERM.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn

from benchmark.core.commands import PACKAGES

STOPS = (signal.SIGINT, signal.SIGTERM)
ANEW = "nothing is half written, and the same command starts anew"


class Terminated(KeyboardInterrupt):
    """SIGTERM: whatever Ctrl-C would unwind is unwound."""


@contextlib.contextmanager
def going_on(how: Callable[[], str]) -> Iterator[None]:
    """Let whoever is stopped in here be told what `how` says then, if nothing inside has said it better."""
    try:
        yield
    except KeyboardInterrupt as stop:
        stop.args = stop.args or (how(),)
        raise


def how_to_go_on(stop: KeyboardInterrupt) -> str:
    """Words on how to go on, as `going_on` said them where it was stopped."""
    return str(stop.args[0]) if stop.args else ANEW


def exit_code(stop: KeyboardInterrupt) -> int:
    """130 after Ctrl-C, 143 after SIGTERM."""
    return 128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT)


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Raise `KeyboardInterrupt` on Ctrl-C and `Terminated` on SIGTERM, in the main thread; elsewhere change nothing.

    A signal that whoever started us lets be ignored (nohup, a shell's background) stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: _terminate}
    before = {
        number: signal.signal(number, handler)
        for number, handler in handlers.items()
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def out_of_reach() -> Iterator[None]:
    """Let processes that are started in here not hear Ctrl-C, which a terminal sends to all: who started them does."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_at_once_while_importing() -> None:
    """Let a command that is stopped while it imports end in one line; `stoppable` takes over when it begins.

    Does nothing unless Python is about to run one of our commands.
    """
    words = sys.orig_argv
    is_module = sys.argv[:1] == ["-m"] and words[words.index("-m") + 1].partition(".")[0] in PACKAGES
    if is_module or Path(sys.argv[0] if sys.argv else "").stem == "vit-edit-bench":
        for number in STOPS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _end_at_once)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated


def _end_at_once(number: int, frame: FrameType | None) -> NoReturn:
    os.write(2, f"error: stopped before it began; {ANEW}\n".encode())
    os._exit(128 + number)
