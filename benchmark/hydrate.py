"""Fill in the images that a published data set leaves out, from your own copies.

    python -m benchmark.hydrate FOLDER --imagenet DIR --imagenet-r DIR --imagenet-sketch DIR --pug DIR

An image is looked for by the file name in its `source_id`, then among all files by its hash; only bytes with
the row's SHA-256 are taken. The folder is made anew beside the old one and then takes its place. Names in the
data set are only compared, never opened.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
import tyro
from tqdm.auto import tqdm

from benchmark.core import options
from benchmark.core.arrays import open_parquet
from benchmark.core.checksums import names_below, read_checksums
from benchmark.core.csvs import write_csv
from benchmark.core.errors import UserError
from benchmark.core.files import replacing, write_text
from benchmark.core.readers import check_files_below
from benchmark.core.staging import recover, replacing_folder
from benchmark.data.hub import fetch, is_on_hub
from benchmark.data.manifest import read_build
from benchmark.data.schema import PUG
from benchmark.images.card import embedded_in
from benchmark.images.decode import BrokenImage
from benchmark.images.open import open_images
from benchmark.images.shards import check_shards, verify
from benchmark.images.source import ImageSource, Joined
from benchmark.publish import card, croissant
from benchmark.publish.publish import read_rows, with_pixels, write_checksums


@dataclass(frozen=True)
class LeftOut:
    """An image that is left out: its file and row in the data set, its source and hash."""

    file: str
    row: int
    source: str
    source_id: str
    sha256: str

    @property
    def of_pug(self) -> bool:
        """True for PUG's images; all others that are left out are ImageNet's, -R's or -Sketch's."""
        return self.source.startswith(PUG)


class Copies:
    """The user's own image files in folders and archives, to be found by name or by hash.

    Each is read at most once to find it, and its bytes are not kept.
    """

    def __init__(self, sources: Mapping[str, ImageSource]) -> None:
        self._images = Joined(sources)
        self._by_name: dict[str, list[int]] = {}
        for position, name in enumerate(self._images.ids):
            self._by_name.setdefault(PurePosixPath(name).name, []).append(position)
        self._digests: dict[int, str] = {}  # from position to SHA-256, or to the reason why there is none
        self._position_of: dict[str, int] = {}  # from SHA-256

    def __len__(self) -> int:
        return len(self._images)

    def __contains__(self, digest: str) -> bool:
        return digest in self._position_of

    def bytes_of(self, digest: str) -> bytes:
        """The image with this SHA-256, read and checked again. Raises `UserError` if it changed meanwhile."""
        position = self._position_of[digest]
        try:
            data = self._images.read(position)
        except BrokenImage as error:
            raise UserError(f"{self._images.ids[position]}: {error}; run it again") from error
        if hashlib.sha256(data).hexdigest() != digest:
            raise UserError(f"{self._images.ids[position]} changed while it was read; run it again")
        return data

    def find_by_name(self, image: LeftOut) -> str:
        """Read the files that have the image's name until one is it; return what is wrong with them, or nothing."""
        parts = PurePosixPath(image.source_id).parts
        same_name = self._by_name.get(parts[-1] if parts else "", [])
        for position in sorted(same_name, key=lambda p: -_common_end(PurePosixPath(self._images.ids[p]).parts, parts)):
            if image.sha256 in self:
                break
            self._hash(position)
        if image.sha256 in self:
            return ""
        problems = [f"{self._images.ids[position]}: {self._problem(position)}" for position in same_name[:3]]
        return "; ".join(problems) or "no file of this name or hash"

    def find_by_hash(self, missing: set[str], advance: Callable[[], object]) -> None:
        """Read the other files, until all hashes in `missing` are found."""
        for position in range(len(self)):
            if missing <= self._position_of.keys():
                return
            self._hash(position)
            advance()

    def _hash(self, position: int) -> None:
        if position not in self._digests:
            try:
                self._digests[position] = hashlib.sha256(self._images.read(position)).hexdigest()
                self._position_of.setdefault(self._digests[position], position)
            except BrokenImage as error:
                self._digests[position] = f"not read ({error})"

    def _problem(self, position: int) -> str:
        digest = self._digests[position]
        return digest if digest.startswith("not read") else f"other bytes (sha256 {digest})"


def main(
    folder: Annotated[Path, tyro.conf.Positional],
    imagenet: options.ImageNet = None,
    imagenet_r: options.ImageNetR = None,
    imagenet_sketch: options.ImageNetSketch = None,
    pug: options.Pug = None,
    locality: options.Locality = None,
    allow_partial: options.AllowPartial = False,
    missing: Path = Path("hydrate-missing.csv"),
) -> None:
    """Fill in the images that a published data set leaves out, from your own copies, checking every hash.

    Each source is a folder (whatever is below it) or a ZIP archive. Running it again is harmless. With
    --allow-partial, what is found is filled in. --locality has the whole locality set. A data set of the Hub is
    fetched into ./OWNER/NAME first, where all commands, and load_dataset, find it by its name.

    Args:
        folder: Data set built with --publish, or OWNER/NAME or OWNER/NAME@REVISION on the Hub.
        missing: Table to write of the images that are not found, or whose bytes differ.
    """
    folder = fetch_into_place(folder.as_posix()) if is_on_hub(folder.as_posix()) else folder
    recover(folder)
    left_out = [] if embedded_in(folder) else list(list_left_out(folder))
    if not left_out:
        print(f"{folder}: no image is left out")
        return
    texts = {"imagenet": imagenet, "imagenet_r": imagenet_r, "imagenet_sketch": imagenet_sketch}
    given = {name: Path(text) if text is not None else None for name, text in texts.items()} | {"locality": locality}
    rendered, others = _open_copies({"pug": pug}), _open_copies(given)
    problems = find([image for image in left_out if image.of_pug], rendered)
    problems |= find([image for image in left_out if not image.of_pug], others)
    _write_problems(problems, missing)
    if problems and not allow_partial:
        raise UserError(
            f"{len(problems):,} of {len(left_out):,} images were not found or differ, {folder} is as it was; {missing} "
            "lists them: give the folders they are in, or --allow-partial"
        )
    fill(folder, {image.sha256: rendered if image.of_pug else others for image in left_out}, bool(problems))
    print(f"{folder}: {len(left_out) - len(problems):,} of {len(left_out):,} images filled in")


def fetch_into_place(data: str) -> Path:
    """Copy a data set of the Hub to ./OWNER/NAME, unless it is there already, and return that.

    Raises `UserError` where something else is there.
    """
    folder = Path(data.partition("@")[0])
    recover(folder)
    if str(folder) == data and folder.exists():
        return folder
    fetched = fetch(data)
    if folder.exists():
        if _describe_data(folder) != _describe_data(fetched.folder):
            raise UserError(f"{folder}: is here already, and not {fetched.source}; run this in another folder")
        return folder
    with replacing_folder(folder) as new:
        shutil.copytree(fetched.folder, new, dirs_exist_ok=True)
    print(f"{fetched.source}: fetched into {folder}")
    return folder


def _describe_data(folder: Path) -> tuple[dict[str, Any], dict[str, pa.Table]]:
    """A data set's build.json and rows by file, but what changes when its images are filled in."""
    build = {name: value for name, value in read_build(folder).items() if name != "published_without_pixels"}
    return build, {
        file.name: read_rows(file).drop_columns(["image", "source"]) for file in folder.glob("data/*.parquet")
    }


def list_left_out(folder: Path) -> Iterator[LeftOut]:
    """The rows of `folder`/data without pixels. Raises `UserError` if it is no data set, or holds links."""
    read_build(folder)
    files = sorted(folder.glob("data/*.parquet"))
    if not files:
        raise UserError(f"{folder}: no data/*.parquet there; is this the data set's folder?")
    check_shards(files)
    for file in files:
        if file.is_symlink() or file.parent.is_symlink():
            raise UserError(f"{file} is a link; hydrate a folder that holds the files themselves")
        verify(file, (file.parent, folder))
        rows = read_rows(file)
        empty = rows.column("image").is_null().to_pylist()
        columns = (rows.column(name).to_pylist() for name in ("source", "source_id", "sha256"))
        for row, (is_empty, *values) in enumerate(zip(empty, *columns, strict=True)):
            if is_empty:
                yield LeftOut(file.name, row, *(value or "" for value in values))


def find(images: list[LeftOut], copies: Copies) -> dict[LeftOut, str]:
    """Look for all images among `copies`; return a mapping from those that are not there to the reason."""
    problems = {}
    for image in tqdm(images, unit="image", desc="by name", leave=False, disable=None):
        problems[image] = copies.find_by_name(image)
    with tqdm(total=len(copies), unit="file", desc="by hash", leave=False, disable=None) as bar:
        copies.find_by_hash({image.sha256 for image in images}, bar.update)
    return {image: problem for image, problem in problems.items() if image.sha256 not in copies}


def fill(folder: Path, copies: dict[str, Copies], partial: bool) -> None:
    """Make the data set anew with the images that `copies` (by SHA-256) have, and put it in the old one's place."""
    check_files_below(folder)
    with replacing_folder(folder) as new:
        shutil.copytree(folder, new, symlinks=True, dirs_exist_ok=True, copy_function=_link)
        for file in tqdm(sorted(new.glob("data/*.parquet")), unit="file", desc="fill", leave=False, disable=None):
            _fill_file(file, copies)
        build = read_build(new) | {"published_without_pixels": partial}
        write_text(new / "build.json", json.dumps(build, indent=2, ensure_ascii=False) + "\n")
        card.write(new)
        croissant.write(new)
        listed = read_checksums(folder)
        write_checksums(new, {*names_below(folder)} - listed.keys() if listed else ())


def _fill_file(file: Path, copies: dict[str, Copies]) -> None:
    """Fill in one file, row group by row group, with the sizes and compression that a whole build would give it."""
    with open_parquet(file, "build or fetch the data set again") as old, replacing(file) as temporary:
        schema = old.schema_arrow
        texts = [name for name in schema.names if name != "image"]
        with pq.ParquetWriter(temporary, schema, compression=_compression(old), use_dictionary=texts) as writer:
            for number in range(old.num_row_groups):
                rows = old.read_row_group(number)
                columns = (rows.column(name).to_pylist() for name in ("sha256", "source_id"))
                empty = rows.column("image").is_null().to_pylist()
                images = [
                    _read_image(digest, source_id, copies) if is_empty else None
                    for digest, source_id, is_empty in zip(*columns, empty, strict=True)
                ]
                writer.write_table(with_pixels(rows, images))


def _compression(file: pq.ParquetFile) -> dict[str, str]:
    """The compression of each column of a file, as `ParquetWriter` takes it."""
    if file.num_row_groups == 0:
        return {}
    group = file.metadata.row_group(0)
    columns = [group.column(number) for number in range(group.num_columns)]
    return {c.path_in_schema: "none" if c.compression == "UNCOMPRESSED" else c.compression.lower() for c in columns}


def _read_image(digest: str, source_id: str | None, copies: dict[str, Copies]) -> dict[str, bytes | str] | None:
    if digest not in copies or digest not in copies[digest]:
        return None
    name = digest[:16] + PurePosixPath(source_id or "").suffix.lower()  # as benchmark.build names it
    return {"bytes": copies[digest].bytes_of(digest), "path": name}


def _open_copies(given: Mapping[str, Path | None]) -> Copies:
    paths = {name: path for name, path in given.items() if path is not None}
    return Copies({name: open_images(path, files=True, links_out=False) for name, path in paths.items()})


def _common_end(parts: tuple[str, ...], other: tuple[str, ...]) -> int:
    """The number of equal parts of two paths, counted from their ends."""
    pairs = zip(reversed(parts), reversed(other), strict=False)
    return next((number for number, (a, b) in enumerate(pairs) if a != b), min(len(parts), len(other)))


def _link(source: str, target: str) -> None:
    """Link an unchanged file into the new folder; copy it where the disk has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _write_problems(problems: dict[LeftOut, str], path: Path) -> None:
    columns = ("file", "row", "source", "source_id", "sha256")
    write_csv(path, (*columns, "problem"), ((*astuple(image), problem) for image, problem in problems.items()))


if __name__ == "__main__":
    from benchmark.core.cli import run

    run(main)
