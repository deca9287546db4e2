"""Scoring, tuning, analyses and tables, on noise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.survival.cases.inputs import command, model
from tests.survival.server import Case

ON_NOISE = "--base in/base --data in/noise"


def _noise() -> None:
    """A benchmark of noise with three groups, and a base."""
    from tests.conftest import rows_of, write_split

    model("in/base")
    groups = {("1-2", "pairs"): 2, ("3-4", "pairs"): 2, ("line", "line_drawing"): 2}
    write_split(Path("in/noise/data"), "edit", rows_of(groups, seed=1))
    write_split(Path("in/noise/data"), "locality", rows_of({(None, "locality"): 6}, seed=2))
    write_split(Path("in/noise/data"), "train", rows_of({(None, "train"): 4}, seed=3))


def _submit(words: str) -> Callable[[], None]:
    """One edit a part; in this process, since a second one takes seconds to begin, and writes nothing."""

    def run() -> None:
        from leaderboard.judging import evaluate

        evaluate.edits_at_once = lambda *_: 1
        command(f"leaderboard.submit {words} {ON_NOISE} --in-process --out out")()

    return run


def _tune() -> None:
    from leaderboard import tune

    tune.Border = lambda *_: None
    command(f"leaderboard.tune ft {ON_NOISE} --limit 1 --rates 0.01 --out out")()


def _analyse(words: str) -> Callable[[], None]:
    def run() -> None:
        from leaderboard import analyse

        analyse.Border = lambda *_: None
        command(f"leaderboard.analyse {words}")()

    return run


def _ablation() -> None:
    """Two networks of two iterations each, from one bank of two pairs."""
    from dataclasses import replace

    from editors.methods.hypernetwork import recipe, studies

    recipe.PRESETS["released"] = recipe.HypernetworkRecipe(inner_steps=1, outer_steps=1, steps_a_batch=1, batch_size=2)
    studies.STUDIES["blocks"] = replace(studies.STUDIES["blocks"], values=(1, 2))
    words = "--editor hypernetwork:max_steps=1 --bank-size 2 --iterations 2 --sparsities 0.5"
    _analyse(f"ablation --what blocks {words} --images in/noise {ON_NOISE} --limit 1 --out out")()


def _two_runs() -> None:
    _noise()
    _submit("ft:lr=0.01,max_steps=2 random-mask:lr=0.01,max_steps=2")()


CASES = (
    Case("submit", _noise, _submit("ft:lr=0.01,max_steps=2 --limit 2 --as handed"), repeats=170),
    Case("tune", _noise, _tune, repeats=110),
    Case("layers", _noise, _analyse(f"layers {ON_NOISE} --limit 1 --out out")),
    Case("iou", _noise, _analyse(f"iou random-mask {ON_NOISE} --limit 2 --out out")),
    Case("ablation", _noise, _ablation, repeats=130),
    Case("curve", _two_runs, _analyse("curve out --out curve")),
    Case("swaps", _two_runs, _analyse("swaps out --out swaps")),
    Case("site", _two_runs, command("leaderboard.site out --data in/noise --out site")),
    Case("tables", _two_runs, command("leaderboard.tables out --out table.tex")),
    Case("figures", _two_runs, command("leaderboard.figures all out --out figures")),
)
