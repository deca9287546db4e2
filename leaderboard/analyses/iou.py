"""Specificity of masks: intersection over union of the units picked for two editing samples (Figs. 6 and I)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from benchmark.core.errors import UserError
from benchmark.models.vit import edits_that_fit
from editors.core.base import seed_everything
from editors.core.masks import MaskingEditor, keep_top
from editors.core.registry import ChosenEditor
from leaderboard.judging.batches import training_pool
from leaderboard.judging.judge import Judge
from leaderboard.judging.sampling import Settings, chosen_samples, edit_seed
from leaderboard.records.sections import Score
from leaderboard.scores.resampling import resample_groups
from leaderboard.scores.shares import ratio
from leaderboard.scores.summary import with_interval


@dataclass(frozen=True)
class Overlap:
    """Mask overlap of one editor, named with the files it was made from.

    matrix: mean IoU (groups, groups) over pairs of samples; NaN where there is no pair.
    means: ``within`` and ``across`` groups, the mean of the diagonal and of what lies off it, and their
        ``difference``, with 95 % intervals over groups (`resample_groups`). Groups whose samples bear several
        labels, such as a style, hold no one failure and are left out.
    subsets: of each group.
    examples: six samples or fewer, two drawings of each of the first three groups of one label, and
    of_examples: the IoU of each two of them (Fig. 6b).
    """

    editor: str
    groups: list[str]
    matrix: np.ndarray
    means: dict[str, Score]
    subsets: list[str] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)
    of_examples: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))


def overlap(
    chosen_editor: ChosenEditor, judge: Judge, sparsity: float, settings: Settings, progress: bool = True
) -> Overlap:
    """Masks at this sparsity for every editing sample that `settings` choose, and their overlap.

    Raises `UserError` for an editor that masks no units.
    """
    if not issubclass(chosen_editor.editor_class, MaskingEditor):
        raise UserError(f"{chosen_editor.name} masks no units; give editors that do, such as random-mask")
    chosen_editor = chosen_editor.at_knob(sparsity)
    editor = chosen_editor.make()
    assert isinstance(editor, MaskingEditor)
    seed_everything(settings.seed)
    editor.fit(judge.base.module, training_pool(judge))
    rows = chosen_samples(judge.benchmark, settings)
    values = pairwise(masks(editor, judge, rows, settings.seed, progress))
    samples = judge.benchmark.edit.take(rows)
    by_group = samples.table.groupby("group_id", sort=False)
    codes, drawings = by_group.ngroup().to_numpy(), pd.factorize(samples.drawings)[0]
    pairs = (drawings[:, None] != drawings).astype(np.float32)
    matrix = group_means(values, pairs, codes, np.ones((1, len(rows)), np.float32))
    counted = by_group["label"].nunique().to_numpy() == 1
    has_pair = ~np.isnan(np.diagonal(matrix[0]))

    inside = [np.flatnonzero(codes == group) for group in range(len(counted))]
    chosen, drawn = resample_groups(
        list(zip(by_group["subset"].first(), counted, has_pair, strict=True)),
        [pd.factorize(drawings[rows])[0] for rows in inside],
        [np.ones(len(rows), bool) for rows in inside],
        np.random.default_rng(settings.seed),
    )
    weights = np.zeros((len(chosen), len(codes)), np.float32)
    for rows, sample_weights in zip(inside, drawn, strict=True):
        weights[:, rows] = sample_weights
    spread = within_and_across(group_means(values, pairs, codes, weights), chosen * counted)
    means = {}
    for name, point in within_and_across(matrix, counted[None]).items():
        means[name] = with_interval(float(point[0]), spread[name])
    examples = _examples(samples.table["group"], codes, drawings, counted)
    files = [value.stem for value in vars(chosen_editor.config).values() if isinstance(value, Path)]
    return Overlap(
        " ".join([chosen_editor.name, *files]),
        by_group["group"].first().to_list(),
        matrix[0],
        means,
        by_group["subset"].first().to_list(),
        list(examples.values()),
        values[np.ix_([*examples], [*examples])],
    )


def _examples(groups: pd.Series, codes: np.ndarray, drawings: np.ndarray, counted: np.ndarray) -> dict[int, str]:
    """Rows and names of two samples of different drawings of each of three groups, as far as there are any."""
    rows: dict[int, str] = {}
    for code in np.flatnonzero(counted):
        inside = np.flatnonzero(codes == code)
        _, first = np.unique(drawings[inside], return_index=True)
        if len(first) > 1 and len(rows) < 6:
            rows |= {
                int(inside[n]): f"{groups.iloc[inside[n]]} {word}"
                for word, n in zip("ab", np.sort(first), strict=False)
            }
    return rows


@torch.no_grad()
def masks(editor: MaskingEditor, judge: Judge, rows: np.ndarray, seed: int, progress: bool = True) -> np.ndarray:
    """The units this editor keeps for each of these editing samples alone, bool (len(rows), layers * N_m)."""
    base, samples = judge.base, judge.benchmark.edit
    step, batches = edits_that_fit(base.module, base.device), []
    with tqdm(total=len(rows), unit="mask", desc="masks", disable=not progress, leave=False) as bar:
        for start in range(0, len(rows), step):
            batch = rows[start : start + step]
            images = samples.images(base.preprocessing, batch.tolist())[:, None]
            images = images.to(base.device, next(base.module.parameters()).dtype)
            labels = torch.as_tensor(samples.labels[batch], device=base.device)[:, None]
            seeds = [edit_seed(seed, samples.table["sha256"].iloc[row]) for row in batch]
            mask = keep_top(editor.scores(base.module, images, labels, seeds), editor.config.sparsity)
            batches.append(mask.flatten(1).cpu().numpy())
            bar.update(len(batch))
    return np.concatenate(batches)


def pairwise(picked: np.ndarray) -> np.ndarray:
    """IoU (n, n), float32, of boolean masks (n, units); 0 where both are empty."""
    ones = picked.astype(np.float32)
    both = ones @ ones.T
    either = ones.sum(1)[:, None] + ones.sum(1) - both
    shares = np.zeros_like(both)
    np.divide(both, either, out=shares, where=either > 0)
    return shares


def group_means(values: np.ndarray, pairs: np.ndarray, codes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean of `values` (n, n) over the pairs of each two groups, (replicates, groups, groups); NaN where none is.

    `pairs` (n, n) is 1 where two samples make a pair: two views of one drawing are nearly one image, and a sample
    is itself, so neither do. `codes` (n,) number the groups; `weights` (replicates, n) say how often each
    sample is drawn.
    """
    inside = [np.flatnonzero(codes == group) for group in range(codes.max() + 1)]
    result = np.full((len(weights), len(inside), len(inside)), np.nan)
    for a, left in enumerate(inside):
        for b, right in enumerate(inside[: a + 1]):
            block = np.ix_(left, right)
            seen = ((weights[:, left] @ pairs[block]) * weights[:, right]).sum(1)
            total = ((weights[:, left] @ (values[block] * pairs[block])) * weights[:, right]).sum(1)
            result[:, a, b] = result[:, b, a] = ratio(total, seen)
    return result


def within_and_across(matrices: np.ndarray, chosen: np.ndarray) -> dict[str, np.ndarray]:
    """Means on and off the diagonal of (replicates, groups, groups), and their difference, each (replicates,).

    `chosen` (replicates, groups) says how often each group counts; cells that are NaN do not.
    """
    diagonal = np.eye(matrices.shape[1], dtype=bool)
    within = _mean(matrices, diagonal * chosen[:, None])
    across = _mean(matrices, ~diagonal * chosen[:, None] * chosen[:, :, None])
    return {"within": within, "across": across, "difference": within - across}


def _mean(matrices: np.ndarray, weights: np.ndarray) -> np.ndarray:
    weights = np.where(np.isnan(matrices), 0, weights)
    return ratio((np.nan_to_num(matrices) * weights).sum((1, 2)), weights.sum((1, 2)))
