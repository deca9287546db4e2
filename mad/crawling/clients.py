"""Two clients of Flickr's REST API, with the same interface: the library flickrapi, and requests alone.

A client sends one call and gives back the parsed answer. Pace, retries and the reading of answers stand above, once
(`mad.crawling.flickr`, `mad.crawling.web`). flickrapi's author archived it in 2024, so no crawl depends on it.
"""

from __future__ import annotations

import json
import logging
import re
from typing import Any, Literal, Protocol

from benchmark.core.errors import message_line
from mad.crawling.web import TIMEOUT, open_session

log = logging.getLogger(__name__)

API = "https://api.flickr.com/services/rest/"
ClientName = Literal["flickrapi", "requests"]


class Refusal(Exception):
    """Flickr's answer that it refuses a call. `code` is Flickr's own, or the HTTP status of an answer without one."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Client(Protocol):
    """The one call that a crawl needs of Flickr's API."""

    def call(self, method: str, **arguments: str | int) -> Any:
        """The answer to `method` ("flickr.photos.search") as parsed JSON.

        Raises:
            Refusal: if Flickr refuses the call, or answers with a status other than 200 that no retry mends.
            requests.RequestException: if it cannot be reached.
            ValueError, AttributeError: for an answer that is no JSON object.
        """


class FlickrapiClient:
    """Calls through flickrapi, which signs them with the secret. Raises ImportError where flickrapi is missing."""

    def __init__(self, key: str, secret: str, api: str = API) -> None:
        import flickrapi

        logging.getLogger("flickrapi").setLevel(logging.CRITICAL)  # it would print the bodies of error pages
        self._flickr = flickrapi.FlickrAPI(key, secret, format="parsed-json", store_token=False, timeout=TIMEOUT)
        self._flickr.REST_URL = api
        self._flickr.flickr_oauth.session = open_session()

    def call(self, method: str, **arguments: str | int) -> Any:
        """See `Client.call`."""
        from flickrapi.exceptions import FlickrError

        try:
            return self._flickr.do_flickr_call(method, **arguments)
        except FlickrError as error:
            status = re.search(r"Status code (\d+)", str(error))
            raise Refusal(str(error), int(status[1]) if status else int(error.code or 0)) from error


class RequestsClient:
    """Calls through requests. Flickr wants no signature for what everybody may read: the key alone is sent."""

    def __init__(self, key: str, secret: str, api: str = API) -> None:
        self._key, self._api, self._session = key, api, open_session()

    def call(self, method: str, **arguments: str | int) -> Any:
        """See `Client.call`."""
        form = {"method": method, "api_key": self._key, "format": "json", "nojsoncallback": 1, **arguments}
        answer = self._session.post(self._api, data=form, timeout=TIMEOUT)
        if answer.status_code != 200:
            raise Refusal(f"HTTP {answer.status_code}", answer.status_code)
        parsed = json.loads(answer.content)
        if parsed.get("stat") == "fail":
            raise Refusal(f"Error: {parsed['code']}: {parsed['message']}", int(parsed["code"]))
        return parsed


def connect(name: ClientName, key: str, secret: str, api: str = API) -> Client:
    """The client of that name for an API key and its secret; requests takes over where flickrapi does not import."""
    if name == "flickrapi":
        try:
            return FlickrapiClient(key, secret, api)
        except Exception as error:  # archived: what a newer Python or library breaks in it can be anything
            log.warning(f"flickrapi does not work here ({message_line(error)}); requests takes its place")
    return RequestsClient(key, secret, api)
