"""A Ray cluster that does not answer, has no place or no memory, or is gone: one line each, within a limit."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmark.core import cluster as module
from benchmark.core.cluster import Cluster, connect
from benchmark.core.errors import UserError
from tests.local_ray import ENVIRONMENT, ROOT, local_ray

DRIVER = """
import os, signal, sys, time
import psutil, ray
from benchmark.core import cli, cluster
from tests.benchmark.core.test_cluster import lazy_squares
from tests.local_ray import LOCAL
def main() -> None:
    '''Square numbers; after the first of them, end the processes of the cluster that are named on the command line.'''
    ray.init("local", **LOCAL)
    processes = psutil.Process().children(recursive=True)
    with cluster.Cluster(lazy_squares, False, "a square") as workers:
        for number, square in workers.map(range(1000)):
            assert square == number**2
            if number == 0:
                for process in processes:
                    if process.name() in VICTIMS:
                        process.kill()
cli.run(main)
"""


def squares() -> Callable[[int], int]:
    return lambda number: number**2


def lazy_squares() -> Callable[[int], int]:
    def lazy_square(number: int) -> int:
        time.sleep(0.3)
        return number**2

    return lazy_square


def fatal() -> Callable[[int], int]:
    os.kill(os.getpid(), signal.SIGKILL)
    return squares()


def lacking() -> Callable[[int], int]:
    raise UserError("no data set is called x")


@pytest.fixture
def no_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Have this process connected to no cluster, and none noted on this machine."""
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.fixture
def listener() -> Iterator[str]:
    """The address of somebody who listens and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_an_address_where_nobody_listens_is_one_line(no_cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(
        UserError, match=r"no Ray cluster at RAY_ADDRESS=127.0.0.1:1 \(nobody listens there\); name the"
    ):
        connect()


def test_somebody_who_is_no_cluster_is_not_waited_for(no_cluster, listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", listener)
    monkeypatch.setattr(module, "CONNECT_WITHIN", 3.0)
    with pytest.raises(UserError, match=rf"RAY_ADDRESS={listener} \(no answer within 3 s\)"):
        connect()


@pytest.mark.parametrize("is_there", [False, True])
def test_a_cluster_of_this_machine_that_is_gone_is_not_asked(
    no_cluster, listener: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    import ray

    asked: list[str] = []
    monkeypatch.setattr(module, "_try_to_connect", lambda address: None)
    monkeypatch.setattr(ray, "init", lambda address, **_: asked.append(address))
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text(listener if is_there else "127.0.0.1:1")
    connect()
    assert asked == [listener if is_there else "local"]


@pytest.fixture(scope="module")
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with local_ray(tmp_path_factory.mktemp("cache")):
        yield


def test_a_cluster_without_a_place_is_one_line(ray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "START_WITHIN", 3.0)
    with (
        pytest.raises(UserError, match=r"within 3 s: each takes 1 GPU, and of 0 that the cluster has 0 are free"),
        Cluster(squares, True, "a square") as workers,
    ):
        list(workers.map(range(3)))


def test_a_worker_that_dies_before_it_begins_is_one_line(ray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRIES", 1)
    with (
        pytest.raises(UserError, match="a square could not be computed on the Ray cluster, 1 retries included"),
        Cluster(fatal, False, "a square") as workers,
    ):
        list(workers.map(range(3)))


def test_what_a_worker_lacks_names_its_machine(ray) -> None:
    with (
        pytest.raises(UserError, match=rf"^node {socket.gethostname()}: no data set is called x$"),
        Cluster(lacking, False, "a square") as workers,
    ):
        list(workers.map(range(3)))


@pytest.mark.parametrize("named", ["", "auto", "local"])
def test_workers_stay_for_the_next_items(ray, monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    monkeypatch.setenv("RAY_ADDRESS", named)
    monkeypatch.setattr(module, "GONE_AFTER", -1.0)
    monkeypatch.setattr(module, "LOOK_EVERY", 0.1)
    with Cluster(lazy_squares, False, "a square") as workers:
        assert sorted(workers.map(range(5))) == [(number, number**2) for number in range(5)]
        assert sorted(workers.map([7])) == [(7, 49)]
        assert list(workers.map([])) == []


def drive(victims: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("ray")
    variables = {**os.environ, **ENVIRONMENT, **environment}
    variables.pop("RAY_ADDRESS", None)
    words = [sys.executable, "-c", DRIVER.replace("VICTIMS", repr(victims))]
    return subprocess.run(words, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("victims", [["gcs_server", "raylet"], ["raylet"]])
def test_a_cluster_that_is_gone_is_one_line(victims: list[str]) -> None:
    done = drive(victims)
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: the Ray cluster at ")
    assert line.endswith("is gone; what is done is kept: the same command goes on with it, on a cluster that is there")


def test_memory_above_rays_threshold_is_one_line() -> None:
    done = drive([], RAY_memory_usage_threshold="0.01")
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "3 retries included" in line and "memory" in line
