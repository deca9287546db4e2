"""Check what every editor must keep to: the base unchanged, same seed same edit, and more."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import tyro

from benchmark.core import options
from benchmark.core.cli import run
from benchmark.core.devices import pick
from benchmark.core.errors import UserError
from benchmark.data import dataset
from benchmark.models.load import load_base
from benchmark.models.names import split_spec
from editors.core.registry import ChosenEditor, expand
from leaderboard.judging.batches import training_pool
from leaderboard.judging.border import Border, EditorBehindBorder
from leaderboard.judging.judge import Judge
from leaderboard.judging.sampling import Settings
from leaderboard.judging.trial import WHOLE, trial_batch, try_wholly

WORDS = {True: "passes", False: "FAILS", None: "?"}


def main(
    editors: Annotated[tuple[str, ...], tyro.conf.Positional],
    base: options.Base = "mini",
    data: options.Data = "mini",
    seed: options.Seed = 0,
    images: options.OptionalImages = None,
    device: options.Device = "auto",
) -> None:
    """Let editors edit four samples in several ways, in two processes, and print what they keep to, a line each.

    A line passes, fails with its reason, or says why it cannot be told (?). Where one fails, the exit code is 2.
    leaderboard.submit makes the same checks in short before every run, and their outcome is part of the record.

    Args:
        editors: Editors to check, one or more; all means every one of this project.
    """
    if not editors:
        raise UserError("which editor? for example: python -m leaderboard.check my_editor.py:MyEditor")
    border, base_name = Border(dataset.scored_files(data)), split_spec(base)[0]
    chosen_editors = [border.choose(spec, base_name) for spec in expand(editors)]
    benchmark = dataset.load(data)
    judge = Judge(load_base(base, device=pick(device)), replace(benchmark, train=images or benchmark.train))
    failed = [
        f"{chosen_editor.name} fails {', '.join(names)}"
        for chosen_editor in chosen_editors
        if (names := _check(chosen_editor, border, judge, Settings(seed)))
    ]
    if failed:
        raise UserError("; ".join(failed))


def _check(chosen_editor: ChosenEditor, border: Border, judge: Judge, settings: Settings) -> list[str]:
    """Print the checks of one editor; the names of those that failed."""

    def start() -> EditorBehindBorder:
        editor = border.open(chosen_editor, judge.base)
        editor.fit(training_pool(judge), settings.seed)
        return editor

    checks = try_wholly(start, judge, trial_batch(judge, settings, WHOLE))
    print(f"{chosen_editor.spec} on {judge.base.name}")
    width = max(len(check.name) for check in checks)
    for check in checks:
        print(f"  {WORDS[check.passed]:<6}  {check.name:<{width}}  {check.reason}".rstrip())
    return [check.name for check in checks if check.passed is False]


if __name__ == "__main__":
    run(main)
