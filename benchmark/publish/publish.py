"""Publication of the benchmark: the images that may be passed on, rows without pixels, the upload to the Hub.

Two sources forbid passing images on. The ImageNet-1k, -R and -Sketch images of the locality set are under terms of
access (research only, no redistribution), or are other people's pictures gathered from the web; PUG is CC-BY-NC and
must not be used to train generative models (SPEC, 6), so that its pixels must not lie where crawlers collect images.
The natural images are Creative Commons photographs, the oil paintings were generated. The rule lists the images that
may be passed on, not the others: an image of unknown origin stays at home.
"""

from __future__ import annotations

import glob
import logging
from collections.abc import Callable, Container, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmark.core import checksums
from benchmark.core.arrays import open_parquet
from benchmark.core.errors import UserError, message_line
from benchmark.core.files import walk
from benchmark.data.packaged import SETS
from benchmark.data.schema import IMAGENET, IMAGENET_R, IMAGENET_SKETCH, PUG
from benchmark.subsets.subset import subsets

log = logging.getLogger(__name__)

KEPT_BACK = ("ImageNet", "PUG")  # how a source begins whose images stay at home whatever their subset
DRAWN = "npm:"  # how the source of every embedded image begins
_IMAGENET = "https://image-net.org"
_IMAGENET_R = "https://github.com/hendrycks/imagenet-r"
_IMAGENET_SKETCH = "https://github.com/HaohanWang/ImageNet-Sketch"
HOW_TO_GET = {
    PUG: "https://github.com/facebookresearch/PUG",
    IMAGENET: f"{_IMAGENET} (validation set)",
    IMAGENET_R: _IMAGENET_R,
    IMAGENET_SKETCH: _IMAGENET_SKETCH,
}
ANYWHERE = f"{_IMAGENET} (validation set), {_IMAGENET_R} or {_IMAGENET_SKETCH}"
GET_IT = "; get it from "
NEEDED = {"image", "label", "label_origin", "subset", "source", "source_id", "licence", "attribution", "sha256"}
STALE = [f"{folder}/*.parquet" for folder in ("data", *SETS)]  # removed from the Hub if the new folder lacks them


def without_pixels(table: pa.Table) -> pa.Table:
    """The same rows; those that may not be passed on have a null `image` and say in `source` how to get it.

    `table` has the data set's schema, which is kept with its metadata. `source_id` and `sha256` stay: by them
    `benchmark.hydrate` finds and checks the image. Doing it twice changes nothing more.
    """
    passed_on = may_be_passed_on(table)
    image = table.column("image").combine_chunks()
    sources = [
        source
        if is_passed_on or GET_IT in (source or "")
        else f"{source or 'not known'}{GET_IT}{HOW_TO_GET.get(source, ANYWHERE)}"
        for source, is_passed_on in zip(table.column("source").to_pylist(), passed_on, strict=True)
    ]
    return _replace(table, pc.if_else(pa.array(passed_on), image, pa.scalar(None, image.type)), sources)


def with_pixels(table: pa.Table, images: Sequence[dict[str, Any] | None]) -> pa.Table:
    """The inverse of `without_pixels`: `images` (``{"bytes", "path"}``) go where `table` has a null `image`.

    `images` has one entry a row; None leaves the row as it is.
    """
    column = table.column("image").to_pylist()
    filled = [old if new is None else new for old, new in zip(column, images, strict=True)]
    pairs = zip(table.column("source").to_pylist(), images, strict=True)
    sources = [source if new is None else (source or "").split(GET_IT)[0] for source, new in pairs]
    return _replace(table, pa.array(filled, table.schema.field("image").type), sources)


def may_be_passed_on(table: pa.Table) -> np.ndarray:
    """The rows whose pixels may be passed on, bool (n,), by the columns subset and source."""
    passed_on = {subset.name for subset in subsets().values() if subset.passed_on}
    pairs = zip(table.column("subset").to_pylist(), table.column("source").to_pylist(), strict=True)
    return np.array(
        [
            (source or "").startswith(DRAWN) or (subset in passed_on and not (source or "").startswith(KEPT_BACK))
            for subset, source in pairs
        ],
        dtype=bool,
    )


def _replace(table: pa.Table, images: pa.Array, sources: list[str | None]) -> pa.Table:
    for name, values in (("image", images), ("source", pa.array(sources, pa.string()))):
        position = table.column_names.index(name)
        table = table.set_column(position, table.schema.field(position), values)
    return table


def read_rows(file: Path) -> pa.Table:
    """All columns of a parquet file except the image bytes; `image` is null where the row has no pixels.

    Raises `UserError` if the file can't be read or lacks a column of the data set.
    """
    with open_parquet(file, "build or fetch the data set again") as opened:
        names = [name for name in opened.schema_arrow.names if name != "image"]
        table = opened.read(columns=["image.path", *names])
    missing = NEEDED - {*table.column_names}
    if missing:
        raise UserError(f"{file}: lacks the column {sorted(missing)[0]}; build the data set again")
    return table


def write_checksums(folder: Path, others: Container[str] = ()) -> None:
    """Write the list of the files of the data set (`benchmark.core.checksums`), without `others` that lie there."""
    checksums.write_checksums(folder, [name for name in _list_files(folder) if name not in others])


def push(folder: Path, repo: str, confirm: Callable[[dict[str, int]], bool], api: Any = None) -> str:
    """Upload `folder` to the Hub data set `repo` ("owner/name") if `confirm` agrees; return the data set's address.

    `confirm` gets the size in bytes of each file to upload. A new repository is made private, so that its owner can
    look at it before anybody else does. Parquet files of an older upload that the folder lacks are removed. `api` is a
    `huggingface_hub.HfApi`, by default one with the token of this machine.

    Raises:
        UserError: if the folder holds pixels that may not be passed on, is no built data set or holds links; if
            `confirm` did not agree; if there is no token, no network, or the Hub refuses.
    """
    import huggingface_hub

    files = _list_files(folder)
    uncredited = sum(_count_uncredited(folder / name) for name in files if name.endswith(".parquet"))
    try:
        huggingface_hub.utils.validate_repo_id(repo)
    except ValueError as error:
        raise UserError(f'the Hub data set must be OWNER/NAME, not "{repo}" ({error})') from error
    if uncredited:
        log.warning(
            f"{uncredited:,} photographs name no owner and page (attribution), which their licences ask for; "
            "with an attribution.csv beside the natural images, benchmark.build knows them"
        )
    if not confirm({name: (folder / name).stat().st_size for name in files}):
        raise UserError("nothing was uploaded; answer y, or add --yes")
    try:
        api = api or huggingface_hub.HfApi()
        api.create_repo(repo_id=repo, repo_type="dataset", private=True, exist_ok=True)
        api.upload_folder(
            repo_id=repo,
            repo_type="dataset",
            folder_path=folder,
            allow_patterns=[glob.escape(name) for name in files],
            delete_patterns=STALE,
            commit_message="Upload the benchmark",
        )
    except Exception as error:  # the client's errors are other classes in each of its versions
        raise _upload_error(error, repo) from error
    return f"{huggingface_hub.constants.ENDPOINT}/datasets/{repo}"


def _list_files(folder: Path) -> list[str]:
    """The files of a built data set, relative to it; hidden ones are left out, links are refused."""
    if not (folder / "build.json").is_file() or not any(folder.glob("data/*.parquet")):
        raise UserError(f"{folder}: must hold build.json and data/*.parquet; build it with benchmark.build")
    names = []
    for path in sorted(Path(entry.path) for entry in walk(folder, lambda name: name.startswith("."))):
        if path.is_symlink():
            raise UserError(f"{path} is a link: its target may be no part of the data set; remove it")
        if path.is_file():
            names.append(path.relative_to(folder).as_posix())
    return names


def _count_uncredited(file: Path) -> int:
    """The number of natural images without a link to their page. Raises `UserError` for pixels not to be passed on."""
    rows = read_rows(file)
    forbidden = int((rows.column("image").is_valid().to_numpy() & ~may_be_passed_on(rows)).sum())
    if forbidden:
        raise UserError(
            f"{file} holds the pixels of {forbidden:,} images that may not be passed on (ImageNet, PUG); "
            "build the data set with --publish to upload it"
        )
    is_natural = pc.equal(rows.column("subset"), "natural").to_pylist()
    credits = rows.column("attribution").to_pylist()
    pairs = zip(is_natural, credits, strict=True)
    return sum(bool(natural) and "https://" not in (credit or "") for natural, credit in pairs)


def _upload_error(error: Exception, repo: str) -> UserError:
    """The error of an upload that failed, in one line."""
    name = type(error).__name__
    status = getattr(getattr(error, "response", None), "status_code", None)
    if name == "LocalTokenNotFoundError" or status == 401:
        return UserError("the Hub wants a token that may write: run `hf auth login`, or set HF_TOKEN")
    if status == 403:
        return UserError(f"the token of this machine may not write to {repo}; use one with write access to it")
    if status is not None:
        return UserError(f"the Hub answered {status} for {repo} ({message_line(error)}); try again later")
    return UserError(f"the upload to {repo} failed ({name}: {message_line(error)}); check the network and repeat it")
