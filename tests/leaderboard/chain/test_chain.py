"""The whole chain, from loopback to the report: what cannot be had, kills at three places, and the same command again."""

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

from tests.file_server import Answer, FileServer, serving_files
from tests.hub_server import HubServer, serving
from tests.leaderboard.chain import stand_in

PAGE = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>Sign in to go on</body></html>"
STEPS = 24


@dataclass
class World:
    """The servers, and the folder in which the command runs."""

    files: FileServer
    hub: HubServer
    folder: Path
    archives: dict[str, bytes]

    def start(self, *words: str) -> subprocess.Popen[str]:
        module = ["-m", "tests.leaderboard.chain.stand_in", self.files.url(""), str(self.folder / "steps.yaml")]
        return subprocess.Popen(
            [sys.executable, *module, *words, "--device", "cpu", "--out", "out"],
            cwd=self.folder, env=self.hub.environment(self.folder, HF_TOKEN="hf_loopback"),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*words)
        output, errors = process.communicate(timeout=400)
        return subprocess.CompletedProcess(words, process.returncode, output, errors)

    @property
    def notes(self) -> dict[str, dict]:
        """The notes of finished steps, by the step's name."""
        notes = [json.loads(path.read_text()) for path in (self.folder / "out/steps").glob("*.json")]
        return {note["step"]: note for note in notes}
