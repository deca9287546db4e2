"""The samples a run edits, the partners they are edited with, and the seeds of edits."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmark.core.ranges import Count, Positive, SeedNumber, as_option, check_fields
from benchmark.data.dataset import Benchmark, LabelledImages
from benchmark.models.load import BaseModel


@dataclass(frozen=True)
class Settings:
    """Sampling and seeds of a run.

    `limit` and `groups` (ids or names) choose the samples to edit, never the images that an edit is judged on. With
    `samples_per_edit` n above 1, each sample is edited together with n - 1 others of its group. An edit that takes more
    than `edit_timeout` seconds has failed.
    """

    seed: SeedNumber = 0
    limit: Count | None = None
    groups: tuple[str, ...] = ()
    edit_batch: Count | None = None
    samples_per_edit: Count = 1
    edit_timeout: Positive | None = None

    def __post_init__(self) -> None:
        check_fields(self, as_option)


def edited_groups(benchmark: Benchmark, settings: Settings) -> list[str] | None:
    """Ids of the groups whose samples are edited, in the data's order; None for all, however they were named.

    Raises `UserError` for a group that is not there.
    """
    chosen = {benchmark.group(name) for name in settings.groups}
    return [group for group in benchmark.groups if group in chosen] if 0 < len(chosen) < len(benchmark.groups) else None


def chosen_samples(benchmark: Benchmark, settings: Settings) -> np.ndarray:
    """Rows of the samples to edit, in order: all, or a seeded draw of `limit` spread evenly over the groups.

    The draw takes one sample of each group in turn, until there are enough.
    """
    members = {group: benchmark.members(group) for group in edited_groups(benchmark, settings) or benchmark.groups}
    if settings.limit is None:
        return np.concatenate(list(members.values()))
    rng = np.random.default_rng(settings.seed)
    shuffled = [rng.permutation(rows) for rows in members.values()]
    turns = [rows[turn] for turn in range(max(map(len, shuffled))) for rows in shuffled if turn < len(rows)]
    return np.concatenate([rows[np.isin(rows, turns[: settings.limit])] for rows in members.values()])


def with_partners(benchmark: Benchmark, rows: np.ndarray, settings: Settings) -> np.ndarray:
    """Each chosen sample, then the partners it is edited together with, (len(rows), samples_per_edit).

    Partners come from the sample's own group in an order drawn from its own seed, so that the first of three
    are the same as the first of two; those that show a new drawing come first. A group too small to fill the
    row gives its samples again, which changes no gradient but its scale.
    """
    return np.stack([_with_own_partners(benchmark, int(row), settings) for row in rows])


def _with_own_partners(benchmark: Benchmark, row: int, settings: Settings) -> np.ndarray:
    table = benchmark.edit.table
    members = benchmark.members(table["group_id"].iloc[row])
    rng = np.random.default_rng(edit_seed(settings.seed, table["sha256"].iloc[row]))
    order = np.array([row, *rng.permutation(members[members != row])])
    repeated = benchmark.edit.drawings.iloc[order].duplicated().to_numpy()
    return np.resize(np.concatenate([order[~repeated], order[repeated]]), settings.samples_per_edit)


class EditingBatch(NamedTuple):
    """Samples as an editor gets them: images (m, n, 3, H, W), labels (m, n), and of each row its seed and hash."""

    images: Tensor
    labels: Tensor
    seeds: list[int]
    hashes: list[str]

    def take(self, rows: Sequence[int]) -> EditingBatch:
        """These rows, in this order."""
        chosen = list(rows)
        seeds, hashes = [self.seeds[row] for row in chosen], [self.hashes[row] for row in chosen]
        return EditingBatch(self.images[chosen], self.labels[chosen], seeds, hashes)


def load_batch(base: BaseModel, samples: LabelledImages, rows: np.ndarray, seed: int) -> EditingBatch:
    """The samples of `rows` (m, n) on the base's device, each with the seed that its first image and `seed` give."""
    images = samples.images(base.preprocessing, rows.flatten().tolist()).unflatten(0, rows.shape)
    hashes = [samples.table["sha256"].iloc[row] for row in rows[:, 0]]
    return EditingBatch(
        images.to(base.device, next(base.module.parameters()).dtype),
        torch.as_tensor(samples.labels[rows], device=base.device),
        [edit_seed(seed, name) for name in hashes],
        hashes,
    )


def edit_seed(seed: int, sample: str) -> int:
    """The seed of one edit, from the run's seed and the sample's hash: order, limits and resumes change nothing.

    >>> edit_seed(0, "5f70")
    4126822896
    """
    return int.from_bytes(hashlib.sha256(f"{seed} {sample}".encode()).digest()[:4], "big")
