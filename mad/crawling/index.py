"""State of a crawl: photos, fingerprints of pictures and searches, in one SQLite file beside the images.

Every answer of a server is written down in one transaction, so that a kill costs at most the request that was
under way. An image is written to `.incoming/` first, then its photo is recorded as kept, then the file is moved
to `images/`; whoever opens the index next finishes or undoes what a kill left half done.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from benchmark.core.files import cannot_write
from benchmark.core.locks import locked
from benchmark.core.readers import check_layout, connect
from benchmark.core.text import name_key
from benchmark.core.workdir import LOCK, Kind, holds, taken
from mad.crawling.duplicates import BANDS, NEAR, count_different_bits, split_into_bands
from mad.crawling.flickr import Licence, Photo

FILE = "index.sqlite"
IMAGES = "images"
VERSION = 1
CRAWL = Kind("crawl", FILE)
TRIES = 3  # runs in which a photo that could not be had is asked for; chosen here

FOUND, KEPT, FAILED = "found", "kept", "failed"
DUPLICATE, EXCLUDED, TAKEN_DOWN = "duplicate", "excluded", "taken down"
FROM_EXCLUDED = "excluded"  # the origin of a picture that is no photo of the crawl

_PHOTO = [field.name for field in fields(Photo)]
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS photo (
    photo_id TEXT PRIMARY KEY, owner TEXT, owner_name TEXT, path_alias TEXT, title TEXT, licence_id TEXT,
    date_upload INTEGER, date_taken TEXT, url TEXT, licence TEXT, licence_url TEXT, keyword TEXT,
    class_index INTEGER, state TEXT NOT NULL, tries INTEGER NOT NULL DEFAULT 0, error TEXT NOT NULL DEFAULT '',
    sha256 TEXT, phash TEXT
);
CREATE INDEX IF NOT EXISTS photo_by_keyword ON photo (keyword, state);
CREATE INDEX IF NOT EXISTS photo_by_class ON photo (class_index, state);
CREATE INDEX IF NOT EXISTS photo_by_state ON photo (state);
CREATE INDEX IF NOT EXISTS photo_by_sha256 ON photo (sha256);
CREATE TABLE IF NOT EXISTS picture (sha256 TEXT PRIMARY KEY, origin TEXT NOT NULL, phash TEXT,
    {", ".join(f"band{i} INTEGER" for i in range(BANDS))});
{"".join(f"CREATE INDEX IF NOT EXISTS picture_by_band{i} ON picture (band{i});" for i in range(BANDS))}
CREATE TABLE IF NOT EXISTS excluded_file (path TEXT PRIMARY KEY, size INTEGER, modified INTEGER);
CREATE TABLE IF NOT EXISTS takedown (entry TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS search (id INTEGER PRIMARY KEY, query TEXT, first INTEGER, last INTEGER,
    page INTEGER NOT NULL DEFAULT 1, done INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS search_by_query ON search (query, done);
"""
# Photos whose id or hash, from which paths are made, is none.
_NO_NAME = "photo_id GLOB '*[^0-9]*' OR photo_id = '' OR length(sha256) <> 64 OR sha256 GLOB '*[^0-9a-f]*'"


@dataclass(frozen=True)
class Window:
    """A search between two upload times (Unix seconds, both included), and the page that is asked for next."""

    id: int
    first: int
    last: int
    page: int


class Index:
    """The index of the crawl in `folder`, which no other process may open meanwhile.

    Raises:
        UserError: if the folder holds something else, or another process is crawling into it.
    """

    def __init__(self, folder: Path) -> None:
        holds(folder, CRAWL)
        file = folder / FILE
        self.folder = folder
        self._incoming = folder / ".incoming"
        with cannot_write(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._open = ExitStack()
        with ExitStack() as stack:
            stack.enter_context(locked(folder / LOCK, folder, "wait for it to end, or name another --out"))
            self.db = stack.enter_context(closing(connect(file, CRAWL.fix, timeout=1)))
            self.db.create_function("name_key", 1, name_key, deterministic=True)
            self._prepare(file)
            self._incoming.mkdir(exist_ok=True)
            self._recover()
            self._open = stack.pop_all()
        self.taken_down = {entry for (entry,) in self.db.execute("SELECT entry FROM takedown")}

    def _prepare(self, file: Path) -> None:
        self.db.execute("PRAGMA locking_mode = EXCLUSIVE")
        self.db.execute("PRAGMA journal_mode = WAL")
        version = self.db.execute("PRAGMA user_version").fetchone()[0]
        (tables,) = self.db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if version != VERSION and (version or tables):
            raise taken(file, f"has version {version}, this program reads {VERSION}")
        self.db.executescript(f"BEGIN EXCLUSIVE; {_SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")
        check_layout(self.db, file, _SCHEMA, CRAWL.fix)
        if self.db.execute(f"SELECT 1 FROM photo WHERE {_NO_NAME} LIMIT 1").fetchone():
            raise taken(file, "names images by what is no photo id or SHA-256 and would be another path")

    def close(self) -> None:
        """Let go of the file."""
        self._open.close()

    def image_path(self, sha256: str) -> Path:
        """Path of the kept image with these bytes."""
        return self.folder / IMAGES / image_name(sha256)

    def _recover(self) -> None:
        """Finish or undo what a kill interrupted: moving an image in, removing those that had to go."""
        for file in self._incoming.iterdir():
            rows = self.db.execute("SELECT sha256 FROM photo WHERE photo_id = ? AND state = ?", (file.stem, KEPT))
            if row := rows.fetchone():
                self._move_in(file, row[0])
            else:
                file.unlink()
        removed = self.db.execute(
            "SELECT sha256 FROM photo WHERE state IN (?, ?) AND sha256 IS NOT NULL", (TAKEN_DOWN, EXCLUDED)
        )
        for (sha256,) in removed:
            self.image_path(sha256).unlink(missing_ok=True)

    def _move_in(self, file: Path, sha256: str) -> None:
        self.image_path(sha256).parent.mkdir(parents=True, exist_ok=True)
        file.replace(self.image_path(sha256))

    # ---------------------------------------------------------------------------------------- searching

    def next_window(self, query: str, first: int, last: int) -> Window | None:
        """The window where the search `query` goes on, or None after its last. A new one begins with the whole span."""
        with self.db:
            if not self.db.execute("SELECT 1 FROM search WHERE query = ? LIMIT 1", (query,)).fetchone():
                self.db.execute("INSERT INTO search (query, first, last) VALUES (?, ?, ?)", (query, first, last))
        row = self.db.execute(
            "SELECT id, first, last, page FROM search WHERE query = ? AND done = 0 ORDER BY id LIMIT 1", (query,)
        ).fetchone()
        return Window(*row) if row else None

    def add_page(
        self,
        window: Window,
        photos: Iterable[tuple[Photo, Licence]],
        selected: Collection[str],
        keyword: str,
        class_index: int,
        *,
        is_last: bool,
        split: Sequence[tuple[int, int]] = (),
    ) -> None:
        """Record a page of `window` in one transaction: its photos, and the page or windows that come next.

        Photos whose ids are `selected` are new ones to fetch. All that is said of a photo that is known already, and
        not fetched, takes the place of what was known, so that its licence is the newest; a kept one has the licence
        under which it was fetched. The window is done after its last page, or once it is `split` into narrower spans.
        """
        described = [*_PHOTO, "licence", "licence_url"]
        columns = [*described, "keyword", "class_index", "state"]
        known, new = [], []
        for photo, licence in photos:
            row = (*astuple(photo), licence.title, licence.url)
            is_listed = self.taken_down & {photo.photo_id, name_key(photo.owner), name_key(photo.path_alias)}
            known.append((*row, TAKEN_DOWN if is_listed else None, photo.photo_id, FOUND, FAILED))
            if photo.photo_id in selected:
                new.append((*row, keyword, class_index, TAKEN_DOWN if is_listed else FOUND))
        with self.db:
            changes = ", ".join([*(f"{name} = ?" for name in described), "state = coalesce(?, state)"])
            self.db.executemany(f"UPDATE photo SET {changes} WHERE photo_id = ? AND state IN (?, ?)", known)
            self.db.executemany(
                f"INSERT OR IGNORE INTO photo ({', '.join(columns)}) VALUES ({_make_placeholders(columns)})", new
            )
            self.db.execute(
                "UPDATE search SET page = page + 1, done = ? WHERE id = ?", (is_last or bool(split), window.id)
            )
            self.db.executemany(
                "INSERT INTO search (query, first, last) SELECT query, ?, ? FROM search WHERE id = ?",
                [(*span, window.id) for span in split],
            )

    # --------------------------------------------------------------------------------------- fetching

    def retry_failed(self) -> None:
        """Let this run ask again for the photos that could not be had in fewer than `TRIES` runs."""
        with self.db:
            self.db.execute("UPDATE photo SET state = ? WHERE state = ? AND tries < ?", (FOUND, FAILED, TRIES))

    def find_pending(self, keyword: str, licences: Collection[str], first: int, last: int) -> list[tuple[str, str]]:
        """Photo id and address of each photo of `keyword` that is still to be fetched, in the order found."""
        return self.db.execute(
            "SELECT photo_id, url FROM photo WHERE keyword = ? AND state = ? AND date_upload BETWEEN ? AND ? "
            f"AND licence_id IN ({_make_placeholders(licences)}) ORDER BY rowid",
            (keyword, FOUND, first, last, *licences),
        ).fetchall()

    def find_alike(self, sha256: str, phash: str) -> str | None:
        """The origin of a picture with these bytes, or near this perceptual hash: a photo's id or `FROM_EXCLUDED`."""
        row = self.db.execute("SELECT origin FROM picture WHERE sha256 = ?", (sha256,)).fetchone()
        return row[0] if row else next((origin for origin, _ in self.find_near(phash)), None)

    def find_near(self, phash: str) -> Iterator[tuple[str, str]]:
        """Origin and sha256 of the known pictures at most `NEAR` bits from `phash`."""
        where = " OR ".join(f"band{i} = ?" for i in range(BANDS))
        rows = self.db.execute(
            f"SELECT origin, sha256, phash FROM picture WHERE {where}", split_into_bands(phash)
        ).fetchall()
        return ((origin, sha256) for origin, sha256, other in rows if count_different_bits(phash, other) <= NEAR)

    def add_picture(self, origin: str, sha256: str, phash: str | None) -> None:
        """Remember a fingerprint, within the caller's transaction; no hash for what does not decode."""
        values = (sha256, origin, phash, *(split_into_bands(phash) if phash else (None,) * BANDS))
        names = ", ".join(f"band{i}" for i in range(BANDS))
        self.db.execute(
            f"INSERT OR REPLACE INTO picture (sha256, origin, phash, {names}) VALUES ({_make_placeholders(values)})",
            values,
        )

    def keep(self, photo_id: str, data: bytes, sha256: str, phash: str) -> None:
        """Keep an image: its bytes on disk, its fingerprint, and its photo's state."""
        file = self._incoming / f"{photo_id}.jpg"
        with file.open("wb") as incoming:
            incoming.write(data)
            incoming.flush()
            os.fsync(incoming.fileno())
        with self.db:
            self.add_picture(photo_id, sha256, phash)
            self._settle(photo_id, KEPT, "", sha256, phash)
        self._move_in(file, sha256)

    def drop(self, photo_id: str, state: str, reason: str, sha256: str, phash: str) -> None:
        """Record that a photo was fetched and its image is not kept."""
        with self.db:
            self._settle(photo_id, state, reason, sha256, phash)

    def fail(self, photo_id: str, reason: str, *, final: bool) -> None:
        """Record that a photo could not be had; after a `final` failure no later run asks for it."""
        with self.db:
            self._settle(photo_id, FAILED, reason, None, None)
            if final:
                self.db.execute("UPDATE photo SET tries = ? WHERE photo_id = ?", (TRIES, photo_id))

    def _settle(self, photo_id: str, state: str, reason: str, sha256: str | None, phash: str | None) -> None:
        self.db.execute(
            "UPDATE photo SET state = ?, error = ?, sha256 = ?, phash = ?, tries = tries + 1 WHERE photo_id = ?",
            (state, reason, sha256, phash, photo_id),
        )

    # ---------------------------------------------------------------------------------------- counting

    def count_kept(self, class_index: int) -> int:
        """Number of images of a class that are kept."""
        return self.db.execute(
            "SELECT count(*) FROM photo WHERE class_index = ? AND state = ?", (class_index, KEPT)
        ).fetchone()[0]

    def count_by_state(self) -> dict[str, int]:
        """From a state to its number of photos."""
        return dict(self.db.execute("SELECT state, count(*) FROM photo GROUP BY state"))


def image_name(sha256: str) -> str:
    """The path below `IMAGES` of the image with these bytes: no folder gets more than a 256th of the files."""
    return f"{sha256[:2]}/{sha256}.jpg"


def _make_placeholders(values: Collection) -> str:
    return ", ".join("?" * len(values))
