"""Requests to servers: a pace, retries with growing pauses, and answers that end.

HTTP errors that pass by themselves (429 with its Retry-After, 5xx, a connection refused or cut) are retried by
urllib3's `Retry`; a body that breaks off is what that does not see, so `call_with_retries` repeats the whole request.
An answer has `TIMEOUT` seconds in all, however slowly its header or body drips, and `MAX_BYTES`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import requests

# Chosen here; neither the paper nor Flickr says how long to wait for what.
TIMEOUT = 20.0  # seconds for a connection, and for a whole answer
TRIES = 3  # whole requests whose answer breaks off
RETRIES = 5  # requests that are answered by 429 or 5xx, or not at all: pauses of 0, 2, 4, 8, 16 seconds
BACKOFF = 1.0  # seconds; each pause is twice the one before
REDIRECTS = 5
MAX_BYTES = 20 << 20  # a JPEG of 1024 px has less than one MiB; whatever has twenty is something else
PASSING = (429, 500, 502, 503, 504)
GONE = (404, 410)

T = TypeVar("T")


class Garbled(Exception):
    """An answer that came in full and is not what was asked for; asking once more may help."""


class TooLarge(Garbled):
    """An answer of more than `MAX_BYTES`."""


class FetchError(Exception):
    """An image that could not be had. `unreachable`: the host's fault or the network's; `gone`: for good."""

    def __init__(self, reason: str, *, unreachable: bool = False, gone: bool = False) -> None:
        super().__init__(reason)
        self.unreachable = unreachable
        self.gone = gone


class Pace:
    """At most `per_second` requests a second, evenly spaced; 0 is no limit."""

    def __init__(self, per_second: float) -> None:
        self._gap = 1 / per_second if per_second else 0.0
        self._next = 0.0

    def wait(self) -> None:
        """Sleep until the next request may go out."""
        now = time.monotonic()
        if now < self._next:
            time.sleep(self._next - now)
        self._next = max(now, self._next) + self._gap


def open_session() -> requests.Session:
    """A session that keeps connections open and retries what passes by itself, POST too: here all calls only read.

    Its answers are read at once, whole, within `TIMEOUT` seconds and `MAX_BYTES`. It raises `requests.Timeout` for a
    slower one, `requests.exceptions.ContentDecodingError` or `ChunkedEncodingError` for one that breaks off, `TooLarge`
    for a larger one, and `UserError` for a server that wants a long pause.
    """
    import requests

    from mad.crawling.transport import PatientRetry, TimedAdapter

    session = requests.Session()
    session.headers["User-Agent"] = "vit-edit-bench (research crawler)"
    session.max_redirects = REDIRECTS
    session.hooks["response"].append(_read_whole)
    for scheme in ("http://", "https://"):
        retry = PatientRetry(total=RETRIES, backoff_factor=BACKOFF, status_forcelist=PASSING, allowed_methods=None)
        session.mount(scheme, TimedAdapter(retry, TIMEOUT))
    return session


def call_with_retries(ask: Callable[[], T]) -> T:
    """The value that `ask` returns, in up to `TRIES` tries with growing pauses between them.

    Raises:
        requests.RequestException, Garbled: of the last try; an error that `Retry` gave up on, at once.
    """
    from requests.exceptions import ChunkedEncodingError, ConnectionError, ContentDecodingError, Timeout
    from urllib3.exceptions import MaxRetryError

    for pause in range(TRIES - 1):
        try:
            return ask()
        except (ChunkedEncodingError, ConnectionError, ContentDecodingError, Timeout, Garbled) as error:
            if error.args and isinstance(error.args[0], MaxRetryError):
                raise
            time.sleep(BACKOFF * 2**pause)
    return ask()


def fetch_jpeg(session: requests.Session, url: str) -> bytes:
    """The bytes of the JPEG at `url`, whole as far as the transfer shows; decoding it is the caller's part.

    Raises:
        FetchError: for any other answer: an error, another content type, too many bytes, a body cut off or too slow.
        UserError: if the server asks for a long pause.
    """
    from requests import RequestException, TooManyRedirects

    try:
        return call_with_retries(lambda: _fetch(session, url))
    except (ValueError, TooManyRedirects) as error:  # what is wrong with an address is a ValueError in all libraries
        raise FetchError(f"no address that can be asked ({type(error).__name__})", gone=True) from error
    except RequestException as error:
        raise FetchError(f"not to be had ({type(error).__name__})", unreachable=True) from error


def _fetch(session: requests.Session, url: str) -> bytes:
    from requests import Timeout

    try:
        answer = session.get(url, timeout=TIMEOUT)
    except Timeout as error:  # a later run asks again; here another try would hold up all others
        raise FetchError(f"no whole answer in {TIMEOUT:g} seconds", unreachable=True) from error
    except TooLarge as error:
        raise FetchError(str(error)) from error
    if answer.status_code != 200:
        raise FetchError(f"HTTP {answer.status_code}", gone=answer.status_code in GONE)
    content_type = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if not content_type.startswith("image/"):
        raise FetchError(f"not an image but {content_type or 'something without a content type'}")
    if not answer.content.startswith(b"\xff\xd8\xff"):
        raise FetchError("not a JPEG")
    return answer.content


def _read_whole(answer: requests.Response, **_: Any) -> None:
    """Read the body into the answer, as `requests` does itself, but no more than `MAX_BYTES` of it."""
    import requests
    from urllib3.exceptions import ReadTimeoutError

    body = bytearray()
    try:
        for block in answer.iter_content(1 << 16):
            body += block
            if len(body) > MAX_BYTES:
                answer.close()
                raise TooLarge(f"more than {MAX_BYTES >> 20} MiB")
    except requests.ConnectionError as error:
        if error.args and isinstance(error.args[0], ReadTimeoutError):
            answer.close()
            raise requests.Timeout(*error.args) from error
        raise
    answer._content = bytes(body)
