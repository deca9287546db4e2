"""A benchmark as one base is judged on it: the base's predictions, kept on disk, and what they leave of it.

The filter of a benchmark, the score of every editor and `benchmark.load` need the same predictions; those of
`vitb16` for all 6,377 images take an hour on a CPU.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from benchmark.core.devices import pick
from benchmark.data import dataset
from benchmark.data.dataset import Benchmark, LabelledImages
from benchmark.images.source import Selected
from benchmark.models.load import BaseModel, load_base
from benchmark.predict.engine import predict
from benchmark.predict.store import predictions_folder

log = logging.getLogger(__name__)

SCORE_BATCH = 256  # images a forward; part of the protocol, because batch size moves roundings


class RequiredImages(Selected):
    """Images of a benchmark, which skips none."""

    def open(self, position: int, draft: int | None = None) -> Image.Image:
        """An image, decoded. Raises `UserError` where it does not decode."""
        return self.require(position, draft)


def load(
    name_or_folder: str | Path, base: str | None = None, weights: Path | str | None = None, device: str = "cpu"
) -> Benchmark:
    """Load a benchmark; for a base, with the editing samples that it gets wrong (paper, A.3), and log how many.

    The base's predictions are computed once and kept on disk, where the harness finds them, too.

    Args:
        name_or_folder: ``mini``, ``mini-dev``, or a folder in the Hub's layout.
        base: a base model as on the command lines (``vits16``, ``NAME=FILE``, ...); without one, all samples.
        weights: a local file with the base's weights.
        device: where the base runs, ``cpu`` or ``cuda``.

    Raises:
        UserError: for data or a base that cannot be loaded; see `benchmark.data.dataset.load` and
            `benchmark.models.load.load_base`.
    """
    benchmark = dataset.load(str(name_or_folder))
    if base is None:
        return benchmark
    model = load_base(base, weights=Path(weights) if weights is not None else None, device=pick(device))
    filtered, _, _ = filter_benchmark(model, benchmark)
    log.info("%s gets wrong: %s", model.name, filtered.kept)
    return filtered


def filter_benchmark(
    base: BaseModel, benchmark: Benchmark, batch_size: int = SCORE_BATCH
) -> tuple[Benchmark, np.ndarray, np.ndarray]:
    """The benchmark as this base is judged on it, and its predictions there: edit (n,), locality (|D_l|,), int16.

    Editing samples are those that the base gets wrong (paper, A.3); locality labels that nobody recorded are
    filled in where `Benchmark.labelled_by` can. What was read from files is predicted once for all runs; a
    benchmark made in memory has no `source`, its hashes vouch for nothing, and it is predicted anew.
    """
    kept = bool(benchmark.source)
    edit, locality = (predict_samples(base, part, batch_size, kept) for part in (benchmark.edit, benchmark.locality))
    filtered = benchmark.filter_for(base.name, edit).labelled_by(base.name, locality)
    return filtered, edit[edit != benchmark.edit.labels], locality


def predict_samples(
    base: BaseModel, samples: LabelledImages, batch_size: int = SCORE_BATCH, kept: bool = True
) -> np.ndarray:
    """Top-1 classes of the base as it is now by plain full forwards, int16 (n,); `NOWHERE` for logits not finite.

    Those that are `kept` are read from `predictions_folder`, where an earlier call has left them. Batches are
    `batch_size` consecutive rows; behind an image that stands twice they are one row further, because it is
    predicted once. Raises `UserError` for an image that does not decode, and where the folder cannot be written.
    """
    as_it_is_now = replace(base, name="base")  # another object, whose identity is computed anew
    cache = predictions_folder() if kept else None
    images = RequiredImages(samples.source, range(len(samples)))
    predictions = predict([as_it_is_now], images, batch_size=batch_size, cache=cache)
    return predictions["base_label"].to_numpy(np.int16)
