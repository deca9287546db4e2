"""A record names the commit it was made at, and whether the checkout was changed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from benchmark.core import versions as versions_module
from leaderboard.records import environment


def test_the_commit_is_that_of_the_checkout_and_changes_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    source = tmp_path / "leaderboard" / "records" / "environment.py"
    source.parent.mkdir(parents=True)
    source.write_text("as committed\n")
    monkeypatch.setattr(environment, "__file__", str(source))
    assert environment.commit() == (None, None)

    def git(*words: str) -> str:
        author = ("-c", "user.name=a", "-c", "user.email=a@b")
        done = subprocess.run(["git", *author, *words], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    assert environment.commit() == (git("rev-parse", "HEAD"), False)
    (tmp_path / "out.txt").write_text("not in git")
    assert environment.commit() == (git("rev-parse", "HEAD"), False)
    source.write_text("changed\n")
    assert environment.commit() == (git("rev-parse", "HEAD"), True)


def test_a_library_that_is_not_installed_is_said_to_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = environment.versions()
    import timm
    import torch

    assert (versions["torch"], versions["timm"]) == (torch.__version__.split("+")[0], timm.__version__)
    monkeypatch.setattr(versions_module, "LIBRARIES", ("torch", "no-such-library"))
    assert environment.versions()["no-such-library"] == "missing"
