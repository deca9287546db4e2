"""Connections whose answers have a deadline, and retries that understand any Retry-After.

`requests` and urllib3 bound the time between two bytes, not the whole: a server that sends a byte now and then holds
them for ever. Here each read waits for what is left of a time that began when the request was sent, header and body
alike.
"""

from __future__ import annotations

import http.client
import io
import logging
import re
import socket
import time
from email.utils import parsedate_to_datetime
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import PoolManager, Retry
from urllib3.exceptions import ReadTimeoutError

from benchmark.core.errors import UserError

log = logging.getLogger(__name__)

# Seconds, chosen here.
LONGEST_PAUSE = 120.0  # that a server may ask for; one that wants more is asked again by a later run
NOTED = 5.0  # a longer pause is logged


def read_retry_after(value: str, usual: float) -> float:
    """Seconds that a Retry-After header asks for: a number, fractional too, or a date; `usual` for anything else.

    Raises:
        UserError: for more than `LONGEST_PAUSE`.
    """
    if re.fullmatch(r"\s*[0-9]+(\.[0-9]*)?\s*", value):
        seconds = float(value)
    else:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, TypeError, LookupError, OverflowError):
            seconds = usual
    if seconds > LONGEST_PAUSE:
        raise UserError(
            f"the server asks for a pause of more than {LONGEST_PAUSE:.0f} seconds (Retry-After); "
            "the same command goes on later"
        )
    return max(seconds, 0.0)


class PatientRetry(Retry):
    """Retries of requests answered by an error that passes, or not at all; not of those answered too slowly."""

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: Any = None,
        error: Exception | None = None,
        _pool: Any = None,
        _stacktrace: Any = None,
    ) -> PatientRetry:
        """See `Retry.increment`. Raises an answer's timeout as it is."""
        if isinstance(error, ReadTimeoutError):
            raise error
        return super().increment(method, url, response, error, _pool, _stacktrace)

    def parse_retry_after(self, retry_after: str) -> float:
        """See `read_retry_after`; a long pause is logged."""
        seconds = read_retry_after(retry_after, self.backoff_factor)
        if seconds > NOTED:
            log.info("the server asks for a pause of %.0f seconds", seconds)
        return seconds


class _TimedReader(io.RawIOBase):
    """The bytes of one answer, until its time is up."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, seconds: float) -> None:
        self._raw, self._sock, self._end = raw, sock, time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer takes too long")
        self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimedResponse(http.client.HTTPResponse):
    seconds: float

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self.fp = io.BufferedReader(_TimedReader(self.fp.detach(), sock, self.seconds))


class TimedAdapter(HTTPAdapter):
    """Sends a session's requests, directly or by a proxy; each answer has so many seconds in all."""

    def __init__(self, retry: Retry, seconds: float) -> None:
        self._seconds = seconds
        super().__init__(max_retries=retry)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """See `HTTPAdapter.init_poolmanager`."""
        super().init_poolmanager(*arguments, **options)
        self._time_answers(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """See `HTTPAdapter.proxy_manager_for`."""
        is_new = proxy not in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **options)
        if is_new:
            self._time_answers(manager)
        return manager

    def _time_answers(self, manager: PoolManager) -> None:
        pools = manager.pool_classes_by_scheme
        manager.pool_classes_by_scheme = {scheme: self._timed(pool) for scheme, pool in pools.items()}

    def _timed(self, pool: Any) -> Any:
        """The same kind of pool, whose connections' answers have a deadline."""
        response = type("TimedResponse", (_TimedResponse,), {"seconds": self._seconds})
        connection = type("TimedConnection", (pool.ConnectionCls,), {"response_class": response})
        return type("TimedPool", (pool,), {"ConnectionCls": connection})
