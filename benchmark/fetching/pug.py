"""PUG: ImageNet, of which the subset with varied light is kept (SPEC, 6)."""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from benchmark.core.errors import UserError, message_line
from benchmark.core.files import replacing
from benchmark.core.text import printable
from benchmark.fetching.download import Download
from benchmark.fetching.source import Source
from benchmark.images.files import MAX_FILE
from benchmark.subsets.stage_light import FOLDER, LABELS_CSV

OWNERS = "https://github.com/facebookresearch/PUG"
DAY_ONE = (1980, 1, 1, 0, 0, 0)  # of all members, so that the same archive gives the same bytes


def keep_light(archive: Path, target: Path) -> None:
    """Write the csv and the images of ``Scene_Light`` of PUG's archive as a ZIP archive, which is never half there.

    Raises `UserError` for an archive that is damaged, or has no such images.
    """
    names = set()
    try:
        with (
            replacing(target) as temporary,
            zipfile.ZipFile(temporary, "w") as kept,
            tarfile.open(archive, "r:gz") as tar,
        ):
            for member in tar:
                name = _kept_name(member.name)
                if not name or not member.isreg() or name in names:
                    continue
                if member.size > MAX_FILE:
                    raise UserError(f"{archive}: {printable(name)} is larger than any image; fetch it again")
                file = tar.extractfile(member)
                assert file is not None, "a regular file"
                names.add(name)
                kept.writestr(zipfile.ZipInfo(name, DAY_ONE), file.read())
            if LABELS_CSV not in names or len(names) < 2:
                raise UserError(f"{archive}: holds no {LABELS_CSV} or no images of {FOLDER}; is it PUG: ImageNet?")
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise UserError(f"{archive}: is damaged ({message_line(error)}); take it away, and fetch it again") from error


def _kept_name(name: str) -> str | None:
    """The path in the new archive of a member of the old one; None for what is left out."""
    parts = PurePosixPath(name).parts
    if parts and parts[-1] == LABELS_CSV:
        return LABELS_CSV
    return str(PurePosixPath(*parts[parts.index(FOLDER) :])) if FOLDER in parts and ".." not in parts else None


SOURCE = Source(
    name="pug",
    content="PUG: ImageNet, the images with varied light",
    command="benchmark.build --stage-light",
    origin=Download(
        "https://dl.fbaipublicfiles.com/large_objects/pug/PUG_IMAGENET.tar.gz",
        "PUG_IMAGENET.tar.gz",
        repack=keep_light,
        kept="PUG_ImageNet.zip",
    ),
    value="{path}/PUG_ImageNet.zip",
    size=f"27 GB, {OWNERS}",
    licence=f"CC-BY-NC, {OWNERS}",
    terms="No commercial use, and no training of generative models.",
)
