"""A process that is shut in: no network, no home, no data folder, and limits of time and memory.

Built of what Linux gives without rights: namespaces (user, mount, network, processes) and Landlock, a list of the files
that may be read. Where either is missing, nothing is shut in, and whoever asked for it says so.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmark.core.code import PACKAGES, ROOT, installed_folders
from leaderboard.judging.sandbox import drop_rights, enter_namespaces, libc, mask

CLONE_NEWIPC, CLONE_NEWPID, CLONE_NEWNET = 0x08000000, 0x20000000, 0x40000000  # linux/sched.h
PR_SET_PDEATHSIG = 1  # linux/prctl.h
PR_SET_NO_NEW_PRIVS = 38
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # system calls of Landlock, the same on every processor
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, TRUNCATE, IOCTL = (1 << bit for bit in (0, 1, 2, 3, 14, 15))  # its rights
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL  # of them, those that a file can have
READ = EXECUTE | READ_FILE | READ_DIR
RIGHTS = (0, 13, 14, 15, 15, 16, 16, 16)  # the number of rights on files that each version of Landlock knows
SCRATCH = "/dev/shm"  # an empty folder of its own lies over it
SCRATCH_BYTES = 1 << 30
SYSTEM = (
    *("/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/localtime"),
    *("/dev/urandom", "/dev/random", "/dev/zero", "/sys/devices/system"),
    *("/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/version", "/proc/sys"),
)
GPU = ("/proc", "/sys")  # CUDA looks around there
KEPT = ("PATH", "LANG", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "LD_LIBRARY_PATH")
MISSING = (
    "this system cannot shut a stranger's code in (it takes Linux with user namespaces and Landlock); "
    "read the code, then let it run as yours with --trust-code"
)


@dataclass(frozen=True)
class Seal:
    """The things that a process that is shut in is given.

    readable: files and folders of its own.
    hidden: files that it cannot see though they lie in a folder that Python needs.
    devices: files of devices that it may write to.
    memory: bytes that it may have.
    patience: seconds after which an answer comes too late.
    """

    readable: tuple[Path, ...] = ()
    hidden: tuple[Path, ...] = ()
    devices: tuple[Path, ...] = ()
    memory: int = 16 << 30
    patience: float = 600.0


def shut_in(seal: Seal) -> bool:
    """Shut this process in for good; False where the system does not let us, and then it must not run what it was for.

    It goes on as another process in a namespace of its own, whose first one, which ends with it, takes with it all that
    it started. It must have one thread.
    """
    version = _landlock()
    others = CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET
    if version < 1 or not (enter_namespaces(others) and mask(seal.hidden)):
        return False
    scratch = f"size={SCRATCH_BYTES},mode=1777".encode()
    if libc().mount(b"tmpfs", SCRATCH.encode(), b"tmpfs", 0, scratch) != 0:
        return False
    _go_on_as_child()  # the namespace's first process, which signals of its own do not end
    _keep_environment()
    _limit(seal)
    if not (drop_rights() and _restrict(seal, version)):
        return False
    _go_on_as_child()
    return True


def _go_on_as_child() -> None:
    """Return in a child alone; this process waits for it and ends as it ends."""
    if not (child := os.fork()):
        libc().prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        return
    os.closerange(3, 1 << 12)  # the line to the judge is the child's
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 128 - code if code < 0 else code
    if code > 128:
        os.kill(os.getpid(), code - 128)
    os._exit(code)


def _keep_environment() -> None:
    kept = {name: value for name, value in os.environ.items() if name in KEPT}
    os.environ.clear()
    os.environ.update(kept, HOME=SCRATCH, TMPDIR=SCRATCH, VIT_EDIT_BENCH_CACHE=f"{SCRATCH}/cache")
    os.chdir(SCRATCH)


def _limit(seal: Seal) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not seal.devices:  # CUDA maps far more than it uses
        resource.setrlimit(resource.RLIMIT_DATA, (seal.memory, seal.memory))


def _landlock() -> int:
    """The version of Landlock; 0 or less where there is none."""
    if not sys.platform.startswith("linux"):
        return 0
    return int(libc().syscall(CREATE_RULESET, None, ctypes.c_size_t(0), 1))


def _restrict(seal: Seal, version: int) -> bool:
    """Let this process reach the files that it needs, and no others."""
    rights = (1 << RIGHTS[min(version, len(RIGHTS) - 1)]) - 1
    # files; then, as far as this version knows them, TCP (bind, connect) and sockets and signals to processes outside
    attributes = (ctypes.c_uint64 * 3)(rights, 3, 3)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = libc().syscall(CREATE_RULESET, attributes, ctypes.c_size_t(size), 0)
    if ruleset < 0:
        return False
    for path, allowed in _rules(seal):
        _allow(ruleset, path, allowed & rights)
    done = libc().prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 and libc().syscall(RESTRICT_SELF, ruleset, 0) == 0
    os.close(ruleset)
    return bool(done)


def _rules(seal: Seal) -> Iterator[tuple[Path, int]]:
    """Each file or folder that the process may reach, and its rights there."""
    yield from ((Path(path), READ) for path in (*SYSTEM, *(GPU if seal.devices else ())))
    yield from ((Path(path), READ) for path in {sys.prefix, sys.base_prefix, *map(str, installed_folders())})
    yield from ((path, READ) for path in (*_code(), *seal.readable))
    yield ROOT, READ_DIR  # an import lists folders
    yield from ((path, READ | WRITE_FILE | IOCTL) for path in (Path("/dev/null"), *seal.devices))
    yield Path(SCRATCH), ~0


def _code() -> Iterator[Path]:
    """The rooms of this project and the files beside them: no data, no results."""
    for package in PACKAGES:
        for path in (ROOT / package).iterdir() if (ROOT / package).is_dir() else ():
            if path.suffix == ".py" or (path / "__init__.py").is_file():
                yield path


def _allow(ruleset: int, path: Path, rights: int) -> None:
    """Add a rule; a path that is not there needs none."""
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    rule = (rights if path.is_dir() else rights & OF_FILES).to_bytes(8, sys.byteorder)
    rule += handle.to_bytes(4, sys.byteorder)
    libc().syscall(ADD_RULE, ruleset, 1, rule, 0)
    os.close(handle)
