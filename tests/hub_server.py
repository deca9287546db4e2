"""A server on loopback that speaks as much of the Hub's protocol as its own clients need to read and to publish.

Repositories are folders of real files. As on the Hub, large files are sent by another host (here another name of this
machine), a revision is a commit or a branch, and a private repository does not exist for those without its token.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

ROOT = Path(__file__).parent.parent
TOKEN = "hf_loopback"
LARGE = {".bin", ".parquet", ".safetensors", ".zip"}  # sent as Git LFS, by the other host
TIME = "2026-01-01T00:00:00.000Z"


@dataclass(frozen=True)
class Blob:
    """A file's content, in memory or on disk, with the hashes that the Hub knows it by."""

    content: bytes | Path
    size: int
    oid: str  # as git names it
    sha256: str

    @classmethod
    def of(cls, content: bytes | Path) -> Blob:
        size = content.stat().st_size if isinstance(content, Path) else len(content)
        git, lfs = hashlib.sha1(f"blob {size}\0".encode()), hashlib.sha256()
        with content.open("rb") if isinstance(content, Path) else io.BytesIO(content) as file:
            while chunk := file.read(1 << 20):
                git.update(chunk)
                lfs.update(chunk)
        return cls(content, size, git.hexdigest(), lfs.hexdigest())

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes from `start` up to `end`, in pieces."""
        with self.content.open("rb") if isinstance(self.content, Path) else io.BytesIO(self.content) as file:
            file.seek(start)
            while start < end and (chunk := file.read(min(1 << 20, end - start))):
                start += len(chunk)
                yield chunk


@dataclass
class Repository:
    """Commits of one repository, the newest last; of a gated one, only what stands on its page."""

    name: str
    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, Blob]] = field(default_factory=dict)

    def commit(self, files: dict[str, Blob]) -> str:
        """Add a commit that holds just these files; return its hash."""
        listed = json.dumps([len(self.commits), sorted((path, blob.oid) for path, blob in files.items())])
        sha = hashlib.sha1(listed.encode()).hexdigest()
        self.commits[sha] = files
        return sha

    def resolve(self, revision: str) -> str | None:
        """The commit that `revision` names, if there is one."""
        newest = next(reversed(self.commits), None)
        return newest if revision == "main" else revision if revision in self.commits else None


class HubServer(ThreadingHTTPServer):
    """Models and data sets by (``models`` or ``datasets``, OWNER/NAME).

    requests: method and path of each request so far.
    sent: bytes of files so far.
    page: entries of a listing that are sent at once.
    broken: answer everything with 503.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.large: dict[str, Blob] = {}  # by SHA-256: what the other host sends
        self.requests: list[tuple[str, str]] = []
        self.sent = 0
        self.page = 1000
        self.broken = False

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def other_host(self) -> str:
        return f"http://localhost:{self.server_port}"

    def add(self, kind: str, name: str, folder: Path) -> str:
        """Commit all of `folder` as the repository `name`; return the commit's hash."""
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        files = {path.relative_to(folder).as_posix(): Blob.of(path) for path in paths}
        self.large |= {blob.sha256: blob for path, blob in files.items() if is_large(path)}
        return self.repositories.setdefault((kind, name), Repository(name)).commit(files)

    def environment(self, home: Path, **more: str) -> dict[str, str]:
        """The environment of a process whose Hub is this server and whose caches lie in `home`."""
        own = {
            "HF_ENDPOINT": self.endpoint, "HF_HOME": str(home / "hf"), "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1", "VIT_EDIT_BENCH_CACHE": str(home / "cache"), "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost",
        }  # fmt: skip
        without = {name: text for name, text in os.environ.items() if name not in ("HF_TOKEN", "HF_HUB_OFFLINE")}
        return {**without, **own, **more}

    def python(self, folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run Python with these words in `folder`, where its caches lie, too."""
        environment = self.environment(folder, **more)
        return subprocess.run(
            [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
        )


def is_large(path: str) -> bool:
    """Return whether a file is sent as Git LFS."""
    return PurePosixPath(path).suffix in LARGE


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: HubServer

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def _answer(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        self.path, self.query = unquote(url.path), {key: last for key, (*_, last) in parse_qs(url.query).items()}
        self.server.requests.append((self.command, self.path))
        if self.server.broken:
            return self._refuse(503, "", "out of order")
        for pattern, method in ROUTES:
            if match := re.fullmatch(pattern, self.path):
                return method(self, **match.groupdict())
        return self._refuse(404, "", f"nothing at {self.path}")

    # ------------------------------------------------------------------------------------------------- reading

    def info(self, kind: str, name: str, revision: str = "main") -> None:
        if at := self._find(kind, name, revision):
            repository, commit = at
            siblings = [{"rfilename": path} for path in repository.commits[commit]]
            self._send_json(
                {"_id": "0", "id": name, "sha": commit, "private": repository.private, "gated": False, "tags": [],
                 "disabled": False, "downloads": 0, "likes": 0, "lastModified": TIME, "createdAt": TIME,
                 "siblings": siblings, "library_name": "timm", "cardData": {}}
            )  # fmt: skip

    def tree(self, kind: str, name: str, revision: str, folder: str = "") -> None:
        at = self._find(kind, name, revision)
        if at is None:
            return None
        files = at[0].commits[at[1]]
        below = {path: blob for path, blob in files.items() if not folder or path.startswith(f"{folder}/")}
        if folder and not below:
            return self._refuse(404, "EntryNotFound", f"{folder} does not exist")
        entries = [describe(path, blob) for path, blob in below.items()]
        names = {
            "/".join(PurePosixPath(path).parts[:depth])
            for path in below
            for depth in range(len(PurePosixPath(folder).parts) + 1, len(PurePosixPath(path).parts))
        }
        entries += [{"type": "directory", "path": name, "oid": "0" * 40, "size": 0} for name in sorted(names)]
        if self.query.get("recursive", "false").lower() != "true":
            depth = len(PurePosixPath(folder).parts) + 1
            entries = [entry for entry in entries if len(PurePosixPath(entry["path"]).parts) == depth]
        start = int(self.query.get("cursor", 0))
        page = entries[start : start + self.server.page]
        more = start + len(page) < len(entries)
        query = "&".join(f"{key}={text}" for key, text in {**self.query, "cursor": start + len(page)}.items())
        link = {"Link": f'<{self.server.endpoint}{self.path}?{query}>; rel="next"'} if more else {}
        return self._send_json(page, link)

    def paths_info(self, kind: str, name: str, revision: str) -> None:
        if at := self._find(kind, name, revision):
            is_json = self.body.startswith(b"{")
            paths = json.loads(self.body)["paths"] if is_json else parse_qs(self.body.decode())["paths"]
            files = at[0].commits[at[1]]
            folders = {parent.as_posix() for path in files for parent in PurePosixPath(path).parents}
            self._send_json(
                [describe(path, files[path]) for path in paths if path in files]
                + [{"type": "directory", "path": p, "oid": "0" * 40, "size": 0} for p in paths if p in folders]
            )

    def resolve(self, name: str, revision: str, path: str, kind: str | None = None) -> None:
        at = self._find(kind or "models", name, revision)
        if at is None:
            return None
        blob = at[0].commits[at[1]].get(path)
        commit = {"X-Repo-Commit": at[1]}
        if blob is None:
            return self._refuse(404, "EntryNotFound", f"{path} does not exist", commit)
        if at[0].gated:
            return self._refuse(403, "GatedRepo", "Access to this repository is restricted", commit)
        if not is_large(path):
            return self._send_blob(blob, {**commit, "ETag": f'"{blob.oid}"'})
        linked = {"X-Linked-Etag": f'"{blob.sha256}"', "X-Linked-Size": str(blob.size), "ETag": f'"{blob.sha256}"'}
        return self._send(302, b"", {**commit, **linked, "Location": f"{self.server.other_host}/lfs/{blob.sha256}"})

    def send_large(self, oid: str) -> None:
        self._send_blob(self.server.large[oid], {"ETag": f'"{oid}"'})

    def refs(self, kind: str, name: str) -> None:
        if at := self._find(kind, name, "main"):
            branch = {"name": "main", "ref": "refs/heads/main", "targetCommit": at[1]}
            self._send_json({"branches": [branch], "tags": [], "converts": []})

    # ---------------------------------------------------------------------------------------------- publishing

    def create(self) -> None:
        asked = json.loads(self.body)
        name = f"{asked.get('organization') or 'me'}/{asked['name']}"
        key, private = (f"{asked['type']}s", name), asked.get("private") or asked.get("visibility") == "private"
        if self._is_writer():
            known = key in self.server.repositories
            if not known:
                self.server.repositories[key] = repository = Repository(name, private=bool(private))
                repository.commit({})
            self._send_json({"url": f"{self.server.endpoint}/{key[0]}/{name}"}, status=409 if known else 200)

    def validate(self) -> None:
        self._send_json({"warnings": [], "errors": []})

    def preupload(self, kind: str, name: str, revision: str) -> None:
        if self._is_writer() and (at := self._find(kind, name, revision)):
            files = at[0].commits[at[1]]
            self._send_json(
                {"files": [
                    {"path": asked["path"], "uploadMode": "lfs" if is_large(asked["path"]) else "regular",
                     "shouldIgnore": False, "oid": files[asked["path"]].oid if asked["path"] in files else None}
                    for asked in json.loads(self.body)["files"]
                ]}
            )  # fmt: skip

    def lfs_batch(self, name: str, kind: str | None = None) -> None:
        if self._is_writer() and self._find(kind or "models", name, "main"):
            objects: list[dict[str, Any]] = json.loads(self.body)["objects"]
            for asked in objects:
                if asked["oid"] not in self.server.large:
                    upload = {"href": f"{self.server.other_host}/lfs/{asked['oid']}"}
                    verify = {"href": f"{self.server.endpoint}/verify"}
                    asked["actions"] = {"upload": upload, "verify": verify}
            self._send_json({"transfer": "basic", "objects": objects})

    def take_large(self, oid: str) -> None:
        if hashlib.sha256(self.body).hexdigest() != oid:
            return self._refuse(400, "", "not the bytes that were announced")
        self.server.large[oid] = Blob.of(self.body)
        return self._send_json({})

    def verify(self) -> None:
        asked = json.loads(self.body)
        arrived = asked["oid"] in self.server.large and self.server.large[asked["oid"]].size == asked["size"]
        self._send_json({}, status=200 if arrived else 404)

    def take_commit(self, kind: str, name: str, revision: str) -> None:
        at = self._find(kind, name, revision) if self._is_writer() else None
        if at is None:
            return
        files = dict(at[0].commits[at[1]])
        for line in self.body.splitlines():
            step = json.loads(line)
            change = step["value"]
            if step["key"] == "file":
                files[change["path"]] = Blob.of(base64.b64decode(change["content"]))
            elif step["key"] == "lfsFile":
                files[change["path"]] = self.server.large[change["oid"]]
            elif step["key"] == "deletedFile":
                del files[change["path"]]
        commit = at[0].commit(files)
        url = f"{self.server.endpoint}/{kind}/{name}/commit/{commit}"
        self._send_json({"success": True, "commitOid": commit, "commitUrl": url, "hookOutput": ""})

    # ---------------------------------------------------------------------------------------------------- both

    def _is_writer(self) -> bool:
        if self._has_token():
            return True
        self._refuse(401, "", "Invalid username or password.")
        return False

    def _has_token(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _find(self, kind: str, name: str, revision: str) -> tuple[Repository, str] | None:
        """The repository and its commit; None once the request was refused, as the Hub does it."""
        repository = self.server.repositories.get((kind, name))
        if repository is None or (repository.private and not self._has_token()):
            self._refuse(404 if self._has_token() else 401, "RepoNotFound", "Repository not found")
            return None
        commit = repository.resolve(revision)
        if commit is None:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return None
        return repository, commit

    def _send_blob(self, blob: Blob, headers: dict[str, str]) -> None:
        start, end, status = 0, blob.size, 200
        if asked := re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", "")):
            first, last = asked.groups()
            start = int(first) if first else max(0, blob.size - int(last))
            end = min(int(last) + 1, blob.size) if first and last else blob.size
            status = 206
            headers = {**headers, "Content-Range": f"bytes {start}-{end - 1}/{blob.size}"}
        self._send_head(status, {**headers, "Content-Length": str(end - start), "Accept-Ranges": "bytes"})
        if self.command != "HEAD":
            for chunk in blob.read(start, end):
                self.wfile.write(chunk)
                self.server.sent += len(chunk)

    def _refuse(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        marks = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {}), **(headers or {})}
        self._send(status, json.dumps({"error": message}).encode(), marks)

    def _send_json(self, answer: object, headers: dict[str, str] | None = None, status: int = 200) -> None:
        self._send(status, json.dumps(answer).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self._send_head(status, {**headers, "Content-Length": str(len(body))})
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send_head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, text in headers.items():
            self.send_header(key, text)
        self.end_headers()


REPOSITORY = r"/api/(?P<kind>models|datasets)/(?P<name>[^/]+/[^/]+)"
ROUTES = [
    (REPOSITORY, Handler.info),
    (rf"{REPOSITORY}/revision/(?P<revision>.+)", Handler.info),
    (rf"{REPOSITORY}/tree/(?P<revision>[^/]+)/?(?P<folder>.*)", Handler.tree),
    (rf"{REPOSITORY}/paths-info/(?P<revision>[^/]+)", Handler.paths_info),
    (rf"{REPOSITORY}/refs", Handler.refs),
    (rf"{REPOSITORY}/preupload/(?P<revision>[^/]+)", Handler.preupload),
    (rf"{REPOSITORY}/commit/(?P<revision>[^/]+)", Handler.take_commit),
    ("/api/repos/create", Handler.create),
    ("/api/validate-yaml", Handler.validate),
    (r"/(?:(?P<kind>datasets)/)?(?P<name>[^/]+/[^/]+)\.git/info/lfs/objects/batch", Handler.lfs_batch),
    (r"/(?:(?P<kind>datasets)/)?(?P<name>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)", Handler.resolve),
    ("/verify", Handler.verify),
]
METHODS = {"GET": Handler.send_large, "HEAD": Handler.send_large, "PUT": Handler.take_large}
ROUTES += [("/lfs/(?P<oid>[0-9a-f]{64})", lambda self, oid: METHODS[self.command](self, oid))]


def describe(path: str, blob: Blob) -> dict[str, Any]:
    """A file's entry in a listing."""
    lfs = {"oid": blob.sha256, "size": blob.size, "pointerSize": 134}
    return {
        "type": "file",
        "path": path,
        "oid": blob.oid,
        "size": blob.size,
        **({"lfs": lfs} if is_large(path) else {}),
    }


@contextmanager
def serving() -> Iterator[HubServer]:
    """A server that runs in a thread until the block ends."""
    server = HubServer()
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
