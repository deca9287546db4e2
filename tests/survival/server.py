"""A process that has imported everything: it forks a child for every run, which costs a fraction of a second."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import pickle
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.core import code
from tests.survival.contents import LEFT, contents, differences
from tests.survival.faults import FAULTS, KILL, Fault, Operation, Watch, every_point, once_a_place, was_killed

READ = "in"  # folder of what a case reads
LONGEST = 120  # seconds of one run
FOLDERS = {"VIT_EDIT_BENCH_CACHE": "cache", "TMPDIR": "tmp"}  # of a run; they are watched, too


@dataclass(frozen=True)
class Case:
    """A command, as small as it can be.

    name: what it is called here.
    prepare: makes its inputs in the working folder: in `READ` what is only read, which runs do not copy.
    run: the command itself, in the working folder.
    lost: what the output of a run reports as done and the working folder does not hold, in words.
    refuses: what the command says where its output is complete already; without it, it makes it again.
    repeats: operations that a run may repeat at most when it goes on after a kill; None for what is made anew.
    """

    name: str
    prepare: Callable[[], None]
    run: Callable[[], None]
    lost: Callable[[str, Path], Sequence[str]] = lambda output, folder: ()
    refuses: str = "\0"
    repeats: int | None = None


@dataclass(frozen=True)
class Run:
    """How a child ended, what it printed, what it did to files, and the modules that it imported."""

    status: int
    output: str
    operations: list[Operation] = field(default_factory=list)
    modules: list[str] = field(default_factory=list)

    @property
    def code(self) -> int:
        """The exit code, or minus the signal that ended it."""
        return os.waitstatus_to_exitcode(self.status)


@dataclass
class Report:
    """The outcome of one case: its operations and places, the faults that were made, and what went wrong."""

    case: str
    operations: int = 0
    places: int = 0
    faults: int = 0
    failures: list[str] = field(default_factory=list)


class Server:
    """Runs cases below `folder`, one after the other, each in a child of this process."""

    def __init__(self, folder: Path) -> None:
        code.hash_sources = lambda *_: {"code": "as it is"}  # it takes most of a run's time, and writes nothing
        self._work, self._inputs = folder / "work", folder / "inputs"
        self._result, self._output = folder / "result", folder / "output"

    def survive(self, case: Case, quick: bool) -> Report:
        """Disturb a case at each of its points in turn: if `quick`, once a place; else with every kind of fault."""
        report = Report(case.name)
        try:
            self._prepare(case)
            expected, operations = self._undisturbed(case)
        except AssertionError as error:
            report.failures.append(f"{case.name}, undisturbed: {error}")
            return report
        report.operations, report.places = len(operations), len({operation.place for operation in operations})
        for fault in once_a_place(operations) if quick else every_point(operations):
            report.faults += 1
            if problem := self._disturb(case, fault, expected, len(operations)):
                where = operations[fault.number]
                name = where.path.replace(f"{self._work}/", "")
                report.failures.append(f"{case.name}: {fault.kind} at {where} ({name}): {problem}")
        return report

    def _prepare(self, case: Case) -> None:
        shutil.rmtree(self._inputs, ignore_errors=True)
        self._fresh()
        (self._work / READ).mkdir()
        run = self._fork(case.prepare)
        assert run.code == 0, run.output
        shutil.move(self._work, self._inputs)

    def _undisturbed(self, case: Case) -> tuple[dict[str, Any], list[Operation]]:
        """What the folder holds after a run, and its operations; two runs must agree."""
        held = []
        for _ in range(2):
            self._fresh()
            run = self._fork(case.run)
            assert run.code == 0, run.output
            held.append(contents(self._work))
            for name in run.modules:  # so that no later child imports it
                with contextlib.suppress(Exception):
                    importlib.import_module(name)
            gc.freeze()  # what children do not look through stays shared
        assert not (changed := differences(*held)), f"two runs differ: {changed}"
        return held[0], run.operations

    def _disturb(self, case: Case, fault: Fault, expected: dict[str, Any], total: int) -> str:
        """The first promise that was broken, in words; empty if all were kept."""
        self._fresh()
        run = self._fork(case.run, fault)
        if fault.kind == KILL and not was_killed(run.status):
            return f"it was not reached (exit code {run.code}) {run.output[-300:]}"
        if fault.kind in FAULTS[1:] and (problem := _describe_end(run)):
            return problem
        if lost := case.lost(run.output, self._work):
            return f"reported as done, and lost: {lost}"
        if run.code == 0:  # the error did not matter
            changed = differences(expected, contents(self._work))
            if any(LEFT not in line for line in changed):
                return f"it ended well, but {changed}"
        was_done = all(LEFT in line for line in differences(expected, contents(self._work)))
        again = self._fork(case.run)
        changed = differences(expected, contents(self._work))
        is_refused = again.code == 2 and case.refuses in again.output
        if again.code != 0 and (changed or not is_refused):
            return f"the same command then ends with exit code {again.code}: {again.output[-1500:]}"
        n_repeated = len(again.operations) - (total - fault.number)
        may_repeat = fault.kind != KILL or was_done or case.repeats is None  # run again when done: run twice
        if not may_repeat and n_repeated > case.repeats:
            return f"and then {n_repeated} operations were made again"
        return f"and then {changed}" if changed else ""

    def _fresh(self) -> None:
        shutil.rmtree(self._work, ignore_errors=True)
        if self._inputs.is_dir():
            shutil.copytree(self._inputs, self._work, symlinks=True, ignore=shutil.ignore_patterns(READ))
            (self._work / READ).symlink_to(self._inputs / READ)
        for name in FOLDERS.values():
            (self._work / name).mkdir(parents=True, exist_ok=True)

    def _fork(self, function: Callable[[], None], fault: Fault | None = None) -> Run:
        sys.stdout.flush()
        self._result.unlink(missing_ok=True)
        child = os.fork()
        if child == 0:
            self._be_the_child(function, fault)
        _, status = os.waitpid(child, 0)
        output = self._output.read_text(errors="replace")
        operations, modules = pickle.loads(self._result.read_bytes()) if self._result.is_file() else ([], [])
        return Run(status, output, operations, modules)

    def _be_the_child(self, function: Callable[[], None], fault: Fault | None) -> None:
        code, known = 1, set(sys.modules)
        try:
            signal.alarm(LONGEST)
            with self._output.open("wb") as output:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
            for variable, name in FOLDERS.items():
                os.environ[variable] = str(self._work / name)
            os.chdir(self._work)
            watch = Watch([self._work], fault)
            watch.begin()
            try:
                function()
                code = 0
            except SystemExit as error:
                code = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
            finally:
                watch.end()
            imported = [name for name in sys.modules if name not in known]
            self._result.write_bytes(pickle.dumps((watch.operations, imported)))
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _describe_end(run: Run) -> str:
    """What is wrong with the end of a run that met an error; empty if it is one line and exit code 2, or went well."""
    errors = [line for line in run.output.splitlines() if line.startswith("error: ")]
    if run.code == 0 or (run.code == 2 and len(errors) == 1 and "Traceback" not in run.output):
        return ""
    return f"exit code {run.code}: {run.output[-1500:]}"
