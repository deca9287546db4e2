"""The commands, each as small as it can be: some pictures, a model of three blocks, few edits."""

from __future__ import annotations

from tests.survival.cases import benchmark, editors, generation, leaderboard, mad
from tests.survival.server import Case

CASES: dict[str, Case] = {
    case.name: case for package in (leaderboard, mad, benchmark, editors, generation) for case in package.CASES
}
