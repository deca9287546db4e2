"""One file over HTTP into a part beside its place: resumed by byte range, checked as it comes, and never half in place.

A server says what a file is by its ETag or Last-Modified; with `If-Range` it sends the rest of that very file, or
all of another. A connection that is cut is opened again where it was cut.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm.auto import tqdm

from benchmark.core.errors import UserError, message_line
from benchmark.core.files import MAKE_ROOM, cannot_write, flush
from benchmark.fetching.lock import FIRST, LOCK, Entry
from benchmark.fetching.pages import refuse_page

if TYPE_CHECKING:
    import requests

TIMEOUT = (10, 60)  # seconds for a connection, and between two bytes
RETRIES = 5  # of a request that is answered by 429 or 5xx, or not at all: pauses of 0, 2, 4, 8, 16 seconds
BACKOFF = 1.0
PASSING = (429, 500, 502, 503, 504)
TRIES = 5  # connections in a row that are cut without having brought a byte
CHUNK = 1 << 20  # bytes
SPARE = 256 << 20  # bytes that stay free on the disk
LATER = "the same command goes on with what is there"
REASONS = {
    401: "wants you to sign in",
    403: "does not give it to you",
    404: "has no such file any more",
    410: "has no such file any more",
    429: "is asked too often",
}
BY_HAND = "open the address in a browser, and give what you get there with --from-folder"


def transfer(url: str, target: Path, entry: Entry) -> None:
    """Fetch `url` as the file `target`, whose name is noted in `entry` with size and hash.

    Raises `UserError` for a server that cannot be reached, refuses, or sends a page or another file than `entry` has
    noted, and for a disk that is too small. What came already stays in ``target.part`` for the next call.
    """
    part = target.with_name(f"{target.name}.part")
    with cannot_write(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    digests, tries = "", 0
    with open_session() as session, progress(target.name) as bar:
        while True:
            before = _size(part)
            try:
                digests = _append(session, url, part, target.name, entry, bar) or digests
                break
            except _Cut as cut:
                tries = 1 if _size(part) > before else tries + 1
                if tries >= TRIES:
                    raise UserError(f"{url}: the connection was cut ({cut}); {LATER}") from cut
                time.sleep(BACKOFF * 2 ** (tries - 1))
    _finish(url, part, target, entry, digests)


def _finish(url: str, part: Path, target: Path, entry: Entry, md5: str) -> None:
    """Check the whole part, note it, and put it in its place; what is wrong is removed."""
    sha256, actual_md5 = _hashes(part)
    hash_from = FIRST
    try:
        if md5:
            if base64.b64encode(actual_md5).decode() != md5:
                raise UserError(f"{url}: what came has another MD5 than the server states; fetch it again")
            hash_from = "checked by the server's MD5"
        entry.check_hash(target.name, sha256, part)
    except UserError:
        part.unlink()
        entry.note.pop("partial", None)
        entry.save()
        raise
    with cannot_write(target):
        flush(part)
        entry.add_file(target.name, part, hash_from, sha256)
        entry.note.pop("partial", None)
        entry.save()  # before it is in its place: whoever is killed here finds the part whole
        part.replace(target)


class _Cut(Exception):
    """A connection that ended before the file did."""


def open_session() -> requests.Session:
    """A session that repeats requests which fail in passing, and follows redirects, from https to https alone."""
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3 import Retry

    class Session(requests.Session):
        def get_redirect_target(self, resp: requests.Response) -> str | None:
            target = super().get_redirect_target(resp)
            if target and resp.url.startswith("https:") and target.startswith("http:"):
                raise UserError(f"{resp.url}: leads to an address without https; {BY_HAND}")
            return target

    session = Session()
    session.headers.update({"User-Agent": "vit-edit-bench", "Accept-Encoding": "identity"})
    retry = Retry(
        RETRIES,
        backoff_factor=BACKOFF,
        status_forcelist=PASSING,
        raise_on_status=False,
        respect_retry_after_header=False,  # it may say hours
    )
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    return session


def _append(session: requests.Session, url: str, part: Path, name: str, entry: Entry, bar: tqdm) -> str:
    """Write what the part lacks behind it; return the MD5 that the server states, in base64, if it does."""
    partial = entry.note.get("partial", {})
    start = _size(part) if partial.get("url") == url and partial.get("validator") else 0
    if start and start == partial.get("bytes"):
        return str(partial.get("md5", ""))
    headers = {"Range": f"bytes={start}-", "If-Range": partial["validator"]} if start else {}
    with _answers(session, url, headers) as answer:
        if answer.status_code == 416 and start:
            part.unlink()
            raise _Cut("the server refuses the rest, so it begins anew")
        _refuse_status(url, answer)
        if answer.status_code != 206 or not _continues(answer, start):
            start = 0
        blocks = answer.iter_content(CHUNK)
        first = next(blocks, b"")
        if not start:
            refuse_page(url, answer.headers.get("Content-Type", ""), first, name)
        total = _total(answer, start)
        known = entry.files.get(name)
        if known is not None and total is not None and known["bytes"] != total:
            raise UserError(
                f"{url}: has {total:,} bytes now, and {known['bytes']:,} when it was fetched first; take {entry.name} "
                f"out of {LOCK} to accept the new one"
            )
        if total is not None:
            check_room(part.parent, total - start, entry.name)
        md5 = _stated_md5(answer)
        partial = {"url": url, "validator": _validator(answer), "bytes": total, "md5": md5}
        entry.save(partial=partial)
        bar.reset(total)
        bar.n = bar.last_print_n = bar.initial = start  # what came before says nothing of the speed
        with cannot_write(part, f"{MAKE_ROOM}; {LATER}"), part.open("ab" if start else "wb") as file:
            for block in itertools.chain([first], blocks):
                file.write(block)
                bar.update(len(block))
    if total is not None and _size(part) != total:
        raise _Cut(f"{_size(part):,} of {total:,} bytes came")
    return md5


@contextmanager
def _answers(session: requests.Session, url: str, headers: dict[str, str]) -> Iterator[requests.Response]:
    """The answer to a request, not yet read. Raises `UserError` where there is none, `_Cut` where it ends early."""
    import requests

    try:
        with session.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
            yield answer
    except requests.TooManyRedirects as error:
        raise UserError(f"{url}: leads in a circle; {BY_HAND}") from error
    except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError) as error:
        raise _Cut(message_line(error)) from error
    except requests.ConnectionError as error:
        if "Read timed out" in str(error) or "IncompleteRead" in str(error):
            raise _Cut(message_line(error)) from error
        raise UserError(f"{url}: cannot be reached ({type(error).__name__}); check the network, {LATER}") from error
    except requests.RequestException as error:
        raise UserError(f"{url}: cannot be had ({message_line(error)}); {BY_HAND}") from error


def _refuse_status(url: str, answer: requests.Response) -> None:
    status = answer.status_code
    if status in (200, 206):
        return
    if status in PASSING:
        raise UserError(f"{url}: the server is out of order or busy ({status}); try again later, {LATER}")
    raise UserError(f"{url}: the server {REASONS.get(status, 'refuses it')} ({status}); {BY_HAND}")


def _continues(answer: requests.Response, start: int) -> bool:
    """Return whether an answer to a range begins where the part ends."""
    stated = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    return stated is not None and int(stated[1]) == start


def _total(answer: requests.Response, start: int) -> int | None:
    """The size of the whole file, as far as the server states it."""
    stated = re.search(r"/(\d+)$", answer.headers.get("Content-Range", ""))
    if stated is not None:
        return int(stated[1])
    length = answer.headers.get("Content-Length", "")
    return start + int(length) if length.isdigit() else None


def _validator(answer: requests.Response) -> str:
    """A value for `If-Range`: a strong ETag, else the date of the last change; empty if the server has neither."""
    tag = answer.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified", "")


def _stated_md5(answer: requests.Response) -> str:
    """The MD5 that Google's storage states of a file, in base64."""
    stated = re.search(r"(?:^|[,\s])md5=([A-Za-z0-9+/=]+)", answer.headers.get("x-goog-hash", ""))
    return stated[1] if stated else ""


def check_room(folder: Path, needed: int, name: str) -> None:
    """Raise `UserError` unless the disk of `folder` has room for so many bytes, and `SPARE` of them more."""
    free = shutil.disk_usage(folder).free
    if free < needed + SPARE:
        raise UserError(
            f"{name} needs {as_size(needed)} more in {folder}, and {as_size(free)} are free there; make room, or name "
            "another --out"
        )


def as_size(n_bytes: int) -> str:
    """A number of bytes in words, such as ``27.0 GB``."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= scale:
            return f"{n_bytes / scale:,.1f} {unit}"
    return f"{n_bytes} bytes"


def progress(name: str, total: int | None = None, initial: int = 0) -> tqdm:
    """A bar of bytes, `initial` of which are there, with the time that is left; where standard error is a terminal."""
    return tqdm(
        total=total,
        initial=initial,
        desc=name,
        unit="B",
        unit_scale=True,
        leave=False,
        disable=None,
        dynamic_ncols=True,
    )


def _size(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


def _hashes(path: Path) -> tuple[str, bytes]:
    """SHA-256 in hex, and MD5, of a file that is read once."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(CHUNK):
            sha256.update(block)
            md5.update(block)
    return sha256.hexdigest(), md5.digest()
