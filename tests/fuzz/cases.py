"""One case: a copy of a seed with a file changed, and the command that reads it, in a process of its own."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmark.core import cli
from tests.fuzz.mutants import mutate
from tests.fuzz.seeds import SEEDS, Seed

MEMORY = 2 << 30  # bytes of address space beyond what the process has once all is imported
SECONDS = 30  # of one command, on a machine that has other work


@dataclass(frozen=True)
class Result:
    """What came of one mutant. `problem` is empty where the command ended as it should."""

    title: str
    ending: str
    problem: str
    printed: str


def write_seeds(folder: Path) -> Path:
    """Write all seeds below `folder`, and return it."""
    torch.set_num_threads(1)
    for seed in SEEDS:
        (folder / seed.name).mkdir(parents=True)
        seed.write(folder / seed.name)
    return folder


def run_case(templates: Path, number: int, seed: int, folder: Path) -> Result:
    """Make mutant `number` in `folder`, which is removed in the end, and run its command."""
    draw = random.Random(f"{seed}-{number}")
    chosen = SEEDS[number % len(SEEDS)]
    shutil.copytree(templates / chosen.name, folder, symlinks=True)
    try:
        target = draw.choice(chosen.targets)
        title = f"{chosen.name}, {target}: {mutate(folder / target, draw)}"
        code, printed, errors = run(chosen, folder)
        return Result(title, f"exit {code}", find_problem(folder, code, errors), printed + errors)
    finally:
        shutil.rmtree(folder)


def run(seed: Seed, folder: Path) -> tuple[int, str, str]:
    """Run the command of a seed in `folder`: its exit code (negative: a signal), and what it printed."""
    output, errors = folder.with_suffix(".out"), folder.with_suffix(".err")
    sys.stdout.flush()
    child = os.fork()
    if not child:
        _become(seed, folder, output, errors)
    end, status = time.monotonic() + SECONDS, None
    while status is None:
        done, value = os.waitpid(child, os.WNOHANG)
        if done:
            status = os.waitstatus_to_exitcode(value)
        elif time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        else:
            time.sleep(0.005)
    return status, output.read_text(errors="replace"), errors.read_text(errors="replace")


def find_problem(folder: Path, code: int, errors: str) -> str:
    """Say in words what is wrong with the end of a command; empty if nothing is."""
    lines = [line for line in errors.splitlines() if not line.startswith(("note: ", "warning: "))]
    if (folder / "code-was-run").exists():
        return "code of a file was run"
    if code not in (0, 2):
        return f"killed by signal {-code}" if code < 0 else f"exit code {code}"
    if code == 2 and len([line for line in lines if line.strip()]) != 1:
        return "not one line"
    return "a traceback" if "Traceback" in errors else ""


def _become(seed: Seed, folder: Path, output: Path, errors: Path) -> None:
    """Be the command, in the child process; never returns."""
    code = 70
    try:
        for stream, file in ((1, output), (2, errors)):
            os.dup2(os.open(file, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), stream)
        sys.stdout, sys.stderr = (os.fdopen(os.dup(n), "w", buffering=1, errors="replace") for n in (1, 2))
        os.chdir(folder)
        os.environ["VIT_EDIT_BENCH_CACHE"] = str(folder / "cache")
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
        cli.run(seed.command, list(seed.arguments), prog=seed.name)
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
