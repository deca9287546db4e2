"""A benchmark for one base: the base's predictions, stored on disk, and the editing samples that it gets wrong.

The filter of a benchmark, the score of every editor and `benchmark.load` need the same predictions; those of
`vitb16` for all 6,377 images take an hour on a CPU.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from benchmark.core.devices import pick
from benchmark.data import dataset
from benchmark.data.dataset import Benchmark, LabelledImages
from benchmark.data.scored import EDIT, LOCALITY
from benchmark.images.decode import BrokenImage
from benchmark.images.source import Selected
from benchmark.models.load import BaseModel, load_base
from benchmark.predict.engine import predict
from benchmark.predict.store import predictions_folder

log = logging.getLogger(__name__)

SCORE_BATCH = 256  # images a forward; part of the protocol, because batch size moves roundings


class RequiredImages(Selected):
    """Images of a benchmark: none may be skipped."""

    @contextlib.contextmanager
    def opening(self, position: int, draft: int | None = None) -> Iterator[Image.Image]:
        """See `ImageSource.opening`. Raises `UserError` for an image that does not decode."""
        try:
            with super().opening(position, draft) as image:
                yield image
        except BrokenImage as error:
            raise self.name_broken(position, error) from error


def load(
    name_or_folder: str | Path, base: str | None = None, weights: Path | str | None = None, device: str = "cpu"
) -> Benchmark:
    """Load a benchmark; for a base, with the editing samples that it gets wrong (paper, A.3), and log how many.

    The base's predictions are computed once and kept on disk, where the harness finds them, too.

    Args:
        name_or_folder: ``mini``, ``mini-dev``, a folder in the Hub's layout, or OWNER/NAME or OWNER/NAME@REVISION.
        base: a base model as on the command lines (``vits16``, ``NAME=FILE``, ...); without one, all samples.
        weights: a local file with the base's weights.
        device: where the base runs, ``cpu``, ``cuda``, ``mps`` or ``auto``.

    Raises:
        UserError: for data or a base that cannot be loaded; see `benchmark.data.dataset.load` and
            `benchmark.models.load.load_base`.
    """
    benchmark = dataset.load(str(name_or_folder))
    if base is None:
        return benchmark
    model = load_base(base, weights=Path(weights) if weights is not None else None, device=pick(device))
    filtered, _, _ = filter_benchmark(model, benchmark)
    log.info("%s gets wrong: %s", model.name, filtered.kept_counts)
    return filtered


def filter_benchmark(
    base: BaseModel, benchmark: Benchmark, batch_size: int = SCORE_BATCH
) -> tuple[Benchmark, np.ndarray, np.ndarray]:
    """The benchmark filtered for this base, and the base's predictions on it: edit (n,), locality (|D_l|,), int16.

    Editing samples are those that the base gets wrong (paper, A.3), images of `locality_taken` and `locality_far` those
    that it gets right; labels of D_l that nobody recorded are filled in where `Benchmark.labelled_by` can. A benchmark
    that was read from files is predicted once for all runs. One made in memory has no `source`: nothing ties its hashes
    to its images, so it is predicted anew.
    """
    use_store = bool(benchmark.source)
    tables = {split: predict_samples(base, images, batch_size, use_store) for split, images in benchmark.splits.items()}
    predictions = {split: table["base_label"].to_numpy(np.int16) for split, table in tables.items()}
    edit, locality = predictions[EDIT], predictions[LOCALITY]
    certainty = (tables[LOCALITY][f"base_{field}"].to_numpy() for field in ("probability", "margin"))
    filtered = benchmark.keeping_right(predictions).filter_for(base.name, edit)
    filtered = filtered.labelled_by(base.name, locality, *certainty)
    return filtered, edit[edit != benchmark.edit.labels], locality


def predict_samples(
    base: BaseModel, images: LabelledImages, batch_size: int = SCORE_BATCH, use_store: bool = True
) -> pd.DataFrame:
    """Table of the base's predictions as it is now, by plain full forwards: base_label, base_probability, base_margin.

    One row an image; the label is `NOWHERE` for logits that are not finite.
    With `use_store`, predictions of earlier calls are read from `predictions_folder`, and new ones written. Batches are
    `batch_size` consecutive rows; behind an image that stands twice they are one row further, because it is
    predicted once. Raises `UserError` for an image that does not decode, and where the folder cannot be written.
    """
    as_it_is_now = replace(base, name="base")  # another object, whose identity is computed anew
    cache = predictions_folder() if use_store else None
    required = RequiredImages(images.source, range(len(images)))
    return predict([as_it_is_now], required, batch_size=batch_size, cache=cache)
