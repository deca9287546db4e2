"""What an unedited base says of labelled images: its top-1 classes, kept on disk for the next run.

The filter of a benchmark, the score of every editor and `benchmark.load` need the same predictions; those of
`vitb16` for all 6,377 images take an hour on a CPU. They are kept in parts, one a batch, so that a kill costs
one batch.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from benchmark.core.errors import UserError
from benchmark.core.files import CACHE, cache_folder, replacing
from benchmark.core.versions import library_versions
from benchmark.data.dataset import Benchmark, Samples
from benchmark.models.identity import model_identity
from benchmark.models.load import BaseModel

SCORE_BATCH = 256  # images a forward; part of the protocol, because batch size moves roundings
NOWHERE = -1  # the prediction of a model that is not there, or whose logits are not finite
FORMAT = 1  # of what is on disk; raise it when the same key would stand for other numbers


def classes(logits: torch.Tensor) -> np.ndarray:
    """Top-1 classes of logits (n, classes), int16 (n,); `NOWHERE` where a logit is not finite."""
    found = torch.where(logits.isfinite().all(-1), logits.argmax(-1), NOWHERE)
    return found.to(torch.int16).cpu().numpy()


def filtered(
    base: BaseModel, benchmark: Benchmark, batch_size: int = SCORE_BATCH
) -> tuple[Benchmark, np.ndarray, np.ndarray]:
    """The benchmark as this base is judged on it, and its predictions there: edit (n,), locality (|D_l|,), int16.

    Editing samples are those that the base gets wrong (paper, A.3); locality labels that nobody recorded are
    filled in where `Benchmark.labelled_by` can. What was read from files is predicted once for all runs; a
    benchmark made in memory has no `source`, its hashes vouch for nothing, and it is predicted anew.
    """
    kept = bool(benchmark.source)
    edit, locality = (predict(base, samples, batch_size, kept) for samples in (benchmark.edit, benchmark.locality))
    judged = benchmark.filter_for(base.name, edit).labelled_by(base.name, locality)
    return judged, edit[edit != benchmark.edit.labels], locality


@torch.no_grad()
def predict(base: BaseModel, samples: Samples, batch_size: int = SCORE_BATCH, kept: bool = True) -> np.ndarray:
    """Top-1 classes of the base by plain full forwards, int16 (n,).

    If they are to be `kept`, batches that are in `cache_folder` already are read from there. A batch is known by
    all that could change it: the base's identity, device, batch size, library versions and the
    hashes of all images in their order. A damaged file is computed again. Raises `UserError` where the cache
    cannot be written.
    """
    folder = cache_folder() / "predictions" / _key(base, samples, batch_size) if kept else None
    starts = range(0, len(samples), batch_size)
    parts = []
    with tqdm(total=len(samples), unit="image", desc=f"{base.name} predicts", leave=False, delay=5) as bar:
        for number, start in enumerate(starts):
            rows = range(start, min(start + batch_size, len(samples)))
            file = folder / f"part-{number:05d}.npz" if folder is not None else None
            part = _read(file, len(rows)) if file is not None else None
            if part is None:
                images = samples.images(base.preprocessing, rows)
                part = classes(base.module(images.to(base.device, next(base.module.parameters()).dtype)))
                if file is not None:
                    _write(file, part)
            parts.append(part)
            bar.update(len(rows))
    return np.concatenate(parts) if parts else np.empty(0, np.int16)


def _key(base: BaseModel, samples: Samples, batch_size: int) -> str:
    facts = {
        "format": FORMAT,
        "model": model_identity(base.module, base.preprocessing),  # as it is now
        "computed": [base.device.type, batch_size],
        "libraries": library_versions(),
        "images": samples.table["sha256"].to_list(),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _read(file: Path, count: int) -> np.ndarray | None:
    """The `count` predictions in a file, or None if there is none that is whole (zip files carry a check sum)."""
    try:
        with np.load(file, allow_pickle=False) as kept:
            part = kept["classes"]
    except (OSError, ValueError, LookupError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    return part if part.shape == (count,) and part.dtype == np.int16 else None


def _write(file: Path, part: np.ndarray) -> None:
    try:
        with replacing(file) as temporary:
            np.savez(temporary, classes=part)
    except OSError as error:
        raise UserError(f"{file.parent} cannot be written ({error}); name another folder with {CACHE}") from error
