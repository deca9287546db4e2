"""Property: whatever its members are called, an archive gives their bytes under names that stay inside, or an error."""

from __future__ import annotations

import ntpath
import posixpath
import tempfile
import warnings
import zipfile
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from benchmark.core.errors import UserError
from benchmark.images.files import is_hidden
from benchmark.images.open import open_images

NASTY = ["..", ".", "", "/", "\\", "C:", "\0", "~", "a", "b.jpg", "..jpg", "__MACOSX", ".b.jpg", "\n", "COM1", " "]
PIECE = st.sampled_from(NASTY) | st.text(st.characters(exclude_categories=["Cs"], exclude_characters=":"), max_size=4)
NAME = st.lists(PIECE, max_size=6).map("".join) | st.lists(PIECE, min_size=1, max_size=5).map("/".join)
MEMBERS = st.lists(st.tuples(NAME, st.binary(max_size=20)), max_size=4)
PLAIN = st.lists(st.text("abcäß 1-_", min_size=1), min_size=1, max_size=4).map("/".join)


def write_zip(path: Path, members: list[tuple[str, bytes]]) -> Path:
    """An archive whose members are called exactly so: Python's own writer would mend the names."""
    with zipfile.ZipFile(path, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are there twice
        for name, data in members:
            info = zipfile.ZipInfo("x")
            info.filename = name
            archive.writestr(info, data)
    return path


def stays_inside(name: str) -> bool:
    """Unpacking below a folder would write into this folder, on Linux and macOS and on Windows."""
    roots = ((posixpath, "/in/here/"), (ntpath, "D:\\in\\here\\"))
    return all((system.normpath(system.join(root, name)) + system.sep).startswith(root) for system, root in roots)


@given(MEMBERS)
@example([("", b"no name")])
@example([("a/..\\..\\b.jpg", b"")])
@example([("a", b"1"), ("a", b"2")])
def test_no_member_leaves_the_archive_and_what_is_kept_reads_as_written(members: list[tuple[str, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write_zip(Path(folder) / "a.zip", members)
        try:
            images = open_images(path, files=True)
        except UserError as error:
            assert len(str(error).splitlines()) == 1
            return
        written = {
            name: data for name, data in members if not name.endswith("/") and not any(map(is_hidden, name.split("/")))
        }
        assert images.files == written.keys() and set(images.paths) <= images.files
        assert all(stays_inside(name) for name in images.files)
        assert {name: images.read_file(name) for name in images.files} == written
        assert [file.name for file in Path(folder).iterdir()] == ["a.zip"], "nothing is unpacked"


@given(st.lists(st.tuples(PLAIN, st.binary(max_size=20)), unique_by=lambda member: member[0]))
def test_plain_names_are_never_refused(members: list[tuple[str, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        images = open_images(write_zip(Path(folder) / "a.zip", members), files=True)
        assert {name: images.read_file(name) for name in images.files} == dict(members)
