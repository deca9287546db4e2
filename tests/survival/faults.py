"""One fault at one file operation, in this process: it is the last one, or it fails."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
FOUNDATION = str(ROOT / "benchmark" / "core")  # its functions write for others, and say nothing of the place
LIBRARY = "LD_PRELOAD"
KILL = "kill"
ERRORS = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO, "EACCES": errno.EACCES}
FAULTS = (KILL, *ERRORS)
NEEDS_SPACE = ("open", "write", "mkdir", "link", "truncate", "flush")  # a full disk fails these, and goes on to
MOST = 100  # points of one command, at most


@dataclass(frozen=True)
class Operation:
    """One file operation of a run.

    name: open (for writing), write, flush, truncate, mkdir, link, rename or remove.
    path: what it is done to.
    line: the file and line of our code that does it: the innermost outside `FOUNDATION`.
    inner: the innermost in `FOUNDATION`, if it is done there.
    """

    name: str
    path: str
    line: str
    inner: str = ""

    @property
    def place(self) -> str:
        """The place in the code, which a run may pass several times."""
        return f"{self.name} {self.line} {self.inner}".strip()

    def __str__(self) -> str:
        return self.place


@dataclass(frozen=True)
class Fault:
    """The fault `kind` (one of `FAULTS`) at the operation with this number, counted from 0."""

    number: int
    kind: str


def preload(library: Path) -> dict[str, str]:
    """Compile the watch, and return the environment of a process that it watches.

    torch makes a folder for compiled code once a machine, among the temporary files: here, not in the watched ones.
    """
    words = ["cc", "-O1", "-shared", "-fPIC", "-o", str(library), str(HERE / "watch.c"), "-ldl"]
    subprocess.run(words, check=True)
    return {**os.environ, LIBRARY: str(library), "TORCHINDUCTOR_CACHE_DIR": str(library.parent)}


class Watch:
    """Counts the operations of this process on what lies below `roots`, and makes one of them a fault."""

    def __init__(self, roots: Sequence[Path], fault: Fault | None = None) -> None:
        self._roots = tuple(f"{root}/" for root in roots)
        self._fault = fault
        self._full = False
        self.operations: list[Operation] = []
        # The library keeps the pointer, so it must live as long as the process.
        self._callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int)(self._ask)

    def begin(self) -> None:
        """Watch from here on, until the process ends or `end` is called."""
        ctypes.CDLL(os.environ[LIBRARY]).watch(self._callback)

    def end(self) -> None:
        """Watch no more."""
        ctypes.CDLL(os.environ[LIBRARY]).watch(None)

    def _ask(self, name: bytes, path: bytes | None, descriptor: int) -> int:
        operation, target = name.decode(), _absolute(path, descriptor)
        if not target.startswith(self._roots):
            return 0
        self.operations.append(Operation(operation, target, *_find_lines()))
        fault = self._fault
        if fault is None:
            return 0
        if self._full and operation in NEEDS_SPACE:
            return errno.ENOSPC
        if len(self.operations) - 1 != fault.number:
            return 0
        self._full = fault.kind == "ENOSPC"
        return -1 if fault.kind == KILL else ERRORS[fault.kind]


def _absolute(path: bytes | None, descriptor: int) -> str:
    try:
        folder = Path.cwd() if descriptor < 0 else Path(f"/proc/self/fd/{descriptor}").readlink()
    except OSError:  # of a pipe or the like
        return ""
    return os.path.normpath(folder / os.fsdecode(path or b""))


def _find_lines() -> tuple[str, str]:
    """The innermost lines of our code that are being run, outside `FOUNDATION` and in it."""
    frame, inner = sys._getframe(2), ""
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(str(ROOT)) and not file.startswith(str(HERE)) and "site-packages" not in file:
            line = f"{Path(file).relative_to(ROOT)}:{frame.f_lineno}"
            if not file.startswith(FOUNDATION):
                return line, inner
            inner = inner or line
        frame = frame.f_back
    return "elsewhere", inner


def every_point(operations: Sequence[Operation]) -> list[Fault]:
    """Faults of every kind: of each place at the first, the second and the last time.

    At most `MOST` points, evenly spread over the run.
    """
    times: dict[str, list[int]] = defaultdict(list)
    for number, operation in enumerate(operations):
        times[operation.place].append(number)
    points = sorted({number for own in times.values() for number in (*own[:2], own[-1])})
    if len(points) > MOST:
        points = [points[len(points) * step // MOST] for step in range(MOST)]
    return [Fault(number, kind) for number in points for kind in FAULTS]


def once_a_place(operations: Sequence[Operation]) -> list[Fault]:
    """One fault at each line of our code outside `FOUNDATION`, in turn of another kind, at another operation there."""
    own: dict[str, list[int]] = defaultdict(list)
    for number, operation in enumerate(operations):
        own[operation.line].append(number)
    return [
        Fault(numbers[(7 * index) % len(numbers)], FAULTS[index % len(FAULTS)])
        for index, numbers in enumerate(own.values())
    ]


def was_killed(status: int) -> bool:
    """True of a child's exit status after the fault `KILL`."""
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
