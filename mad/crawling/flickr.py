"""The two calls of a crawl to Flickr, whatever client sends them: licences, and one page of a search (SPEC, section 7).

Paging is ours (`mad.crawling.crawler`), since `walk()` of flickrapi is broken on Python 3.9 and newer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from benchmark.core.errors import UserError, message_line, unknown
from benchmark.core.text import printable
from mad.crawling.clients import Client, Refusal
from mad.crawling.web import Garbled, Pace, call_with_retries

PER_PAGE = 500  # the most that Flickr gives (SPEC, section 7)
CALLS_A_SECOND = 1.0  # 3,600 an hour a key (SPEC, section 7)
SHORT_SIDE = 256  # px, what the protocol resizes to (SPEC, section 1): a larger file would only take longer
SIZES = ("z", "c", "l")  # Flickr's resized JPEGs, 640, 800 and 1024 px on the long side
EXTRAS = ("license", "date_upload", "date_taken", "owner_name", "path_alias", *(f"url_{size}" for size in SIZES))
# Each lets everybody pass a photograph on unchanged with its author's name, though some not for money, as the paper's
# "creative commons" leaves open. A name means every version, whatever id Flickr gives it (SPEC, section 7).
CREATIVE_COMMONS = ("by", "by-sa", "by-nc", "by-nc-sa", "by-nd", "by-nc-nd", "cc0", "pdm")
PHOTO_ID = re.compile(r"[0-9]{1,20}")  # Flickr's have 11 digits today; it becomes part of a file's name
LONGEST_TEXT = 10_000  # characters; Flickr's longest title has 255
REFUSED = (96, 97, 98, 100, 401)  # signature, signature missing, login, key; "unauthorised" as an HTTP status
UNAVAILABLE = (0, 10, 105, 106)  # "not currently available", "service unavailable", "write failed"


@dataclass(frozen=True)
class Licence:
    """A licence as Flickr lists it. `name` is short for Creative Commons' own ("by-sa", "cc0", "pdm"), else ""."""

    id: str
    title: str
    url: str

    @property
    def name(self) -> str:
        match = re.search(r"creativecommons\.org/(?:licenses/([a-z-]+)|publicdomain/(zero|mark))", self.url)
        if not match:
            return ""
        return match[1] or {"zero": "cc0", "mark": "pdm"}[match[2]]


@dataclass(frozen=True)
class Photo:
    """A photo as a search describes it. `date_upload` is in Unix seconds, `date_taken` as the camera's clock had it."""

    photo_id: str
    owner: str
    owner_name: str
    path_alias: str
    title: str
    licence_id: str
    date_upload: int
    date_taken: str
    url: str


@dataclass(frozen=True)
class Page:
    """One page of a search: its photos, the number of pages, and of photos that the search finds in all.

    `within` counts the photos on it that were uploaded when they should be, those that a crawl cannot take included.
    """

    photos: list[Photo]
    pages: int
    total: int
    within: int


class Flickr:
    """The calls that a crawl makes, at Flickr's pace.

    Args:
        client: sends the calls.
        pace: spaces them.
    """

    def __init__(self, client: Client, pace: Pace) -> None:
        self._client = client
        self._pace = pace

    def list_licences(self) -> list[Licence]:
        """All licences that Flickr knows today (`flickr.photos.licenses.getInfo`).

        Raises:
            UserError: if the key is refused, or Flickr cannot be reached.
        """
        return self._ask(
            lambda: self._client.call("flickr.photos.licenses.getInfo"),
            lambda answer: [
                Licence(_read_text(entry["id"]), _read_text(entry["name"]), _read_text(entry.get("url")))
                for entry in answer["licenses"]["license"]
            ],
        )

    def search(
        self,
        text: str,
        licences: Collection[str],
        first: int,
        last: int,
        page: int,
        per_page: int = PER_PAGE,
    ) -> Page:
        """One page of the photos for `text`, the most relevant first.

        Args:
            text: words that title, description or tags must hold.
            licences: licence ids.
            first: earliest upload, Unix seconds, included.
            last: latest upload, included.
            page: from 1.
            per_page: photos a page.

        Raises:
            UserError: if the key is refused, or Flickr cannot be reached.
        """
        return self._ask(
            lambda: self._client.call(
                "flickr.photos.search",
                text=text,
                license=",".join(licences),
                min_upload_date=first,
                max_upload_date=last,
                sort="relevance",
                media="photos",
                content_type=1,
                safe_search=1,
                per_page=per_page,
                page=page,
                extras=",".join(EXTRAS),
            ),
            lambda answer: read_page(answer["photos"], first, last),
        )

    def _ask(self, call: Callable[[], Any], read: Callable[[Any], Any]) -> Any:
        """The answer to `call` as `read` understands it."""
        from requests import RequestException

        def ask() -> Any:
            self._pace.wait()
            try:
                return read(call())
            except Refusal as error:
                if error.code in UNAVAILABLE:
                    raise Garbled(str(error)) from error
                raise
            except RequestException:  # some of them are ValueErrors
                raise
            except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
                raise Garbled(f"an answer that is not Flickr's ({type(error).__name__})") from error

        try:
            return call_with_retries(ask)
        except Refusal as error:
            if error.code in REFUSED:
                raise UserError(
                    f"Flickr refuses the key ({_in_words(error)}); check FLICKR_API_KEY and FLICKR_API_SECRET"
                ) from error
            raise UserError(
                f"Flickr refuses a call ({_in_words(error)}); the same command goes on where it stopped"
            ) from error
        except (RequestException, Garbled) as error:
            reason = f"{type(error).__name__}: {_in_words(error)}"
            raise UserError(
                f"Flickr cannot be reached ({reason}); the same command goes on where it stopped"
            ) from error


def read_page(answer: Mapping[str, Any], first: int, last: int) -> Page:
    """A page of a search between two upload times, from Flickr's answer."""
    entries = [entry for entry in answer["photo"] if isinstance(entry, dict)]
    return Page(
        [photo for entry in entries if (photo := read_photo(entry))],
        int(answer["pages"]),
        int(answer["total"]),
        sum(first <= _read_number(entry.get("dateupload")) <= last for entry in entries),
    )


def read_photo(entry: Mapping[str, Any]) -> Photo | None:
    """A photo of a search's answer, or None if it lacks what a crawl needs: an id, an owner, a size to fetch."""
    url = _choose_url(entry)
    photo_id, owner = str(entry.get("id", "")), _read_text(entry.get("owner"))
    if not (PHOTO_ID.fullmatch(photo_id) and owner and url):
        return None
    return Photo(
        photo_id=photo_id,
        owner=owner,
        owner_name=_read_text(entry.get("ownername")),
        path_alias=_read_text(entry.get("pathalias")),
        title=_read_text(entry.get("title")),
        licence_id=_read_text(entry.get("license", "")),
        date_upload=_read_number(entry.get("dateupload")),
        date_taken=_read_text(entry.get("datetaken")),
        url=url,
    )


def _choose_url(entry: Mapping[str, Any]) -> str:
    """The smallest size whose short side is `SHORT_SIDE` or more, else the largest that there is."""
    urls = {size: _read_text(entry.get(f"url_{size}")) for size in SIZES}
    offered = [size for size in SIZES if urls[size].startswith(("http://", "https://"))]
    for size in offered:
        if min(_read_number(entry.get(f"{side}_{size}")) for side in ("width", "height")) >= SHORT_SIDE:
            return urls[size]
    return urls[offered[-1]] if offered else ""


def _read_number(value: object) -> int:
    """A number that Flickr writes with quotes or without; 0 for a value that is no number."""
    return int(str(value)) if re.fullmatch(r"[0-9]{1,18}", str(value)) else 0


def _read_text(value: object) -> str:
    """Text that any file can hold: JSON can write halves of characters, which UTF-8 cannot, and has no longest text."""
    return ("" if value is None or value is False else str(value))[:LONGEST_TEXT].encode("utf-8", "replace").decode()


def _in_words(error: Exception) -> str:
    """An error whose text may be a server's."""
    return printable(_read_text(message_line(error)))


def choose_licences(requested: Collection[str], known: Collection[Licence]) -> dict[str, Licence]:
    """From its id to each licence that `requested` names. A name ("by-sa") means all versions that Flickr has, if any.

    Raises:
        UserError: for a word that is neither one of Creative Commons' names nor an id that Flickr knows.
    """
    licence_of_id: dict[str, Licence] = {}
    for word in requested:
        matches = {licence.id: licence for licence in known if word == licence.id or word.lower() == licence.name}
        if not matches and word.lower() not in CREATIVE_COMMONS:
            names = {licence.name or licence.id for licence in known}
            raise unknown("licence", word, names, hint="(--licences takes these names, or Flickr's ids)")
        licence_of_id.update(matches)
    if not licence_of_id:
        raise UserError(f"Flickr has none of the licences {' '.join(requested)}; name others with --licences")
    return licence_of_id
