"""Statistics for editors with a memory: [cls] tokens of training images at a cut of the base.

Behind the last attention only [cls] reaches the head, so for `t-patcher` and `rome` one vector of width N an image
says all about the last FFN: its ``norm2`` is what ``fc1`` takes, and the activations behind ``fc1`` are what
``fc2`` takes. The vectors belong to a base and a data set, not to an editor or a seed, and are kept on disk for
the next run.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from benchmark.core.devices import exact_float32
from benchmark.core.errors import UserError
from benchmark.core.files import CACHE, cache_folder
from benchmark.core.versions import library_versions
from benchmark.models.family import family_of
from benchmark.models.identity import hash_weights, model_identity
from benchmark.models.tensors import read_tensors, write_tensors
from benchmark.models.vit import Cut, depth, forward_prefix
from editors.core.base import BatchEditor, TrainingImages

IMAGES = 10_000  # at most; more than three times the N_m = 3,072 of a ViT-B/16, so that E[k k^T] has full rank
DRAW_SEED = 0  # which images: the same for every run, whatever its seed, so that runs share what is on disk
BATCH = 64
FORMAT = 1  # of what is on disk; raise it when the same key would stand for other numbers


@dataclass(frozen=True)
class Statistics:
    """[cls] of n training images at a cut, and the origin of the images.

    tokens: (n, N), in the base's own precision and on its device, in the random order of the draw.
    labels: (n,), the images' classes.
    provenance: number and hash of the images, hash of the base's weights; for the record.
    """

    tokens: Tensor
    labels: Tensor
    provenance: dict[str, str]


def last_ffn(model: nn.Module) -> Cut:
    """The cut between attention and FFN of the last block."""
    return Cut(depth(model) - 1, ffn=True)


def collect(model: nn.Module, training: TrainingImages, cut: Cut, most: int = IMAGES) -> Statistics:
    """[cls] at `cut` of all training images, or of `most` drawn from them, read from disk where they are known.

    The folder is named by the environment variable ``VIT_EDIT_BENCH_CACHE``, by default
    ``~/.cache/vit-edit-bench``; a damaged file there is computed again. Raises `UserError` for a base that
    classifies from more than [cls], for training data without images and for a folder that cannot be written.
    """
    if family_of(model).leading > 1:
        raise UserError(
            "this editor learns from [cls], and this base model classifies from further tokens; choose another"
        )
    if len(training) == 0:
        raise UserError("there are no training images to learn from; build or fetch the data set again")
    order = torch.randperm(len(training), generator=torch.Generator().manual_seed(DRAW_SEED))
    rows = order[:most].tolist()
    images = hashlib.sha256("\n".join(training.samples.table["sha256"].iloc[rows]).encode()).hexdigest()
    provenance = {
        "training_images": str(len(rows)),
        "training_images_sha256": images,
        "statistics_base_sha256": hash_weights(model),
    }
    weight = next(model.parameters())
    key = {
        **provenance,
        "format": FORMAT,
        "cut": [cut.block, cut.ffn],
        "base": model_identity(model, training.preprocessing),
        # another device or library rounds differently, and the record hashes every bit
        "device": weight.device.type,
        "libraries": library_versions(),
    }
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    path = cache_folder() / f"statistics-{name}.safetensors"
    kept = read_tensors(path)
    is_kept = kept is not None and kept.keys() == {"tokens"}
    tokens = kept["tokens"] if kept and is_kept else _compute(model, training, rows, cut)
    if not is_kept:
        write_tensors(path, {"tokens": tokens}, f"make room there, or name another folder with {CACHE}")
    return Statistics(tokens.to(weight.device), training.labels[rows], provenance)


class StatisticsEditor(BatchEditor):
    """An editor that learns the statistics of one base before its last FFN, and nothing else from images."""

    def __init__(self, config: object = None) -> None:
        super().__init__(config)
        self._statistics: Statistics | None = None

    def fit(self, model: nn.Module, training: TrainingImages) -> None:
        """Take the statistics of the training images in `model`, the base that will be edited."""
        self._statistics = collect(model, training, last_ffn(model))

    def state_dict(self) -> dict[str, Tensor]:
        """The vectors, once `fit` took them; all else follows from them, the base and the settings."""
        return {} if self._statistics is None else {"tokens": self._statistics.tokens}

    def provenance(self) -> dict[str, str]:
        """The number of images, the hash over theirs, and the hash of the base's weights."""
        return {} if self._statistics is None else dict(self._statistics.provenance)

    @property
    def statistics(self) -> Statistics:
        """The statistics that `fit` took. Raises `UserError` before that."""
        if self._statistics is None:
            raise UserError(f"{type(self).__name__} learns from training images first; call fit(model, training)")
        return self._statistics


@torch.no_grad()
@exact_float32()
def _compute(model: nn.Module, training: TrainingImages, rows: list[int], cut: Cut) -> Tensor:
    weight, batches = next(model.parameters()), []
    with tqdm(total=len(rows), unit="image", desc="statistics", leave=False, delay=5) as bar:
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]
            batches.append(forward_prefix(model, training.images(batch).to(weight), cut)[:, 0].cpu())
            bar.update(len(batch))
    return torch.cat(batches)
