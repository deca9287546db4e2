"""The workflow for pull requests: its rights, and the one folder that it verifies."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from leaderboard import verify
from tests.hub_server import ROOT
from tests.test_options import walk

FILE = ROOT / ".github" / "workflows" / "submission.yml"
WORKFLOW = yaml.safe_load(FILE.read_text(encoding="utf-8"))
STEPS = {step["name"]: step for step in WORKFLOW["jobs"]["verify"]["steps"]}
pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="runs what the workflow's machine runs")


def test_it_reads_and_has_no_secrets() -> None:
    text = FILE.read_text(encoding="utf-8")
    assert set(WORKFLOW[True]) == {"pull_request"}, "YAML takes `on` for True; pull_request_target would have secrets"
    assert WORKFLOW["permissions"] == {"contents": "read"} and "permissions" not in WORKFLOW["jobs"]["verify"]
    assert "secrets" not in text.replace("no secrets", "") and "token" not in text.lower()
    checkouts = [step["with"] for step in STEPS.values() if step.get("uses", "").startswith("actions/checkout")]
    assert [each["persist-credentials"] for each in checkouts] == [False, False]
    assert "ref" in checkouts[0] and "path" not in checkouts[0], "the code that runs is the target branch's"
    assert not [step for step in STEPS.values() if "${{" in step.get("run", "")], "no name becomes code"


def test_its_command_is_one_of_ours() -> None:
    words = STEPS["Verify"]["run"].split()
    ours = {option.name for option in walk() if option.command == "leaderboard.verify"}
    assert {word for word in words if word.startswith("--")} <= ours and verify.__name__ in words
    assert "--trust-code" not in words


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *identity, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def proposed(folder: Path, change: Callable[[Path], object]) -> subprocess.CompletedProcess[str]:
    """Run the step that finds the folder on a pull request that makes this change."""
    clone = folder / "proposed"
    (clone / "leaderboard" / "results" / "old").mkdir(parents=True)
    (clone / "leaderboard" / "results" / "old" / "record.json").write_text("{}")
    (clone / "README.md").write_text("a")
    git(clone, "init", "-q")
    git(clone, "add", "-A")
    git(clone, "commit", "-qm", "base")
    base = git(clone, "rev-parse", "HEAD")
    change(clone)
    git(clone, "add", "-A")
    git(clone, "commit", "-qm", "submission")
    environment = {"PATH": "/usr/bin:/bin:/usr/local/bin", "BASE": base, "GITHUB_OUTPUT": str(folder / "output")}
    words = ["bash", "-e", "-o", "pipefail", "-c", STEPS["Find the one folder that it adds"]["run"]]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def add(*names: str) -> Callable[[Path], None]:
    def change(clone: Path) -> None:
        for name in names:
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            (clone / name).write_text("new")

    return change


NEW = "leaderboard/results/my-editor"


def test_the_one_folder_is_named(tmp_path: Path) -> None:
    done = proposed(tmp_path, add(f"{NEW}/record.json", f"{NEW}/source/a b.py", f"{NEW}/files/w.safetensors"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "output").read_text() == f"folder={NEW}\n"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (add(f"{NEW}/a", "README.md"), "adds files, and changes or removes none"),
        (lambda clone: (clone / "README.md").unlink(), "adds files, and changes or removes none"),
        (lambda clone: (clone / "README.md").rename(clone / "leaderboard/results/x"), "changes or removes none"),
        (add(f"{NEW}/a", "leaderboard/verify.py"), "one folder below leaderboard/results"),
        (add("leaderboard/results/file"), "one folder below leaderboard/results"),
        (add("leaderboard/results/$(touch x)/a"), "of a plain name"),
        (add("leaderboard/results/a;b/a"), "of a plain name"),
        (add("leaderboard/results/ü/a"), "of a plain name"),
        (add(f"{NEW}/a\nb"), "of a plain name"),
        (add(f"{NEW}/a", "leaderboard/results/another/a"), "adds one folder, and this adds: another my-editor"),
        (add("leaderboard/results/old/more"), "old is there already"),
        (add(f"{NEW}/a", f"{NEW}/verification.json"), "verification.json is written by who reviews"),
        (add(f"{NEW}/a", f"{NEW}/b/verification.json"), "verification.json is written by who reviews"),
    ],
)
def test_what_adds_anything_else_is_refused(change: Callable[[Path], object], reason: str, tmp_path: Path) -> None:
    done = proposed(tmp_path, change)
    assert done.returncode == 2 and re.search(reason, done.stdout), done.stdout + done.stderr
    assert not (tmp_path / "output").exists()
