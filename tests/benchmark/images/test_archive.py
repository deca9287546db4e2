"""Archives that are hostile or damaged are refused in one line, and nothing of them reaches the disk."""

from __future__ import annotations

import hashlib
import io
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from benchmark.core.errors import UserError
from benchmark.images import archive, files
from benchmark.images.decode import BrokenImage
from benchmark.images.open import open_images
from tests.benchmark.released import numbered, zipped

HONEST = {"Top/1_a/1.jpg": numbered(1), "Top/1_a/2.JPEG": numbered(2), "Top/2_b/3.png": numbered(4)}


def with_central_directory(path: Path, records: list[bytes]) -> None:
    """Replace an archive's table of contents by these records."""
    data = path.read_bytes()
    end = data.rindex(b"PK\x05\x06")
    start = struct.unpack("<I", data[end + 16 : end + 20])[0]
    table = b"".join(records)
    count = struct.pack("<HH", len(records), len(records))
    tail = data[end : end + 8] + count + struct.pack("<II", len(table), start) + data[end + 20 :]
    path.write_bytes(data[:start] + table + tail)


def central_record(path: Path) -> bytes:
    """The table of contents of an archive of one file."""
    data = path.read_bytes()
    return data[data.rindex(b"PK\x01\x02") : data.rindex(b"PK\x05\x06")]


def test_an_honest_archive_reads_like_its_folder(tmp_path: Path) -> None:
    files = {**HONEST, "__MACOSX/Top/1_a/._1.jpg": b"x", "Top/.DS_Store": b"x", "Top/.hidden/1.jpg": b"x", "a.txt": b""}
    packed = open_images(zipped(tmp_path / "a.zip", files, zipfile.ZIP_DEFLATED), files=True)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        archive.extractall(tmp_path / "folder")
    folder = open_images(tmp_path / "folder", files=True)
    assert packed.paths == folder.paths == sorted(HONEST)
    assert packed.files == folder.files
    assert all(packed.read_file(name) == folder.read_file(name) == HONEST[name] for name in HONEST)
    digest = hashlib.sha256((tmp_path / "a.zip").read_bytes()).hexdigest()
    assert packed.provenance() == {"input": "a.zip", "sha256": digest}
    assert folder.provenance() == {"input": "folder", "files": 3}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../out.jpg", "path out of"),
        ("a/../../out.jpg", "path out of"),
        ("a\\..\\out.jpg", "path out of"),
        ("/etc/out.jpg", "absolute"),
        ("C:/out.jpg", "absolute"),
        ("\\\\host\\out.jpg", "path out of"),
    ],
)
def test_a_name_that_leads_out_is_refused(tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "in").mkdir()
    archive = zipped(tmp_path / "in" / "a.zip", {**HONEST, name: numbered(5)})
    with pytest.raises(UserError, match=why):
        open_images(archive, files=True)
    assert [path.name for path in tmp_path.rglob("*")] == ["in", "a.zip"]


def test_links_devices_and_secrets_are_refused(tmp_path: Path) -> None:
    for kind in (stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO):
        member = zipfile.ZipInfo("a.jpg")
        member.external_attr = (kind | 0o777) << 16
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            archive.writestr(member, "/etc/passwd")
        with pytest.raises(UserError, match="link or a device"):
            open_images(tmp_path / "a.zip", files=True)
    zipped(tmp_path / "b.zip", {"a.jpg": numbered(0)})
    record = central_record(tmp_path / "b.zip")
    with_central_directory(tmp_path / "b.zip", [record[:8] + b"\x01\x00" + record[10:]])
    with pytest.raises(UserError, match="encrypted"):
        open_images(tmp_path / "b.zip", files=True)
    with_central_directory(tmp_path / "b.zip", [record, record])
    with pytest.raises(UserError, match="twice"):
        open_images(tmp_path / "b.zip", files=True)
    zipped(tmp_path / "c.zip", {"a.jpg": numbered(0)}, zipfile.ZIP_LZMA)
    with pytest.raises(UserError, match="method"):
        open_images(tmp_path / "c.zip", files=True)


def test_bombs_are_refused_before_they_are_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zipped(tmp_path / "a.zip", {"a.bmp": bytes(8 << 20)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match="times its size"):
        open_images(tmp_path / "a.zip", files=True)

    # Members that share their bytes: each is honest by itself (as in Fifield's "A better zip bomb", 2019).
    zipped(tmp_path / "b.zip", {"000.jpg": bytes(range(256)) * 512})
    record = central_record(tmp_path / "b.zip")
    names = [f"{number:03d}.jpg".encode() for number in range(300)]
    with_central_directory(tmp_path / "b.zip", [record.replace(b"000.jpg", name) for name in names])
    assert len(zipfile.ZipFile(tmp_path / "b.zip").namelist()) == 300
    with pytest.raises(UserError, match="would unpack to 2"):
        open_images(tmp_path / "b.zip", files=True)

    zipped(tmp_path / "c.zip", HONEST)
    for limit, why in (("MAX_FILE", "is larger than"), ("MAX_FILES", "more than 1"), ("MAX_TOTAL", "more than 0")):
        with monkeypatch.context() as patch:
            patch.setattr(archive, limit, 1)
            with pytest.raises(UserError, match=why):
                open_images(tmp_path / "c.zip", files=True)


def test_a_member_that_lies_about_its_size_is_cut_off_there(tmp_path: Path) -> None:
    data = bytes(500_000)
    zipped(tmp_path / "a.zip", {"a.bmp": data}, zipfile.ZIP_DEFLATED)
    record = central_record(tmp_path / "a.zip")
    assert record[24:28] == struct.pack("<I", len(data))
    with_central_directory(tmp_path / "a.zip", [record[:24] + struct.pack("<I", 1000) + record[28:]])
    with pytest.raises(BrokenImage, match="damaged"):
        open_images(tmp_path / "a.zip", files=True).read_file("a.bmp")


def test_truncated_and_damaged_archives(tmp_path: Path) -> None:
    whole = zipped(tmp_path / "a.zip", HONEST).read_bytes()
    for part in (whole[: len(whole) // 2], whole[:-30], b"", b"<html>not found</html>"):
        (tmp_path / "cut.zip").write_bytes(part)
        with pytest.raises(UserError, match="must be a ZIP archive"):
            open_images(tmp_path / "cut.zip", files=True)
    middle = whole.index(HONEST["Top/1_a/1.jpg"]) + 200
    (tmp_path / "bad.zip").write_bytes(whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :])
    images = open_images(tmp_path / "bad.zip", files=True)
    with pytest.raises(BrokenImage, match="damaged"):
        images.read_file("Top/1_a/1.jpg")
    assert images.read_file("Top/1_a/2.JPEG") == HONEST["Top/1_a/2.JPEG"]
    with pytest.raises(UserError, match="no such file"):
        open_images(tmp_path / "nothing.zip", files=True)


def test_a_folder_is_walked_without_following_links_to_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in" / "a").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    for place in ("in/a/1.jpg", "in/a/.2.jpg", "in/a/3.txt", "out/4.jpg"):
        (tmp_path / place).write_bytes(numbered(0))
    (tmp_path / "in" / "b").symlink_to(tmp_path / "out")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    images = open_images(tmp_path / "in", files=True)
    assert images.paths == ["a/1.jpg"]
    monkeypatch.setattr(files, "MAX_FILE", 10)
    with pytest.raises(BrokenImage, match="larger"):
        images.read_file("a/1.jpg")


def test_the_stand_ins_decode_and_differ() -> None:
    from PIL import Image

    from benchmark.images.decode import decode

    made = [numbered(number) for number in range(24)]
    assert len({hashlib.sha256(data).digest() for data in made}) == 24
    opened = [Image.open(io.BytesIO(data)) for data in made[:12]]
    assert {image.mode for image in opened} == {"RGB", "L", "CMYK"}
    assert {image.format for image in opened} == {"JPEG", "PNG"}
    assert {decode(data).size for data in made} == {(80, 60), (60, 80)}
