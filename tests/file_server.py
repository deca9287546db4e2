"""A server on loopback that sends files over HTTP as the owners of archives do, and fails as they do."""

from __future__ import annotations

import base64
import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BLOCK = 1 << 16


@dataclass
class Answer:
    """An answer to requests of one path.

    content: the file.
    etag, last_modified: what the server says of it; empty for nothing.
    redirect: another address; all else is not sent then.
    status: of the answer.
    ranges: "sent", "ignored" (all is sent instead), or "refused" (416).
    cuts: after how many bytes of the body each answer is cut, the first first; none is cut when they are used up.
    md5: whether it is stated as Google's storage does.
    length: whether the size is stated.
    stall: an event for which the body waits after `stall_after` bytes.
    """

    content: bytes = b""
    etag: str = '"1"'
    last_modified: str = ""
    redirect: str = ""
    status: int = 200
    media_type: str = "application/octet-stream"
    ranges: str = "sent"
    cuts: list[int] = field(default_factory=list)
    md5: bytes | None = None
    length: bool = True
    stall: threading.Event | None = None
    stall_after: int = 0


class FileServer(ThreadingHTTPServer):
    """Answers by path; `requests` has path, Range and If-Range of each request so far."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.answers: dict[str, Answer] = {}
        self.requests: list[tuple[str, str, str]] = []

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that hang up."""

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FileServer

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path, asked = self.path.partition("?")[0], self.headers.get("Range", "")
        self.server.requests.append((path, asked, self.headers.get("If-Range", "")))
        answer = self.server.answers.get(path, Answer(b"nothing here", status=404))
        if answer.redirect:
            return self._send(302, b"", {"Location": answer.redirect}, answer)
        headers = {"Content-Type": answer.media_type, "Accept-Ranges": "bytes"}
        headers |= {"ETag": answer.etag} if answer.etag else {}
        headers |= {"Last-Modified": answer.last_modified} if answer.last_modified else {}
        if answer.md5 is not None:
            headers["x-goog-hash"] = f"crc32c=AAAAAA==, md5={base64.b64encode(answer.md5).decode()}"
        start = int(match[1]) if (match := re.fullmatch(r"bytes=(\d+)-", asked)) else 0
        is_same = self.headers.get("If-Range") in (answer.etag, answer.last_modified)
        if start and answer.ranges == "refused":
            return self._send(416, b"", {"Content-Range": f"bytes */{len(answer.content)}"}, answer)
        if start and is_same and answer.ranges == "sent":
            headers["Content-Range"] = f"bytes {start}-{len(answer.content) - 1}/{len(answer.content)}"
            return self._send(206, answer.content[start:], headers, answer)
        return self._send(answer.status, answer.content, headers, answer)

    def _send(self, status: int, body: bytes, headers: dict[str, str], answer: Answer) -> None:
        cut = answer.cuts.pop(0) if answer.cuts and status in (200, 206) else len(body)
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name, text)
        if answer.length:
            self.send_header("Content-Length", str(len(body)))
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        for start in range(0, cut, BLOCK):
            self.wfile.write(body[start : min(start + BLOCK, cut)])
            self.wfile.flush()
            if answer.stall is not None and start >= answer.stall_after:
                answer.stall.wait(60)
        if cut < len(body) or not answer.length:
            self.close_connection = True


def md5(content: bytes) -> bytes:
    return hashlib.md5(content, usedforsecurity=False).digest()


@contextmanager
def serving_files(port: int = 0) -> Iterator[FileServer]:
    """A server that runs in a thread until the block ends."""
    server = FileServer(port)
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
