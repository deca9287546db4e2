"""Standard output and error that neither a sign which a terminal lacks nor a reader who leaves disturbs."""

from __future__ import annotations

import io
import os
import stat
import sys
from typing import Any, TextIO


def make_streams_patient() -> None:
    """Let `sys.stdout` and `sys.stderr` bear a reader who leaves (``| head``), and write "?" for a sign they lack."""
    sys.stdout, sys.stderr = _patient(sys.stdout), _patient(sys.stderr)


class _OpenPipe(io.FileIO):
    """A pipe that takes what is written when nobody reads any more: the command goes on, and ends well."""

    def write(self, data: Any) -> int:
        """Write, or say that it was written."""
        try:
            return super().write(data) or 0
        except BrokenPipeError:
            return len(data)


def _patient(stream: TextIO) -> TextIO:
    """A standard stream that no missing sign and no missing reader disturbs; another stream as it is."""
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    stream.reconfigure(errors="replace")  # a sign that a terminal lacks costs that sign and not the result
    if stream not in (sys.__stdout__, sys.__stderr__) or not stat.S_ISFIFO(os.fstat(stream.fileno()).st_mode):
        return stream
    stream.flush()
    pipe = io.BufferedWriter(_OpenPipe(stream.fileno(), "w", closefd=False))
    return io.TextIOWrapper(pipe, stream.encoding, "replace", line_buffering=stream is sys.__stderr__)
