"""What is edited, and what it is judged on: base models, groups of failures, locality images."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from benchmark.core.moved import tell_moved
from benchmark.images.open import register

if TYPE_CHECKING:
    from pathlib import Path

    from benchmark.data.dataset import Benchmark
    from benchmark.images.source import ImageSource

log = logging.getLogger(__name__)


def load(
    name_or_folder: str | Path, base: str | None = None, weights: Path | str | None = None, device: str = "cpu"
) -> Benchmark:
    """Load a benchmark; for a base, with the editing samples that it gets wrong (paper, A.3), and log how many.

    The base's predictions are computed once and kept on disk (see `benchmark.predict.benchmark`), where the harness
    finds them, too.

    Args:
        name_or_folder: ``mini``, ``mini-dev``, or a folder in the Hub's layout.
        base: a base model as on the command lines (``vits16``, ``NAME=FILE``, ...); without one, all samples.
        weights: a local file with the base's weights.
        device: where the base runs, ``cpu`` or ``cuda``.

    Raises:
        UserError: for data or a base that cannot be loaded; see `benchmark.data.dataset.load` and
            `benchmark.models.load.load_base`.
    """
    from pathlib import Path

    from benchmark.data import dataset

    loaded = dataset.load(str(name_or_folder))
    if base is None:
        return loaded
    from benchmark.core.devices import pick
    from benchmark.models.load import load_base
    from benchmark.predict.benchmark import filter_benchmark

    model = load_base(base, weights=Path(weights) if weights is not None else None, device=pick(device))
    filtered, _, _ = filter_benchmark(model, loaded)
    log.info("%s gets wrong: %s", model.name, filtered.kept)
    return filtered


def _embedded(split: str | None) -> ImageSource:
    from benchmark.data.embedded import open_embedded

    return open_embedded(split)


for _name in ("mini", "mini-dev", "the embedded pool"):  # by the pool's title, too, which a search writes down
    register(_name, _embedded)

tell_moved(
    modules={"benchmark.dataset": "from benchmark import load"},
    commands={
        "benchmark.sources.mini": "python -m benchmark.rebuild drawings",
        "benchmark.train_mini": "python -m benchmark.rebuild models",
    },
)
