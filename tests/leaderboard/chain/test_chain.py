"""The whole chain from loopback to the report: what cannot be had, three kills, and the same command again."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from leaderboard.records import record
from tests.file_server import Answer, FileServer, serving_files
from tests.hub_server import HubServer, serving
from tests.leaderboard.chain import stand_in

PAGE = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>Sign in to go on</body></html>"
KILLS, WAIT = 3, 400.0  # and the seconds that any process may take


@dataclass
class World:
    """The servers, and the folder in which the command runs."""

    files: FileServer
    hub: HubServer
    folder: Path

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Begin `leaderboard.paper` on the small things, in a group of processes of its own."""
        module = ["-m", "tests.leaderboard.chain.stand_in", self.files.url(""), str(self.folder / "steps.yaml")]
        return subprocess.Popen(
            [sys.executable, *module, *words, "--yes", "--device", "cpu", "--out", "out"],
            cwd=self.folder, env=self.hub.environment(self.folder),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*words)
        output, errors = process.communicate(timeout=WAIT)
        return subprocess.CompletedProcess(words, process.returncode, output, errors)

    def kill_at(self, count: int, *words: str) -> None:
        """Kill the command at a random moment of the step after `count` are done."""
        process = self.start(*words)
        end = time.monotonic() + WAIT
        while len(self.notes()) < count and process.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(random.Random(count).uniform(0, 2))
        assert process.poll() is None, process.communicate()
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()

    def notes(self) -> dict[str, str]:
        """The notes of finished steps as they are, by file."""
        return {path.name: path.read_text() for path in (self.folder / "out/steps").glob("[!.]*.json")}

    def records(self) -> dict[Path, int]:
        """The records so far, and when each was written."""
        return {path: path.stat().st_mtime_ns for path in (self.folder / "out").rglob("runs/**/record.json")}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("paper")
    with serving_files() as files, serving() as hub:
        for path, content in stand_in.archives(folder / "in").items():
            files.answers[path] = Answer(content)
        stand_in.fill(hub, folder / "hub")
        yield World(files, hub, folder)


def last_line(errors: str) -> str:
    """The one line of an error, without the notes above it."""
    assert "Traceback" not in errors
    return errors.rstrip().splitlines()[-1]


def test_from_loopback_to_the_report(world: World) -> None:
    """In the order in which it happens to a person; each part needs the one before."""
    whole = ("--scale", "small", "--allow-partial")
    true = dict(world.files.answers)

    # A page to sign in, another hash than is stated: one line; the others come.
    world.files.answers["/natural"] = Answer(PAGE, media_type="text/html")
    world.files.answers["/sensitive"] = Answer(true["/sensitive"].content, md5=bytes(16))
    refused = world.run("--scale", "small", "--until", "fetch")
    assert refused.returncode == 2
    assert last_line(refused.stderr).startswith("error: natural: ") and "sensitive" in last_line(refused.stderr)
    assert (world.folder / "out/fetched/pug/PUG_ImageNet.zip").is_file() and not world.notes()

    # The right ones: behind a redirect and with a cut, and without ranges.
    world.files.answers["/natural"] = Answer(redirect=world.files.url("/elsewhere"))
    world.files.answers["/elsewhere"] = Answer(true["/natural"].content, cuts=[2000])
    world.files.answers["/sensitive"] = Answer(true["/sensitive"].content, ranges="refused")

    # An archive whose counts differ names its groups, and --allow-partial goes on.
    short = world.run("--scale", "small")
    assert short.returncode == 2
    assert "890-430 volleyball-basketball 4 instead of 123" in last_line(short.stderr)
    assert "oil painting" not in last_line(short.stderr), "generated here: no number is the right one"
    assert sorted(world.notes()) == ["fetch.json", "paint.json"]

    # Killed in training, while editing and in an analysis: what was done is not done again.
    for count in (4, 9, 19):
        before, noted = world.records(), world.notes()
        world.kill_at(count, *whole)
        assert {path: world.records()[path] for path in before} == before
        assert {name: world.notes()[name] for name in noted} == noted
    before, noted = world.records(), world.notes()
    done = world.run(*whole)
    assert done.returncode == 0, done.stderr[-3000:]
    assert {path: world.records()[path] for path in before} == before
    assert {name: world.notes()[name] for name in noted} == noted
    check_report(world, done.stdout)

    # Nothing is left to do: only the report is made again, of the same runs.
    again = world.run(*whole, "--plan")
    assert again.returncode == 0 and "to do: 0 of" in again.stdout


def check_report(world: World, output: str) -> None:
    """Check the command's end: all steps, a page that names what is partial, records that verify."""
    report = world.folder / "out/report"
    assert f"open {report.relative_to(world.folder)}/report.html" in output
    content = json.loads((report / "paper.json").read_text())
    assert len(content["steps"]) == len(world.notes()) and {step["state"] for step in content["steps"]} == {"done"}
    page = (report / "report.html").read_text()
    assert "1.0-partial" in page and "890-430 volleyball-basketball 4 instead of 123" in page
    assert "17 oil painting 22 instead of 860" in page
    for name in ("figure-2b", "figure-4", "figure-5a", "figure-5b", "figure-6b", "figure-H", "figure-J", "figure-L"):
        assert (report / "figures" / f"{name}.svg").is_file(), name
    for name in ("table-A", "table-B"):
        assert (report / "figures" / f"{name}.tex").is_file(), name
    editors = {record.read(path).editor.name for path in world.folder.joinpath("out/runs").rglob("record.json")}
    assert len(editors) == 12
    assert len([*report.glob("submissions/*/SHA256SUMS")]) >= len(editors)
