"""The last resort: an error that nobody foresaw is one line for the user, and a traceback in a file to report."""

from __future__ import annotations

import os
import platform
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from benchmark.core.errors import UserError
from benchmark.core.files import cache_folder, write_text
from benchmark.core.versions import library_versions


def is_out_of_memory(error: BaseException) -> bool:
    """True if the machine's or the GPU's memory did not suffice; torch has no class of errors for the machine's."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error))
    )


def write_crash(error: BaseException, command: Sequence[str]) -> Path:
    """The file that was written: the command, the versions, and the error's traceback.

    It lies in ``crashes`` in the cache folder, or among the temporary files where that cannot be written.
    """
    name = f"{time.strftime('%Y-%m-%d-%H%M%S')}-{os.getpid()}.log"
    versions = " ".join(f"{library}=={release}" for library, release in library_versions().items())
    lines = [" ".join(command), f"Python {platform.python_version()}, {platform.platform()}", versions, ""]
    text = "\n".join(lines) + "\n" + "".join(traceback.format_exception(error))
    try:
        file = cache_folder() / "crashes" / name
        write_text(file, text)
    except UserError:
        file = Path(tempfile.gettempdir()) / f"vit-edit-bench-{name}"
        write_text(file, text)
    return file
