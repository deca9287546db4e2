"""What matters in the method: training with one item changed (Figs. J-N), or several editing samples (Fig. 5b)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tqdm.auto import tqdm

from benchmark.core.errors import UserError
from benchmark.images.source import ImageSource
from editors.core.registry import ChosenEditor
from editors.methods.hypernetwork import fit
from editors.methods.hypernetwork.bank import BankOptions
from editors.methods.hypernetwork.recipe import HypernetworkRecipe
from leaderboard.judging.evaluate import evaluate
from leaderboard.judging.judge import Judge
from leaderboard.judging.sampling import Settings, chosen_samples, with_partners
from leaderboard.records import outcomes
from leaderboard.records.record import Record, Score
from leaderboard.scores import metrics
from leaderboard.scores.curves import Line, line

What = Literal["T", "inner-lr", "lambda", "blocks", "pseudo", "samples"]


@dataclass(frozen=True)
class Study:
    """An item of the recipe and the values it takes; `title` names it and the paper's figure."""

    item: str
    values: tuple[Any, ...]
    title: str


STUDIES = {
    "T": Study("inner_steps", (1, 5, 10), "gradient steps T of the inner loop (Fig. L)"),
    "inner-lr": Study("inner_lr", (1e-4, 1e-3, 1e-2), "learning rate of the inner loop (Fig. M)"),
    "lambda": Study("sparsity_weight", (0.1, 1.0, 10.0), "sparsity weight lambda (Fig. K)"),
    "blocks": Study("blocks", (1, 3, 5), "attention blocks of the hypernetwork (Fig. N)"),
    "pseudo": Study("pseudo", ("cutmix", "pgd"), "pseudo-samples (Fig. J)"),
}
SAMPLES = (1, 2, 3)
TITLES = {
    **{what: study.title for what, study in STUDIES.items()},
    "samples": "editing samples of one failure (Fig. 5b)",
}


@dataclass(frozen=True)
class Training:
    """How each hypernetwork of a study is trained: recipe, images, pairs in the bank, and the seeds of its fits."""

    recipe: HypernetworkRecipe
    pictures: ImageSource
    bank_size: int
    seeds: tuple[int, ...] = (0,)


def of_recipe(
    what: str,
    choice: ChosenEditor,
    judge: Judge,
    training: Training,
    sparsities: Sequence[float],
    settings: Settings,
    out: Path,
) -> list[Line]:
    """One line a value of the item; the editor gets a hypernetwork trained for it. All in `out` is gone on with.

    The decoupled form only: values that leave the targets as they are share one bank. Raises `UserError` for an
    editor that takes no checkpoint.
    """
    if not hasattr(choice.config, "checkpoint"):
        raise UserError(f"{choice.name} takes no trained hypernetwork; leave --editor out, or vary samples")
    study, arms = STUDIES[what], []
    for value in study.values:
        recipe = training.recipe.but(**{study.item: value})
        choices = []
        for seed in training.seeds:
            checkpoint = out / "hypernetworks" / f"{what}={value}-seed={seed}.safetensors"
            _train(judge, replace(training, recipe=recipe), seed, checkpoint, out / "banks")
            config = replace(choice.config, checkpoint=checkpoint)
            choices.append(replace(choice, config=config, written=(*choice.written, "checkpoint")))
        arms.append((f"{what} = {value}", choices, settings))
    return _score(arms, judge, sparsities, out / "runs")


def of_samples(
    choice: ChosenEditor, judge: Judge, sparsities: Sequence[float], settings: Settings, out: Path
) -> list[Line]:
    """One line a number of editing samples, with the same editor.

    The runs' own records leave the samples of each edit out of its GR. Here GR is of the same images for every
    number: those that none of a sample's edits saw.
    """
    most = replace(settings, samples_per_edit=max(SAMPLES))
    company = with_partners(judge.benchmark, chosen_samples(judge.benchmark, most), most)
    partners = {row: others for row, *others in company.tolist()}

    def on_common_images(record: Record, folder: Path) -> Record:
        found = outcomes.read(folder)
        edits = found.edits.assign(partners=found.edits["sample"].map(partners))
        hits = metrics.compute_hits(replace(found, edits=edits))
        low, high = metrics.intervals(hits)["gr"]
        score = Score(value=metrics.scores(hits)["gr"], low=low, high=high)
        return record.model_copy(update={"scores": {**record.scores, "gr": score}})

    arms = [
        (f"{count} sample{'s' if count > 1 else ''}", [choice], replace(settings, samples_per_edit=count))
        for count in SAMPLES
    ]
    return _score(arms, judge, sparsities, out / "runs", on_common_images)


def _train(judge: Judge, training: Training, seed: int, checkpoint: Path, banks: Path) -> None:
    base, recipe, pictures = judge.base, training.recipe, training.pictures
    items = json.dumps({**recipe.target_fields(), "base": base.weights_sha256, "pictures": pictures.signature})
    bank = BankOptions(banks / hashlib.sha256(items.encode()).hexdigest()[:12], training.bank_size)
    fit.train(base, pictures, recipe, bank, checkpoint, seed)


def _score(
    arms: Sequence[tuple[str, Sequence[ChosenEditor], Settings]],
    judge: Judge,
    sparsities: Sequence[float],
    out: Path,
    finish: Callable[[Record, Path], Record] = lambda record, folder: record,
) -> list[Line]:
    """Evaluate each arm (label, editors that repeat one another, settings) at every sparsity."""
    found = []
    with tqdm(total=sum(len(choices) for _, choices, _ in arms) * len(sparsities), unit="run", desc="runs") as bar:
        for label, choices, settings in arms:
            records = []
            for number, choice in enumerate(choices):
                for sparsity in sparsities:
                    at = choice.at_knob(sparsity)
                    folder = out / label.replace(" ", "") / f"{number}-{at.name}-{sparsity:g}"
                    records.append(finish(evaluate(at, judge, settings, folder), folder))
                    bar.update()
            found.append(line(label, records))
    return found
