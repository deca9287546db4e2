"""Files that a process cannot see, where Linux allows that without rights: user and mount namespaces."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence
from pathlib import Path

CLONE_NEWNS = 0x00020000  # linux/sched.h
CLONE_NEWUSER = 0x10000000
MS_BIND = 0x1000  # linux/mount.h
MS_REC = 0x4000
MS_PRIVATE = 0x40000
CAPABILITIES = 0x20080522  # the third version of linux/capability.h, which has two words of each set


def hide(files: Sequence[Path]) -> bool:
    """Show these files as empty to this process and its children for good; False where the system does not let us.

    The process enters a user namespace of its own and gives up what rights it has there, so that it can neither take
    the files back nor read the memory of processes outside. It must have one thread.
    """
    return enter_namespaces() and mask(files) and drop_rights()


def enter_namespaces(others: int = 0) -> bool:
    """Enter a user and a mount namespace of one's own, and `others` (flags of linux/sched.h), with all rights there.

    It must have one thread.
    """
    if not sys.platform.startswith("linux"):
        return False
    user, group = os.getuid(), os.getgid()
    if libc().unshare(CLONE_NEWUSER | CLONE_NEWNS | others) != 0:
        return False
    try:
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="ascii")
    except OSError:
        return False
    return bool(libc().mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) == 0)


def mask(files: Sequence[Path]) -> bool:
    """Show these files as empty in this mount namespace."""
    masked = [libc().mount(b"/dev/null", os.fsencode(file.resolve()), None, MS_BIND, None) for file in files]
    return not any(masked)


def drop_rights() -> bool:
    """Give up all capabilities for good."""
    header, none = (ctypes.c_uint32 * 2)(CAPABILITIES, 0), (ctypes.c_uint32 * 6)()
    return bool(libc().capset(header, none) == 0)


def libc() -> ctypes.CDLL:
    """The C library of this process."""
    return ctypes.CDLL(None, use_errno=True)
