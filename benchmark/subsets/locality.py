"""The locality set: the released ``Sensitive-Images.zip`` (flat, without labels), or a folder by class.

What `benchmark.locality` selects is a folder by class with a ``selection.csv`` beside it, which holds each image's
source and margin; so are ``locality_taken`` and ``locality_far``, which have files of their own beside this one. The
released images are labelled by the base that they were chosen with: its top-1 class is the true one by the first rule
of choice (paper, 5.1; SPEC, 2).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmark.core import options
from benchmark.core.errors import UserError
from benchmark.core.text import printable
from benchmark.data.boundary import MARGIN, TORN
from benchmark.data.schema import IMAGENET, IMAGENET_ANY, IMAGENET_SKETCH
from benchmark.data.scored import LOCALITY
from benchmark.images.decode import BrokenImage
from benchmark.images.files import ImageFiles
from benchmark.labels.names import class_index, known_class
from benchmark.subsets.inputs import Input, SourceImage, folder_of, read_csv
from benchmark.subsets.subset import Subset

if TYPE_CHECKING:
    from benchmark.models.load import BaseModel

SELECTION = "selection.csv"
COLUMNS = ("sha256", "source", "source_id", "label", "margin")
UNKNOWN = "unknown: the released archive has no labels"
LICENCE = "for research only, not to be passed on (ImageNet's terms of access)"
SOURCE_OF = {
    r"ILSVRC2012_val_\d{8}\.JPEG": IMAGENET,
    r"sketch_\d+\.JPEG": IMAGENET_SKETCH,
}  # from patterns of the sets' file names


def read(files: ImageFiles) -> Input:
    """List the locality set's images, with labels from their folders if those name classes, else null.

    Raises:
        UserError: for a folder that is no class, or a ``selection.csv`` that is none.
    """
    folders = set(map(folder_of, files.paths))
    if len(folders) == 1 and class_index(PurePosixPath(*folders).name) is None:
        images = [SourceImage(name, None, None, _columns(name, UNKNOWN)) for name in files.paths]
        return Input(LOCALITY, files, images, "unknown")
    return read_by_class(files, LOCALITY)


def read_by_class(files: ImageFiles, subset: str) -> Input:
    """List the images of a folder with one subfolder a class, with the columns of its ``selection.csv``, if any.

    Raises:
        UserError: for a folder that is no class, or a ``selection.csv`` that is none.
    """
    folders = set(map(folder_of, files.paths))
    labels = {folder: known_class(PurePosixPath(folder).name, files.where(folder)) for folder in sorted(folders)}
    columns = {name: {**_columns(name, "folder"), "subset": subset} for name in files.paths}
    images = [SourceImage(name, None, labels[folder_of(name)], columns[name]) for name in files.paths]
    tables = [name for name in sorted(files.files) if PurePosixPath(name).name == SELECTION]
    chosen = {row["sha256"]: row for table in tables for row in read_csv(files, table, COLUMNS)}
    if chosen:
        images = [_with_selection(files, image, chosen.get(_hash(files, image.name))) for image in images]
    return Input(subset, files, images, "folder")


def label_with(source: Input, base: BaseModel) -> tuple[Input, list[str]]:
    """Label the images with the top-1 class of `base`, and note its margin; name the images with too wide a margin.

    Predictions are made in float32 and stored (see `benchmark.predict.store`). The second value names the images whose
    margin is not below `MARGIN`: by its own rule the locality set of this base would not hold them.

    Raises:
        UserError: if the labels are known already, and for a base that knows none of the images.
    """
    from benchmark.predict.engine import predict
    from benchmark.predict.store import predictions_folder

    if any(image.label is not None for image in source.images):
        raise UserError(f"{source.files.name}: its labels are known from its folders; leave --label-with out")
    predictions = predict([replace(base, name="base")], source.files, cache=predictions_folder())
    images, wide, probabilities = [], [], []
    for image, row in zip(source.images, predictions.to_dict("records"), strict=True):
        if row["error"]:
            images.append(image)
            continue
        label, margin = int(row["base_label"]), float(row["base_margin"])
        columns = {"label_origin": f"top-1 of {base.name}", "base_prediction": label, "margin": margin}
        images.append(replace(image, label=label, columns={**image.columns, **columns}))
        probabilities.append(float(row["base_probability"]))
        if not margin < MARGIN:
            wide.append(f"{printable(image.name)} ({margin:.3f})")
    if probabilities and median(probabilities) < TORN:
        raise UserError(
            f"{base.name} knows none of these images: the median of its top-1 probability must be at least {TORN:g}, "
            f"not {median(probabilities):.2g}; random weights make no labels, name those that the set was chosen with"
        )
    return replace(source, images=images, labels=base.name), wide


def _hash(files: ImageFiles, path: str) -> str:
    try:
        return hashlib.sha256(files.read_file(path)).hexdigest()
    except BrokenImage:
        return ""


def _columns(name: str, origin: str) -> dict[str, Any]:
    file = PurePosixPath(name).name
    sources = [source for pattern, source in SOURCE_OF.items() if re.fullmatch(pattern, file)]
    return {"label_origin": origin, "source": sources[0] if sources else IMAGENET_ANY, "licence": LICENCE}


def _with_selection(files: ImageFiles, image: SourceImage, row: Mapping[str, str] | None) -> SourceImage:
    where = f"{files.name}/{printable(image.name)}"
    if row is None:
        raise UserError(f"{where}: {SELECTION} has no row with its sha256; select again, or take {SELECTION} away")
    if row["label"] != str(image.label):
        raise UserError(f"{where}: {SELECTION} says class {row['label']}, its folder {image.label}; select again")
    try:
        margin = float(row["margin"])
    except ValueError as error:
        raise UserError(f"{where}: {SELECTION} gives the margin {row['margin'][:20]!r}; select again") from error
    known = {"source": row["source"], "source_id": row["source_id"], "base_prediction": image.label, "margin": margin}
    return replace(image, columns={**image.columns, **known})


ORIGIN = """\
images of the validation sets of ImageNet-1k, ImageNet-R and ImageNet-Sketch that ViT-B/16 gets
right with a margin below 0.05 between its two largest probabilities."""
SUBSET = Subset(
    name=LOCALITY,
    option=options.LOCALITY.documentation,
    origin=ORIGIN,
    passed_on=False,
    read=read,
)
