"""Work spread over a Ray cluster: its workers begin once, take one item after the other, and none is lost with one.

Ray is optional: ``pip install "ray>=2.40"``, the extra "ray".
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from benchmark.core.errors import UserError, message_line
from benchmark.core.readers import Unreadable, read_text

RETRIES = 3  # of an item whose worker was lost, and of a worker that was lost before it began
CONNECT_WITHIN = 60.0  # seconds; Ray itself waits for minutes where nobody answers
START_WITHIN = 120.0  # seconds until a worker has its place on the cluster
GONE_AFTER = 5.0  # seconds for which the cluster's head does not answer; Ray itself ends the process soon after
LOOK_EVERY = 2.0  # seconds between two looks at a cluster from which nothing comes
KEPT = "what is done is kept: the same command goes on with it"
HERE = "local"  # Ray's word for a new cluster on this machine

Item = TypeVar("Item")
Result = TypeVar("Result")


def connect() -> None:
    """Connect this process to a Ray cluster, unless it is.

    It is the one that ``RAY_ADDRESS`` names, else the one that was started on this machine, else a new one here.

    Raises:
        UserError: if Ray is not installed, or no cluster answers at that address within `CONNECT_WITHIN` seconds.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it reports to nobody
    try:
        import ray
    except ImportError as error:
        raise UserError('Ray is not installed: pip install "ray>=2.40", or leave --engine ray out') from error
    if ray.is_initialized():
        return
    address = os.environ.get("RAY_ADDRESS") or _on_this_machine()
    settings: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
    if address != HERE:
        _try_to_connect(address)
        del settings["include_dashboard"]
    try:
        ray.init(address=address, **settings)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise _no_cluster(address, message_line(error)) from error


def _on_this_machine() -> str:
    """The cluster that ``ray start`` left its address of, if that listens; `HERE` if not."""
    noted = Path(os.environ.get("RAY_TMPDIR", "/tmp")) / "ray" / "ray_current_cluster"
    with contextlib.suppress(OSError, Unreadable):
        address = read_text(noted).strip()
        if _listens(address):
            return address
    return HERE


def _try_to_connect(address: str) -> None:
    """Raise `UserError` unless a cluster answers there; another process tries, because Ray's own try has no limit."""
    if address != "auto" and not _listens(address):
        raise _no_cluster(address, "nobody listens there")
    trial = f"import ray; ray.init(address={address!r}, log_to_driver=False, logging_level='ERROR')"
    try:
        subprocess.run([sys.executable, "-c", trial], check=True, capture_output=True, timeout=CONNECT_WITHIN)
    except subprocess.TimeoutExpired as error:
        raise _no_cluster(address, f"no answer within {CONNECT_WITHIN:g} s") from error
    except subprocess.CalledProcessError as error:
        last = error.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise _no_cluster(address, "".join(last) or f"exit code {error.returncode}") from error


def _no_cluster(address: str, why: str) -> UserError:
    return UserError(
        f"no Ray cluster at RAY_ADDRESS={address} ({why}); name the HOST:PORT of its head, or unset RAY_ADDRESS for "
        "a cluster on this machine"
    )


def _listens(address: str) -> bool:
    """Return whether somebody listens at HOST:PORT, with or without a scheme in front."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except (OSError, ValueError):
        return False
    return True


def _addresses() -> list[str]:
    """Addresses of the connected cluster's head and of its part on this machine; Ray ends a process that misses one."""
    import ray

    named = os.environ.get("RAY_ADDRESS", "")
    if "://" in named:  # a client of Ray, which has no part on this machine
        return [named]
    context = ray.get_runtime_context()
    here = next(node for node in ray.nodes() if node["NodeID"] == context.get_node_id())
    return [context.gcs_address, f"{here['NodeManagerAddress']}:{here['NodeManagerPort']}"]


@contextlib.contextmanager
def naming_this_node() -> Iterator[None]:
    """Put this machine's name before the message of a `UserError`, which is shown on another."""
    try:
        yield
    except UserError as error:
        raise UserError(f"node {platform.node()}: {error}") from error


class _Worker:
    """One place on the cluster, as an actor there."""

    def is_there(self) -> bool:
        """True: it runs somewhere."""
        return True

    def begin(self, begin: Callable[[], Callable[[Any], Any]], threads: int, folder: str) -> None:
        """Make what does the work, with as many threads as the driver has: their number can move roundings.

        Paths mean what they mean to the driver, in its working `folder`, if that is there.
        """
        with contextlib.suppress(OSError):
            os.chdir(folder)
        torch.set_num_threads(threads)
        with naming_this_node():
            self._do = begin()

    def do(self, item: Any) -> Any:
        """The result of an item."""
        return self._do(item)


@dataclass(frozen=True)
class _Task:
    """A call of a worker's method; of `do`, with its item and how often that was lost before."""

    worker: Any
    method: str
    item: Any = None
    losses: int = 0


class Cluster(Generic[Item, Result]):
    """Workers on a Ray cluster (see `connect`): each calls `begin` once, and what that returns for each item.

    One worker an accelerator of the cluster if `on_gpu`, else one a CPU; those of machines that join later count, too.
    An item whose worker was lost is done again by another, `RETRIES` times. `item_name` names one in errors. An error
    of `begin` or of an item is raised as it is.
    """

    def __init__(self, begin: Callable[[], Callable[[Item], Result]], on_gpu: bool, item_name: str) -> None:
        connect()
        import ray

        self._resource, self._item_name = "GPU" if on_gpu else "CPU", item_name
        self._addresses = _addresses()
        self._begin = ray.put(begin)
        self._actor: Any = ray.remote(_Worker).options(num_cpus=int(not on_gpu), num_gpus=int(on_gpu))
        self._tasks: dict[Any, _Task] = {}  # by the reference to its answer
        self._workers: list[Any] = []
        self._placed: set[Any] = set()  # workers that run somewhere
        self._idle: list[Any] = []
        self._losses = 0  # of workers that had not begun, in a row
        self._had_place = time.monotonic()
        self._silent_since: float | None = None

    def __enter__(self) -> Cluster[Item, Result]:
        return self

    def __exit__(self, *_: object) -> None:
        """End the workers."""
        import ray

        for worker in self._workers:
            ray.kill(worker)

    def map(self, items: Iterable[Item]) -> Iterator[tuple[Item, Result]]:
        """Each item with its result, as soon as that is there.

        Raises:
            UserError: if an item was lost more than `RETRIES` times, no worker could begin, or the cluster is gone.
        """
        import ray

        waiting = deque(_Task(None, "do", item) for item in items)
        unfinished, self._had_place, looked = len(waiting), time.monotonic(), 0.0
        while unfinished:
            if time.monotonic() - looked > LOOK_EVERY:
                self._look(unfinished)
                looked = time.monotonic()
            while waiting and self._idle:
                task = replace(waiting.popleft(), worker=self._idle.pop())
                self._tasks[task.worker.do.remote(task.item)] = task
            done, _ = ray.wait(list(self._tasks), num_returns=1, timeout=LOOK_EVERY)
            for reference in done:
                if reference not in self._tasks:
                    continue  # of a worker that was lost
                task = self._tasks.pop(reference)
                try:
                    result = ray.get(reference)
                except ray.exceptions.RayTaskError as error:
                    raise error.cause from None
                except ray.exceptions.RayError as error:
                    self._lose(task, error)
                    if task.method == "do":
                        waiting.appendleft(replace(task, losses=task.losses + 1))
                    continue
                self._placed.add(task.worker)
                if task.method == "is_there":
                    continue
                self._idle.append(task.worker)
                if task.method == "begin":
                    self._losses = 0
                else:
                    unfinished -= 1
                    yield task.item, result

    def _look(self, needed: int) -> None:
        """Look whether the cluster is there, and has a place for at least one worker; let it have as many as it can."""
        import ray

        now = time.monotonic()
        if not all(map(_listens, self._addresses)):
            self._silent_since = self._silent_since or now
            if now - self._silent_since > GONE_AFTER:
                raise UserError(f"the Ray cluster at {self._addresses[0]} is gone; {KEPT}, on a cluster that is there")
            return
        self._silent_since = None
        places = int(ray.cluster_resources().get(self._resource, 0))
        while len(self._workers) < min(needed, max(1, places)):
            self._workers.append(worker := self._actor.remote())
            self._tasks[worker.is_there.remote()] = _Task(worker, "is_there")
            self._tasks[worker.begin.remote(self._begin, torch.get_num_threads(), str(Path.cwd()))] = _Task(
                worker, "begin"
            )
        if self._placed:
            self._had_place = now
        elif now - self._had_place > START_WITHIN:
            raise UserError(
                f"no worker found a place on the Ray cluster within {START_WITHIN:g} s: each takes 1 {self._resource}, "
                f"and of {places} that the cluster has {ray.available_resources().get(self._resource, 0):g} are free"
            )

    def _lose(self, task: _Task, error: Exception) -> None:
        """Forget a worker. Raises `UserError` if that was once too often."""
        import ray

        ray.kill(task.worker)
        self._workers.remove(task.worker)
        self._placed.discard(task.worker)
        self._tasks = {reference: other for reference, other in self._tasks.items() if other.worker != task.worker}
        losses = task.losses
        if task.method != "do":
            self._losses, losses = self._losses + 1, self._losses
        if losses >= RETRIES:
            raise UserError(
                f"{self._item_name} could not be computed on the Ray cluster, {RETRIES} retries included "
                f"({message_line(error)}); {KEPT}"
            ) from error
