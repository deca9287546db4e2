"""Choose learning rates and knobs for a base model, on dev groups only.

Writes OUT/settings.json, which ``leaderboard.submit --settings`` takes, and OUT/tuned/BASE-EDITOR.json, the table of
all trials. ``--out editors/core`` in a checkout changes what is shipped. Nothing here ever sees a scored sample.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from benchmark.core import options
from benchmark.core.cli import run
from benchmark.core.code import hash_sources
from benchmark.core.devices import pick
from benchmark.core.errors import UserError
from benchmark.core.files import cannot_write, write_text
from benchmark.core.locks import locked
from benchmark.core.ranges import Positive
from benchmark.core.readers import read_json
from benchmark.core.staging import discard
from benchmark.core.stopping import going_on
from benchmark.core.versions import library_versions
from benchmark.core.workdir import LOCK
from benchmark.data import dataset
from benchmark.data.packaged import EMBEDDED
from benchmark.models.load import load_base
from editors.core.base import knob_of
from editors.core.registry import SETTINGS, ChosenEditor, choose
from leaderboard.judging.border import Border
from leaderboard.judging.evaluate import evaluate
from leaderboard.judging.judge import Judge
from leaderboard.judging.run_spec import slug
from leaderboard.judging.sampling import Settings

LEARNING_RATES = (2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2)
TRIALS = "trials"  # in OUT, as long as it works
ENOUGH = 0.95  # of the best success rate: "most methods reach nearly 100 %" (paper, 4.2)
COARSE, CLOSE = 4.0, 2.6  # factors between learning rates: at first, and around the best in the end


def choose_settings(
    name: str,
    judge: Judge,
    settings: Settings,
    scratch: Path,
    rates: Sequence[float] = LEARNING_RATES,
    border: Border | None = None,
    refine: bool = False,
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """The learning rate, then the knob's default at that rate, with the best (GR + LR) / 2 on the dev groups.

    Only settings that reach 95 % of the best success rate among those tried are candidates. An earlier choice plays no
    part: both begin at the editor's own defaults, and the scores compared are not rounded. Returns the chosen values
    and a row for each trial. Behind a `border` the editor works in another process. `scratch` gets the runs of the
    trials, from which a stopped choice goes on. With `refine` more are tried: see `next_rates`, `next_knobs`.

    Raises `UserError` where no edit succeeds at any value: the best would be the one that changes least.
    """
    chosen_editor = (border.choose if border else choose)(name, judge.base.name)
    written = {field: getattr(chosen_editor.config, field) for field in chosen_editor.written}
    chosen_editor = replace(chosen_editor, config=chosen_editor.editor_class.Config(**written))
    scratch = scratch / f"{slug(name)}-{_hash(hash_sources(chosen_editor.sources))}"
    trials: list[dict[str, Any]] = []
    chosen: dict[str, float] = {}
    steps: list[tuple[str, Sequence[float]]] = []
    if hasattr(chosen_editor.config, "lr"):
        steps.append(("lr", rates))
    knob = knob_of(chosen_editor.config)
    if knob is not None:
        steps.append(knob)
    for field, values in steps:
        rows: list[dict[str, Any]] = []
        while values:
            rows += [_try(chosen_editor, field, value, judge, settings, scratch, border) for value in values]
            chosen[field] = _best(rows, name, field)
            done = [row["config"][field] for row in rows]
            proposed = (next_rates if field == "lr" else next_knobs)(done, chosen[field]) if refine else []
            values = [value for value in proposed if value not in done and _is_allowed(chosen_editor, field, value)]
        trials.extend(rows)
        chosen_editor = replace(chosen_editor, config=replace(chosen_editor.config, **{field: chosen[field]}))
    return chosen, trials


def _best(rows: Sequence[Mapping[str, Any]], name: str, field: str) -> float:
    """The best value of a field among its trials (see `choose_settings`). Raises `UserError` if no edit succeeds."""
    enough = ENOUGH * max(row["SR"] for row in rows)
    if not enough:
        shown = ", ".join(f"{row['config'][field]:g}" for row in rows)
        raise UserError(f"{name}: no edit succeeds at any {field} of {shown}, so none is best; try other --rates")
    best = max((row for row in rows if row["SR"] >= enough), key=lambda row: row["GR"] + row["LR"])
    value: float = best["config"][field]
    return value


def next_rates(tried: Sequence[float], best: float) -> list[float]:
    """The learning rates to try next, so that the best is at no end and has neighbours within a factor of `CLOSE`.

    Beyond an end by the factor between the two values there; between neighbours their geometric mean.
    """
    rates = sorted(tried)
    at = rates.index(best)
    if len(rates) == 1:
        return [_rounded(best / COARSE), _rounded(best * COARSE)]
    if at == 0:
        return [_rounded(best**2 / rates[1])]
    if at == len(rates) - 1:
        return [_rounded(best**2 / rates[-2])]
    neighbours = [rate for rate in (rates[at - 1], rates[at + 1]) if max(rate / best, best / rate) > CLOSE]
    return [_rounded(math.sqrt(rate * best)) for rate in neighbours]


def next_knobs(tried: Sequence[float], best: float) -> list[float]:
    """The value to try next if the best is at an end: a step further, which is to the last as that to the one before.

    >>> next_knobs([0.25, 0.5, 0.75, 0.9, 0.95], 0.95), next_knobs([8, 16, 32], 32), next_knobs([1, 2, 4], 2)
    ([0.967], [64], [])
    """
    values = sorted(tried)
    if len(values) < 3 or best not in (values[0], values[-1]):
        return []
    end, beside, inner = values[:3] if best == values[0] else values[:-4:-1]
    further = end + (end - beside) * (end - beside) / (beside - inner)
    return [round(further) if isinstance(end, int) else float(f"{further:.3g}")]


def _is_allowed(chosen_editor: ChosenEditor, field: str, value: float) -> bool:
    """Return whether an editor takes this value of a field: beyond an end there may be none."""
    try:
        replace(chosen_editor, config=replace(chosen_editor.config, **{field: value}))
    except UserError:
        return False
    return True


def _rounded(rate: float) -> float:
    return float(f"{rate:.2g}")


def _try(
    chosen_editor: ChosenEditor,
    field: str,
    value: float,
    judge: Judge,
    settings: Settings,
    scratch: Path,
    border: Border | None,
) -> dict[str, Any]:
    """One setting on the dev groups: its config, SR, GR and LR."""
    trial = replace(chosen_editor, config=replace(chosen_editor.config, **{field: value}))
    folder = scratch / f"{field}={value}-{_hash(asdict(trial.config))}"
    scores = evaluate(trial, judge, settings, folder, border=border).scores
    locality = scores["lr"] if scores["lr"].value is not None else scores["lr_agreement"]  # D_l without labels
    shown = {"SR": scores["sr"], "GR": scores["gr"], "LR": locality}
    row = {name: score.value or 0.0 for name, score in shown.items()}
    print(
        f"{chosen_editor.name} {field}={value}: " + "  ".join(f"{name} {rate:.1%}" for name, rate in row.items()),
        flush=True,
    )
    return {"editor": chosen_editor.name, "config": asdict(trial.config), **row}


def _hash(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, default=str, sort_keys=True).encode()).hexdigest()[:16]


def main(
    editors: Annotated[tuple[str, ...], tyro.conf.Positional] = ("ft", "ft-l1", "ft-l2", "random-mask"),
    base: options.Base = "mini",
    data: options.Data = "mini-dev",
    limit: options.Limit = 96,
    seed: options.Seed = 0,
    rates: tuple[Positive, ...] = LEARNING_RATES,
    refine: bool = False,
    device: options.Device = "auto",
    out: options.Out = Path("out/tuned"),
) -> None:
    """Choose learning rates and knobs of editors for a base, on dev groups, and print each as a spec.

    --data must be what is never scored, so not mini. --limit draws samples to edit, spread over the dev groups. OUT
    gets settings.json, which keeps what it has of other bases and editors, and tuned/BASE-EDITOR.json with all that was
    tried.

    Args:
        editors: Editors to choose for.
        rates: Learning rates to try; where the best is the first or the last of them, try more.
        refine: Try more learning rates and knobs until the best is at no end, and rates between it and its neighbours.
    """
    if not rates:
        raise UserError("--rates needs one learning rate or more; leave it out to try the usual ones")
    benchmark = dataset.load(data)
    if benchmark.source in EMBEDDED and EMBEDDED[benchmark.source].is_scored:  # by whatever name
        raise UserError(f"{benchmark.source} is what is scored; settings are chosen on {benchmark.source}-dev")
    judge = Judge(load_base(base, device=pick(device)), benchmark)
    with cannot_write(out):
        out.mkdir(parents=True, exist_ok=True)
    how = f"the same command goes on with the trials in {out / TRIALS}"
    with locked(out / LOCK, out, "wait for it to end, or name another --out"), going_on(lambda: how):
        _tune(editors, judge, Settings(seed, limit), rates, out, refine)
    print(f"{out / SETTINGS.name}: these settings; {out / 'tuned'}: all trials")
    names = " ".join(editors)
    print(f"to use them: python -m leaderboard.submit {names} --base {base} --settings {out / SETTINGS.name}")


def _tune(
    editors: Sequence[str], judge: Judge, settings: Settings, rates: Sequence[float], out: Path, refine: bool
) -> None:
    """Choose settings for each editor and write them; the runs of all trials are kept until the last one's."""
    source = judge.benchmark.source
    border = Border(dataset.scored_files(source))
    path, base_name = out / SETTINGS.name, judge.base.name
    known = read_json(path, fix="name another --out, or delete it") if path.is_file() else {}
    shared = {"identity": judge.base.identity, "data": judge.benchmark.fingerprint, **asdict(settings)}
    shared |= {"libraries": library_versions(), "code": hash_sources([Path(__file__)])}
    scratch = out / TRIALS / _hash(shared)
    for name in editors:
        chosen, trials = choose_settings(name, judge, settings, scratch, rates, border, refine)
        known.setdefault(base_name, {})[name] = chosen
        write_text(path, json.dumps(known, indent=2) + "\n")
        log = out / "tuned" / f"{slug(base_name)}-{slug(name)}.json"
        fields = {
            "data": source,
            "fingerprint": judge.benchmark.fingerprint,
            "base": judge.base.weights_sha256,
            "limit": settings.limit,
            "seed": settings.seed,
            "chosen": chosen,
            "tried": trials,
        }
        write_text(log, json.dumps(fields, indent=1) + "\n")
        print(f"{base_name}: {name}:{','.join(f'{key}={value}' for key, value in chosen.items())}".rstrip(":"))
    discard(out / TRIALS)


if __name__ == "__main__":
    run(main)
