"""Ablations: training with one field of the recipe changed (Figs. J-N), or several editing samples (Fig. 5b)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tqdm.auto import tqdm

from benchmark.core.errors import UserError, unknown
from benchmark.images.source import ImageSource
from editors.core.registry import ChosenEditor
from editors.training.pretrained import PretrainedEditor
from editors.training.studies import Study, StudyOptions
from leaderboard.judging.border import Border
from leaderboard.judging.evaluate import evaluate
from leaderboard.judging.judge import Judge
from leaderboard.judging.run_spec import own_folder
from leaderboard.judging.sampling import Settings, chosen_samples, with_partners
from leaderboard.records import outcomes
from leaderboard.records.outcomes import Outcomes
from leaderboard.records.record import Record
from leaderboard.scores import metrics
from leaderboard.scores.curves import Line, line
from leaderboard.scores.summary import score_sections

SAMPLES = (1, 2, 3)
SAMPLES_TITLE = "editing samples of one failure (Fig. 5b)"


def find_study(chosen_editor: ChosenEditor, name: str) -> Study:
    """The study `name` of an editor's training. Raises `UserError` for an editor that has none, or no such one."""
    studies = chosen_editor.editor_class.studies() if issubclass(chosen_editor.editor_class, PretrainedEditor) else {}
    if not studies:
        raise UserError(f"{chosen_editor.name} takes no trained network to study; leave --editor out, or vary samples")
    if name not in studies:
        raise unknown("study", name, [*studies, "samples"])
    return studies[name]


def of_recipe(
    name: str,
    chosen_editor: ChosenEditor,
    judge: Judge,
    source: ImageSource,
    options: StudyOptions,
    seeds: Sequence[int],
    sparsities: Sequence[float],
    settings: Settings,
    out: Path,
    border: Border | None = None,
) -> list[Line]:
    """One line a value of the study `name`; the editor gets a network trained for it. What is in `out` is continued.

    Raises `UserError` for an editor whose training has no such study.
    """
    study, arms = find_study(chosen_editor, name), []
    for value in study.values:
        chosen_editors = []
        for seed in seeds:
            checkpoint = study.train(value, judge.base, source, options, seed, out)
            config = replace(chosen_editor.config, checkpoint=checkpoint)
            chosen_editors.append(replace(chosen_editor, config=config, written=(*chosen_editor.written, "checkpoint")))
        arms.append((f"{name} = {value}", chosen_editors, settings))
    return _score(arms, judge, sparsities, out / "runs", border)


def of_samples(
    chosen_editor: ChosenEditor,
    judge: Judge,
    sparsities: Sequence[float],
    settings: Settings,
    out: Path,
    border: Border | None = None,
) -> list[Line]:
    """One line a number of editing samples, with the same editor.

    The runs' own records leave the samples of each edit out of its GR. Here GR is of the same images for every
    number: those that none of a sample's edits saw.
    """
    most = replace(settings, samples_per_edit=max(SAMPLES))
    company = with_partners(judge.benchmark, chosen_samples(judge.benchmark, most), most)
    partners = {row: others for row, *others in company.tolist()}

    arms = [(samples_label(count), [chosen_editor], replace(settings, samples_per_edit=count)) for count in SAMPLES]
    return _score(
        arms, judge, sparsities, out / "runs", border,
        lambda record, folder: on_common_images(record, outcomes.read(folder), partners),
    )  # fmt: skip


def samples_label(count: int) -> str:
    """The name of a line: ``2 samples``."""
    return f"{count} sample{'s' if count > 1 else ''}"


def partners_of(run: Outcomes) -> dict[int, Sequence[int]]:
    """The partners of each edited sample, by its row."""
    return dict(zip(run.edits["sample"], run.edits["partners"], strict=True))


def with_partners_of(run: Outcomes, partners: Mapping[int, Sequence[int]]) -> Outcomes:
    """Outcomes whose GR leaves out also these partners of each sample, which edits on more samples saw."""
    return replace(run, edits=run.edits.assign(partners=run.edits["sample"].map(partners)))


def on_common_images(record: Record, run: Outcomes, partners: Mapping[int, Sequence[int]]) -> Record:
    """The record with its GR over the images that neither its edits saw nor those on more samples, their `partners`."""
    gr = score_sections(metrics.compute_hits(with_partners_of(run, partners)))["gr"]
    return record.model_copy(update={"scores": {**record.scores, "gr": gr}})


def _score(
    arms: Sequence[tuple[str, Sequence[ChosenEditor], Settings]],
    judge: Judge,
    sparsities: Sequence[float],
    out: Path,
    border: Border | None,
    finish: Callable[[Record, Path], Record] = lambda record, folder: record,
) -> list[Line]:
    """Evaluate each arm (label, editors that repeat one another, settings) at every sparsity."""
    lines = []
    with tqdm(
        total=sum(len(chosen_editors) for _, chosen_editors, _ in arms) * len(sparsities), unit="run", desc="runs"
    ) as bar:
        for label, chosen_editors, settings in arms:
            records = []
            runs = out / label.replace(" ", "")
            for chosen_editor in chosen_editors:
                for sparsity in sparsities:
                    at_sparsity = chosen_editor.at_knob(sparsity)
                    record = evaluate(at_sparsity, judge, settings, runs, border=border, below=True)
                    records.append(finish(record, own_folder(runs, record)))
                    bar.update()
            lines.append(line(label, records))
    return lines
