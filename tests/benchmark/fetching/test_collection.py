"""The folder of sources: terms, local copies, the lock file, and the sources themselves."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import timm

from benchmark.core.errors import UserError
from benchmark.fetching import collection, pug, transfer
from benchmark.fetching.download import Download
from benchmark.fetching.imagenet import SOURCE as IMAGENET
from benchmark.fetching.lock import LOCK, VERSION
from benchmark.fetching.source import Source, sources
from benchmark.images.open import open_images
from benchmark.models.names import TIMM_NAMES
from benchmark.subsets.stage_light import SUBSET
from tests.benchmark.fetching.test_transfer import ZIP, noted
from tests.benchmark.fetching.test_transfer import server as server
from tests.file_server import Answer, FileServer

NAMES = [
    *("natural", "sensitive", "pug", "imagenet", "imagenet-r", "imagenet-sketch"),
    *("vitb16", "vits16", "clip-vitb16", "oil-tokens", "stable-diffusion", "vit-h-14"),
]


def test_the_sources_of_the_paper_are_there() -> None:
    assert {name for name, source in sources().items() if not source.by_name_only} == {*NAMES}
    assert [source.name for source in collection.choose_sources(())] == sorted(NAMES)
    for name, source in sources().items():
        address = urlsplit(source.origin.address)
        assert address.scheme == "https" and address.netloc, name
        assert source.terms.endswith(".") and source.content and source.command, name
        stated = [text for text in (source.size, source.licence) if text not in ("not known", "none stated")]
        assert all("https://" in text for text in stated if not text.startswith("8 GB")), name


@pytest.mark.parametrize("alias", ["vitb16", "vits16"])
def test_the_files_for_jax_are_those_that_timm_names(alias: str) -> None:
    config = timm.models.get_pretrained_cfg(TIMM_NAMES[alias])
    assert sources()[f"{alias}-npz"].origin.address == config.url
    assert sources()[alias].origin.address == f"https://huggingface.co/{config.hf_hub_id}"


def test_a_command_takes_what_was_fetched(tmp_path: Path) -> None:
    from benchmark.core.commands import PACKAGES, commands

    known = {name for package in PACKAGES for name in commands(package)}
    for source in sources().values():
        assert source.command.partition(" ")[0] in known or source.command.startswith("--base of"), source.name
    for name in ("vitb16", "natural"):
        (tmp_path / name).mkdir()
    (tmp_path / "vitb16" / "model.safetensors").touch()
    assert sources()["vitb16"].value_in(tmp_path / "vitb16") == f"vitb16={tmp_path}/vitb16/model.safetensors"
    assert sources()["natural"].value_in(tmp_path / "natural") == f"{tmp_path}/natural", "an unpacked archive"


# ------------------------------------------------------------------------------------------ terms


def test_terms_are_agreed_to_once(server: FileServer, tmp_path: Path) -> None:
    server.answers["/a.zip"] = Answer(ZIP)
    asked: list[str] = []

    def answer(yes: bool):
        return lambda new: bool(asked.extend(source.name for source in new)) or yes

    source = Source("a", "", "", Download(server.url("/a.zip"), "a.zip"), terms="Be kind.")
    with pytest.raises(UserError, match="nothing was fetched; answer y, or add --yes"):
        collection.fetch_sources(tmp_path, [source], answer(False))
    assert asked == ["a"] and not server.requests
    collection.fetch_sources(tmp_path, [source], answer(True))
    (tmp_path / "a" / "a.zip").unlink()
    collection.fetch_sources(tmp_path, [source], answer(False))
    assert asked == ["a", "a"] and len(server.requests) == 2
    (tmp_path / "a" / "a.zip").unlink()
    changed = Source("a", "", "", source.origin, terms="Be kinder.")
    with pytest.raises(UserError, match="nothing was fetched"):
        collection.fetch_sources(tmp_path, [changed], answer(False))


def test_one_that_cannot_be_had_does_not_keep_others_away(server: FileServer, tmp_path: Path) -> None:
    server.answers["/c.zip"] = Answer(ZIP)
    chosen = [Source(name, "", "", Download(server.url(f"/{name}.zip"), f"{name}.zip")) for name in "abc"]
    with pytest.raises(UserError, match=r"^a: .*no such file any more \(404\).* \(nor can b be had\)$"):
        collection.fetch_sources(tmp_path, chosen, lambda new: True)
    assert collection.path_of(tmp_path, "c") == tmp_path / "c"
    with pytest.raises(UserError, match=r"a is not there; fetch it: python -m benchmark\.fetch a --out"):
        collection.path_of(tmp_path, "a")


# ------------------------------------------------------------------------------------------ local copies


def test_local_copies_are_used_where_they_lie(server: FileServer, tmp_path: Path) -> None:
    copies, out = tmp_path / "copies", tmp_path / "out"
    (copies / "b").mkdir(parents=True)
    (copies / "a.zip").write_bytes(ZIP)
    (copies / "b" / "one.jpg").write_bytes(b"picture")
    chosen = [Source(name, "", "", Download(server.url(f"/{name}.zip"), f"{name}.zip")) for name in "ab"]
    collection.fetch_sources(out, chosen, lambda new: False, copies)
    assert collection.path_of(out, "a") == copies / "a.zip" and collection.path_of(out, "b") == copies / "b"
    assert [source.value_in(collection.path_of(out, source.name)) for source in chosen] == [
        str(copies / "a.zip"), str(copies / "b")
    ]  # fmt: skip
    assert not server.requests and sorted(path.name for path in out.iterdir()) == [LOCK]
    collection.fetch_sources(out, chosen, lambda new: False)
    (copies / "a.zip").unlink()
    with pytest.raises(UserError, match="the local copy of a is gone; name it again with --from-folder"):
        collection.fetch_sources(out, chosen, lambda new: False)


def test_copies_that_are_not_there_or_something_else_are_named(server: FileServer, tmp_path: Path) -> None:
    copies, out = tmp_path / "copies", tmp_path / "out"
    source = Source("a", "", "", Download(server.url("/a.zip"), "a.zip"))

    def note(chosen: Source = source) -> None:
        collection.fetch_sources(out, [chosen], lambda new: False, copies)

    with pytest.raises(UserError, match="no such folder; name one that holds the sources"):
        note()
    copies.mkdir()
    with pytest.raises(UserError, match=r"holds no a; put it there as .*/copies/a"):
        note()
    with pytest.raises(UserError, match="holds no imagenet"):
        note(IMAGENET)
    (copies / "vitb16").mkdir()
    (copies / "vitb16" / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"vitb16: holds no file model\.safetensors"):
        note(sources()["vitb16"])
    (copies / "a.zip").write_bytes(b"<html><title>Sign in</title>")
    with pytest.raises(UserError, match=r'a\.zip: is a web page \("Sign in"\) and no \.zip file'):
        note()
    server.answers["/a.zip"] = Answer(ZIP)
    collection.fetch_sources(out, [source], lambda new: True)
    (copies / "a.zip").write_bytes(ZIP + b"changed")
    with pytest.raises(UserError, match="its SHA-256 is"):
        note()
    assert "local" not in noted(out)


# ------------------------------------------------------------------------------------------ the lock file


def write_lock(out: Path, text: str) -> None:
    out.mkdir(exist_ok=True)
    (out / LOCK).write_text(text)


FILE = {"bytes": 1, "sha256": "0" * 64, "hash_from": "first fetch", "mtime_ns": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            json.dumps({"version": VERSION + 1, "sources": {}}),
            "its version is 2, yours is 1.*take the release that wrote",
        ),
        ("{", "is damaged"),
        (json.dumps({"version": VERSION, "sources": {"a": 7}}), "is damaged, or another program's"),
        (json.dumps({"version": VERSION, "sources": {"a": {"files": {"../x": FILE}}}}), "is damaged, or another"),
        (
            json.dumps({"version": VERSION, "sources": {"a": {"files": {"x": {"bytes": "1"}}}}}),
            "is damaged, or another",
        ),
        (json.dumps({"version": VERSION, "sources": {"a": {"row_groups": [["x"]]}}}), "is damaged, or another"),
        (json.dumps({"version": VERSION, "sources": {"a": {"row_groups": [["../x", 0, 1, 1]]}}}), "is damaged, or"),
    ],
)
def test_a_lock_file_of_another_version_or_a_damaged_one_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    out = tmp_path / "out"
    write_lock(out, text)
    for work in (lambda: collection.states(out), lambda: collection.fetch_sources(out, [IMAGENET], lambda new: False)):
        with pytest.raises(UserError, match=message) as caught:
            work()
        assert "\n" not in str(caught.value)
    assert (out / LOCK).read_text() == text and [path.name for path in out.iterdir()] == [LOCK]


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    for work in (lambda: collection.states(tmp_path), lambda: collection.fetch_sources(tmp_path, [], lambda new: True)):
        with pytest.raises(UserError, match=r"holds mine\.txt, which no collection of sources made"):
            work()


def test_the_state_of_each_source_is_a_word(server: FileServer, tmp_path: Path, monkeypatch) -> None:
    server.answers["/a.zip"] = Answer(ZIP, cuts=[1_500_000] + [0] * transfer.TRIES)
    source = Source("natural", "", "", Download(server.url("/a.zip"), "a.zip"))
    assert collection.states(tmp_path / "out")["natural"] == "not there"
    with pytest.raises(UserError):
        collection.fetch_sources(tmp_path / "out", [source], lambda new: True)
    assert collection.states(tmp_path / "out")["natural"] == "in part"
    collection.fetch_sources(tmp_path / "out", [source], lambda new: True)
    assert collection.states(tmp_path / "out")["natural"] == "there"


# ------------------------------------------------------------------------------------------ PUG


def pug_archive(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return gzip.compress(buffer.getvalue(), mtime=0)


CSV = b"filename,character_name,character_label,scene_light\nBarrel/1.png,barrel_1,Barrel,Red\n"
PUG = {
    "PUG_IMAGENET/labels_pug_imagenet.csv": CSV,
    "PUG_IMAGENET/Scene_Light/Barrel/1.png": b"a picture",
    "PUG_IMAGENET/World/Barrel/2.png": b"another subset",
}


def pug_at(server: FileServer) -> Source:
    origin = Download(server.url("/p.tar.gz"), "p.tar.gz", repack=pug.keep_light, kept="PUG_ImageNet.zip")
    return Source("pug", "", "", origin)


def test_of_pugs_archive_the_lights_are_kept(server: FileServer, tmp_path: Path) -> None:
    server.answers["/p.tar.gz"] = Answer(pug_archive(PUG))
    collection.fetch_sources(tmp_path, [pug_at(server)], lambda new: True)
    kept = tmp_path / "pug" / "PUG_ImageNet.zip"
    assert sorted(path.name for path in kept.parent.iterdir()) == [kept.name]
    with zipfile.ZipFile(kept) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            "labels_pug_imagenet.csv": CSV, "Scene_Light/Barrel/1.png": b"a picture"
        }  # fmt: skip
    (image,) = SUBSET.read(open_images(kept, files=True)).images
    assert image.label == 427 and noted(tmp_path, "pug")["archive"]["bytes"] == len(pug_archive(PUG))
    collection.fetch_sources(tmp_path, [pug_at(server)], lambda new: True)
    assert len(server.requests) == 1
    kept.unlink()
    collection.fetch_sources(tmp_path, [pug_at(server)], lambda new: True)
    assert len(server.requests) == 2, "and the same bytes, or it would be refused"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pug_archive({"x/Scene_Light/a.png": b""}), "holds no labels_pug_imagenet.csv"),
        (pug_archive(PUG)[:150], "is damaged"),
        (b"\x1f\x8b" + bytes(1000), "is damaged"),
        (
            pug_archive({"../../labels_pug_imagenet.csv": CSV, "Scene_Light/../../../x": b""}),
            "no images of Scene_Light",
        ),
    ],
)
def test_another_archive_is_named(server: FileServer, tmp_path: Path, content: bytes, message: str) -> None:
    server.answers["/p.tar.gz"] = Answer(content)
    with pytest.raises(UserError, match=message):
        collection.fetch_sources(tmp_path, [pug_at(server)], lambda new: True)
    assert not (tmp_path / "pug" / "PUG_ImageNet.zip").exists()
