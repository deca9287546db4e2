"""One textual-inversion token a class: a learned row of the text encoder's embedding, and its origin.

The released ones (Dataset Interfaces / ImageNet*) are bare tensors, one ``{index}.bin`` a class, made for Stable
Diffusion 2, whose text encoder is 1,024 wide. Files as diffusers writes them, one entry {token: tensor}, are read
as well. A pickle is read with `weights_only`, so that it can run nothing.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.core.arrays import load_pickled, parse_tensors
from benchmark.core.errors import UserError
from benchmark.core.hub import from_hub
from benchmark.core.readers import read_bytes
from benchmark.labels.imagenet import names

if TYPE_CHECKING:
    import torch

RELEASED = "madrylab/imagenet-star-tokens"  # SPEC, 6
ARCHIVE = "tokens.zip"  # how the released code fetches them all at once: tokens/{index}.bin in it

Read = Callable[[str], bytes | None]


@dataclass(frozen=True)
class Token:
    """`embedding` is (n, width): n vectors, one as a rule; `origin` is its file, with its SHA-256."""

    name: str
    embedding: torch.Tensor
    origin: str


def name_token(index: int) -> str:
    """The text of a class's token in a prompt. The released code writes the class's name in it; it has no effect."""
    return f"<imagenet-{index}>"


def find_tokens(source: str, classes: Iterable[int], width: int) -> dict[int, Token]:
    """The tokens that `source` has for these classes; a class without one is left out.

    Args:
        source: a folder, a ZIP archive, or a data set on the Hub, with ``{index}.bin`` or ``.safetensors`` files.
        classes: ImageNet indices.
        width: of the text encoder that they are for.

    Raises:
        UserError: for a source that cannot be read, a file that is no token, and a token of another width.
    """
    advice = f"download {ARCHIVE} elsewhere and give it as --tokens, or go without with --class-names"
    with from_hub(f"{source} is no folder here, and its tokens", advice, here=Path(source).exists()):
        return _find_tokens(source, classes, width)


def _find_tokens(source: str, classes: Iterable[int], width: int) -> dict[int, Token]:
    read = _choose_reader(source)
    token_of_class = {}
    for index in classes:
        for name in (f"{index}.bin", f"{index}.safetensors"):
            data = read(name)
            if data is not None:
                place = f"{Path(source).name if Path(source).exists() else source}/{name}"
                embedding = _parse_embedding(data, name, place)
                if embedding.shape[1] != width:
                    raise UserError(
                        f"{place}: the token of {names()[index]} is {embedding.shape[1]} wide, the model's text "
                        f"encoder {width}; take tokens that were learned for this model, or --learn-token"
                    )
                origin = f"{place} sha256:{hashlib.sha256(data).hexdigest()}"
                token_of_class[index] = Token(name_token(index), embedding, origin)
                break
    return token_of_class


def _parse_embedding(data: bytes, name: str, place: str) -> torch.Tensor:
    """The token in a file's bytes, float32 (n, width)."""
    import torch

    loaded: Any = parse_tensors(data, place) if name.endswith(".safetensors") else load_pickled(data, place)
    if isinstance(loaded, dict) and len(loaded) == 1:
        (loaded,) = loaded.values()
    if not isinstance(loaded, torch.Tensor) or loaded.ndim not in (1, 2) or not loaded.is_floating_point():
        raise UserError(
            f"{place}: must be a tensor, or one entry {{token: tensor}} as diffusers writes it; it is no token"
        )
    return loaded.detach().float().reshape(-1, loaded.shape[-1])


def _choose_reader(source: str) -> Read:
    """A function from a file's name to its bytes, or None if there is no such file."""
    path = Path(source)
    if path.is_dir():
        return lambda name: read_bytes(path / name) if (path / name).is_file() else None
    if path.is_file():
        return _read_zip(path)
    return _read_hub(source)


def _read_zip(path: Path) -> Read:
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise UserError(
            f"{path}: --tokens must be a folder, a ZIP archive or a Hub data set, not this file; name one of these"
        ) from error
    inside = {Path(name).name: name for name in archive.namelist()}
    return lambda name: archive.read(inside[name]) if name in inside else None


def _read_hub(source: str) -> Read:
    from huggingface_hub import _CACHED_NO_EXIST, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    def fetch(name: str) -> Path | None:
        try:
            return Path(hf_hub_download(source, name, repo_type="dataset"))
        except LocalEntryNotFoundError:  # it is an EntryNotFoundError as well, and means "offline"
            if try_to_load_from_cache(source, name, repo_type="dataset") is _CACHED_NO_EXIST:
                return None
            raise
        except EntryNotFoundError:
            return None

    archive: Read | None = None
    is_archive_asked_for = False

    def read(name: str) -> bytes | None:
        nonlocal archive, is_archive_asked_for
        if archive is None and (path := fetch(name)) is not None:
            return read_bytes(path)
        if not is_archive_asked_for:
            whole, is_archive_asked_for = fetch(ARCHIVE), True
            archive = _read_zip(whole) if whole is not None else None
        return archive(name) if archive is not None else None

    return read
