"""A server on loopback that speaks as much of Flickr's REST API as a crawl needs, and misbehaves on request."""

from __future__ import annotations

import io
import json
import re
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import numpy as np
from PIL import Image

from mad.crawling.clients import ClientName

KEY, SECRET = "the-key", "the-secret"
LICENCES = [
    ("0", "All Rights Reserved", ""),
    ("1", "Attribution-NonCommercial-ShareAlike License", "https://creativecommons.org/licenses/by-nc-sa/2.0/"),
    ("4", "Attribution License", "https://creativecommons.org/licenses/by/2.0/"),
    ("5", "Attribution-ShareAlike License", "https://creativecommons.org/licenses/by-sa/2.0/"),
    ("7", "No known copyright restrictions", "https://www.flickr.com/commons/usage/"),
    ("9", "Public Domain Dedication (CC0)", "https://creativecommons.org/publicdomain/zero/1.0/"),
    ("10", "Public Domain Mark", "https://creativecommons.org/publicdomain/mark/1.0/"),
    ("11", "Attribution 4.0", "https://creativecommons.org/licenses/by/4.0/"),
]
START = 1_100_000_000  # the first photo's upload, in November 2004


def picture(seed: int, side: int = 300) -> Image.Image:
    """A smooth picture that is unlike those of other seeds."""
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)


def jpeg(image: Image.Image, quality: int = 90) -> bytes:
    """The image's bytes as a JPEG."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


class FlickrServer(ThreadingHTTPServer):
    """Photos with their uploads; faults by what is asked for: "licenses", "search", or a photo's id.

    A fault is used up by one request: a status ("429", "500", "404"), "fail CODE", "cut" (the body breaks off),
    "truncated" (half a JPEG, sent in full), "html", "png", "huge" or "garbage", "retry VALUE" (429 with that
    Retry-After), "drip" (the body, two bytes each half second), "drip head" (the same of the header), "moved URL", or,
    of an API's answer, "json TEXT". The request that makes `hang_in` zero gets no answer until `go_on` is set.
    `claimed_total` is what a search says it finds, where that is not the truth.
    """

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.photos: list[dict] = []
        self.images: dict[str, bytes] = {}
        self.cap = 4000
        self.claimed_total: int | None = None
        self.client: ClientName = "flickrapi"  # with which a test asks
        self.faults: dict[str, list[str]] = defaultdict(list)
        self.asked: Counter = Counter()  # by (first, last, page) of a search, by photo id, by "licenses"
        self.times: dict[str, list[float]] = defaultdict(list)
        self.hang_in = -1
        self.hanging, self.go_on = threading.Event(), threading.Event()

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/services/rest/"

    def add(
        self, title: str, count: int = 1, *, licence: str = "4", every: int = 86_400, **fields: object
    ) -> list[str]:
        """Photos called `title`, `every` seconds between their uploads; their ids."""
        ids = []
        for _ in range(count):
            number = len(self.photos)
            photo_id = str(5_000 + number)
            self.images[photo_id] = jpeg(picture(number))
            url = f"http://127.0.0.1:{self.server_port}/{photo_id}_z.jpg"
            photo = {
                "id": photo_id, "owner": f"{number % 3}@N01", "ownername": f"Owner {number % 3}", "title": title,
                "pathalias": None, "license": licence, "dateupload": str(START + every * number),
                "datetaken": "2004-01-02 03:04:05", "url_z": url, "width_z": 300, "height_z": "300", **fields,
            }  # fmt: skip
            self.photos.append(photo)
            ids.append(photo_id)
        return ids

    def search(self, arguments: dict[str, str]) -> dict:
        """The answer to flickr.photos.search: `total` is true, but photos past the cap are repeats."""
        words = arguments["text"].lower().split()
        first, last = int(arguments["min_upload_date"]), int(arguments["max_upload_date"])
        matches = [
            photo for photo in self.photos
            if all(word in photo["title"].lower() for word in words)
            and photo["license"] in arguments["license"].split(",") and first <= int(photo["dateupload"]) <= last
        ]  # fmt: skip
        page, per_page = int(arguments["page"]), int(arguments["per_page"])
        extras = {re.sub("_|license", lambda m: m[0].strip("_"), extra) for extra in arguments["extras"].split(",")}
        fields = {"id", "owner", "title"} | extras | {f"{side}_z" for side in ("width", "height")} | {"url_z"}
        rows = [matches[i % self.cap] for i in range((page - 1) * per_page, min(page * per_page, len(matches)))]
        photos = [{key: value for key, value in row.items() if key in fields} for row in rows]
        total = len(matches) if self.claimed_total is None else self.claimed_total
        pages = -(-total // per_page)
        return {"photos": {"page": page, "pages": pages, "perpage": per_page, "total": str(total), "photo": photos}}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or every answer waits 40 ms between its head and its body
    server: FlickrServer

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        arguments = {key: values[0] for key, values in parse_qs(body).items()}
        method = arguments["method"].rpartition(".")[2]
        if method == "search":
            self.server.asked[
                arguments["text"], arguments["min_upload_date"], arguments["max_upload_date"], arguments["page"]
            ] += 1
            target = "search"
        else:
            self.server.asked["licenses"] += 1
            target = "licenses"
        answer = {}
        signed = f'oauth_consumer_key="{KEY}"' in self.headers.get("Authorization", "")
        if not signed and arguments.get("api_key") != KEY:
            answer = {"stat": "fail", "code": 100, "message": "Invalid API Key (Key has invalid format)"}
        elif self._misbehaved(target, b"{" + b" " * 200 + b"}"):
            return
        elif method == "search":
            answer = {**self.server.search(arguments), "stat": "ok"}
        else:
            licences = [dict(zip(("id", "name", "url"), licence, strict=True)) for licence in LICENCES]
            answer = {"licenses": {"license": licences}, "stat": "ok"}
        self._send("200", "application/json", json.dumps(answer).encode())

    def do_GET(self) -> None:
        photo_id = self.path.strip("/").partition("_")[0]
        self.server.asked[photo_id] += 1
        data = self.server.images[photo_id]
        if not self._misbehaved(photo_id, data):
            self._send("200", "image/jpeg", data)

    def _misbehaved(self, target: str, body: bytes) -> bool:
        self.server.times[target].append(time.monotonic())
        faults = self.server.faults[target]
        fault = faults.pop(0) if faults else ""
        self.server.hang_in -= 1
        if self.server.hang_in == 0:
            self.server.hanging.set()
            self.server.go_on.wait(30)
            self.close_connection = True
            return True
        if fault.startswith("fail"):
            failed = {"stat": "fail", "code": int(fault.split()[1]), "message": "Sorry"}
            self._send("200", "application/json", json.dumps(failed).encode())
        elif fault.startswith("retry"):
            self._send("429", "text/html", b"<html>slow down</html>", retry_after=fault.partition(" ")[2])
        elif fault.startswith("json"):
            self._send("200", "application/json", fault.partition(" ")[2].encode())
        elif fault.startswith("moved"):
            self.send_response(302)
            self.send_header("Location", fault.partition(" ")[2])
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif fault.startswith("drip"):
            head = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(body)
            if fault == "drip":
                self.wfile.write(head)
            self._drip(body if fault == "drip" else head + body)
        elif fault == "cut":
            self._send("200", "image/jpeg", body[: len(body) // 2], length=len(body) + 10)
            self.close_connection = True
        elif fault == "truncated":
            self._send("200", "image/jpeg", body[: len(body) // 2])
        elif fault in ("html", "garbage"):
            self._send("200", "text/html" if fault == "html" else "image/jpeg", b"<html>not found</html>")
        elif fault == "png":
            self._send("200", "image/png", b"\x89PNG\r\n\x1a\n")
        elif fault == "huge":
            self._send("200", "image/jpeg", body + bytes(30_000))
        elif fault:
            self._send(fault, "text/html", b"<html>an error</html>")
        return bool(fault)

    def _drip(self, data: bytes) -> None:
        self.close_connection = True
        for start in range(0, len(data), 2):
            if self.server.go_on.is_set():
                return
            try:
                self.wfile.write(data[start : start + 2])
            except OSError:  # the other side has had enough
                return
            time.sleep(0.5)

    def _send(self, status: str, kind: str, body: bytes, length: int | None = None, retry_after: str = "1") -> None:
        self.send_response(int(status))
        if status == "429":
            self.send_header("Retry-After", retry_after)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serving(port: int = 0) -> Iterator[FlickrServer]:
    """A server that runs in a thread until the block ends; on any free port, if none is named."""
    server = FlickrServer(port)
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.go_on.set()
        server.shutdown()
        server.server_close()
