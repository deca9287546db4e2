"""Two hundred mutants, the same in every run; `make fuzz` runs three thousand."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.fuzz.cases import find_problem, run, run_case, write_seeds
from tests.fuzz.seeds import SEEDS

COUNT = 200

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the children are forked, and read /proc")


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_seeds(tmp_path_factory.mktemp("fuzz") / "seeds")


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: seed.name)
def test_the_seeds_themselves_are_read(seed, templates: Path) -> None:
    code, printed, errors = run(seed, templates / seed.name)
    assert (code, find_problem(templates / seed.name, code, errors)) == (0, ""), printed + errors


def test_mutants_end_with_0_or_with_2_and_one_line(templates: Path, tmp_path: Path) -> None:
    results = [run_case(templates, number, 0, tmp_path / "case") for number in range(COUNT)]
    assert [f"case {number}: {r.title}: {r.problem}" for number, r in enumerate(results) if r.problem] == []
    endings = {result.ending for result in results}
    assert endings == {"exit 0", "exit 2"}, "mutants that all pass, or all fail, would say nothing"
