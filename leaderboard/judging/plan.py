"""The runs that a command will make, looked for on disk before the first edit: done, to be gone on with, or new."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from benchmark.core.files import cannot_write
from benchmark.core.readers import Unreadable, read_json
from benchmark.core.workdir import holds
from benchmark.models.vit import edits_at_once
from editors.core.registry import ChosenEditor
from leaderboard.judging.judge import Judge
from leaderboard.judging.run_spec import FACTS, RUN, RunSpec, own_folder, slug
from leaderboard.judging.sampling import Settings, chosen_samples
from leaderboard.records import outcomes


class _LearnsNothing:
    """An editor before it is made, for a run's spec: most learn nothing, and what others learn is not known."""

    def state_dict(self) -> dict[str, Tensor]:
        """Nothing."""
        return {}

    def provenance(self) -> dict[str, str]:
        """Nothing."""
        return {}


def planned(
    chosen_editors: Sequence[ChosenEditor], judge: Judge, settings: Settings, out: Path, in_process: bool = True
) -> str:
    """The state of these runs in `out`, in a line: "2 are done, 1 goes on with 30 of 54 edits, 1 is new".

    An editor that learns first may learn something else than it did, and is new then. Raises `UserError` where a run
    could not be written, or a folder of its name holds something else.
    """
    with cannot_write(out):
        out.mkdir(parents=True, exist_ok=True)
    batch = settings.edit_batch or edits_at_once(judge.base.module, judge.base.device)
    total = len(chosen_samples(judge.benchmark, settings))
    states: Counter[str] = Counter()
    for chosen_editor in chosen_editors:
        run_spec = RunSpec.of(chosen_editor, _LearnsNothing(), judge, settings, batch, in_process)
        folder = own_folder(out, run_spec)
        holds(folder, RUN, run_spec.note)
        begun = _begun(out, run_spec)
        if any((run / "record.json").is_file() for run in begun):
            states["done"] += 1
        elif done := max(map(outcomes.count_edits, begun), default=0):
            states[f"goes on with {done:,} of {total:,} edits"] += 1
        else:
            states["new"] += 1
    return ", ".join(_in_words(state, count) for state, count in states.items())


def _begun(out: Path, run_spec: RunSpec) -> list[Path]:
    """Folders below `out` with a run of this spec, whatever its editor learned."""
    expected = _without_learned(json.loads(json.dumps(run_spec.fields)))  # as it is read back
    begun = []
    for note in out.glob(f"{slug(run_spec.editor.spec)}-*/{RUN.note}"):
        with contextlib.suppress(Unreadable):  # damaged, and so nobody's to go on with
            if _without_learned(read_json(note).get(FACTS, {})) == expected:
                begun.append(note.parent)
    return begun


def _without_learned(fields: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if name != "learned"}


def _in_words(state: str, count: int) -> str:
    if state.startswith("goes"):
        return f"{count} {state if count == 1 else state.replace('goes', 'go', 1)}"
    return f"{count} {'is' if count == 1 else 'are'} {state}"
