"""docs/speed.md shows what its commands wrote, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

from leaderboard.measures.speed_table import COMPARISONS, commands, markdown

ROOT = Path(__file__).parents[3]


def test_the_tables_in_the_docs_are_those_of_the_committed_numbers() -> None:
    assert markdown(ROOT / "docs" / "speed") in (ROOT / "docs" / "speed.md").read_text(encoding="utf-8")


def test_a_table_holds_the_numbers_of_both_devices(tmp_path: Path) -> None:
    speed = {"ours": {"median": 2.0}, "plain": {"median": 13.0}, "ours_flops": 1.0, "plain_flops": 6.6}
    score = {"device": "a processor", "speed": speed, "long": {"median": 2.4}}
    (tmp_path / "score-vits16-cpu.json").write_text(json.dumps(score))
    (tmp_path / "edit-mini-cuda.json").write_text(json.dumps({"device": "a GPU", "speed": speed}))
    tally = {"again": 41, "images": 1000}
    passes = {"device": "a GPU", "tally": tally, "flips": 0, "edits": 6, "images": 1000}
    passes["times"] = [{"median": 3.3}, {"median": 1.0}]
    (tmp_path / "two-pass-vitb16-cuda.json").write_text(json.dumps(passes))
    lines = markdown(tmp_path).splitlines()
    assert lines[0] == "cpu: a processor; cuda: a GPU"
    assert "| `leaderboard.bench --base vits16` | 13 s | 2 s | 6.50x | 6.6x | 1.20x | - | - | - |" in lines
    assert "| `editors.bench --base mini` | - | - | - | - | - | 13 s | 2 s | 6.50x |" in lines
    assert "| `leaderboard.bench two-pass --base vitb16` | - | - | 4.1% | 0 of 6,000 | 3.3x |" in lines


def test_each_command_is_run_on_the_device_and_keeps_its_numbers() -> None:
    lines = commands("cuda", Path("docs/speed"))
    assert len(lines) == len(set(lines)) > len(COMPARISONS)
    assert all(line.endswith(" --device cuda --json docs/speed") for line in lines)
