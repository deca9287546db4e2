"""The answers of all annotators in one SQLite file: a transaction an answer, so that a kill loses none."""

from __future__ import annotations

import sqlite3
import threading
import time
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.core.errors import UserError
from benchmark.core.files import cannot_write, like
from benchmark.core.readers import check_layout, connect
from benchmark.core.text import name_key

if TYPE_CHECKING:
    import pandas as pd

FILE = "review.sqlite"
VERSION = 1  # of the table, as SQLite's user_version
FIX = "name another with --db"
PATIENCE = 10.0  # seconds to wait for another annotator's transaction, which takes milliseconds
LONGEST_NAME = 40
THEIRS = "name_key(annotator) = name_key(?)"  # SQLite itself knows upper and lower case of ASCII alone
THIS = f"group_id = ? AND image = ? AND {THEIRS}"
SCHEMA = """
CREATE TABLE answers (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    annotator TEXT NOT NULL COLLATE NOCASE,
    group_id TEXT NOT NULL,
    image TEXT NOT NULL,
    accepted INTEGER NOT NULL CHECK (accepted IN (0, 1)),
    sha256 TEXT NOT NULL,
    answered_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now')),
    UNIQUE (annotator, group_id, image)
)"""


@dataclass(frozen=True)
class Answer:
    """An annotator's verdict on an image of a group. `sha256` (hex) is that of the shown file; "" if none opened."""

    group_id: str
    image: str
    accepted: bool
    sha256: str


def clean_annotator_name(name: str) -> str:
    """`name` without surrounding blanks, in NFC. Spellings of one `name_key` are one person's: "Éve" and "éve".

    Raises:
        UserError: if it is empty, longer than `LONGEST_NAME`, not printable, or holds a comma (which separates names).
    """
    name = unicodedata.normalize("NFC", name.strip())
    if not name or len(name) > LONGEST_NAME or not name.isprintable() or "," in name:
        raise UserError(f"an annotator's name must have 1 to {LONGEST_NAME} printable characters and no comma")
    return name


class AnswerStore:
    """The file of answers. It may be used from several threads, and by several processes at once.

    In write-ahead mode with full synchronisation a committed answer outlives a kill and a power cut. SQLite's
    write-ahead mode needs a local disk, not a network share.
    """

    def __init__(self, path: Path, create: bool = True) -> None:
        """Open `path`.

        Args:
            path: the file.
            create: make it if it is not there; otherwise it must be.

        Raises:
            UserError: if it is not there, or no file of answers.
        """
        if not create and not path.is_file():
            raise UserError(f"{path}: no such file{like(path)}; nobody has answered yet, or name the file with --db")
        with cannot_write(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._lock = threading.Lock()
        try:
            # Autocommit: each statement is a transaction.
            self._db = connect(path, FIX, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
            self._db.create_function("name_key", 1, name_key, deterministic=True)
            self._prepare()
        except sqlite3.Error as error:
            raise UserError(f"{path}: cannot be used as a file of answers ({error}); name another with --db") from error

    def _prepare(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")  # two annotators may start at the same moment
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        (tables,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if version == 0 and tables == 0:
            self._db.execute(SCHEMA)
            self._db.execute(f"PRAGMA user_version = {VERSION}")
        elif version != VERSION:
            raise sqlite3.DatabaseError("it holds something else")
        else:
            check_layout(self._db, self.path, SCHEMA, FIX)
        self._db.execute("COMMIT")
        self._db.execute("PRAGMA synchronous = FULL")
        deadline = time.monotonic() + PATIENCE
        while True:  # SQLite does not wait for others when it is to change the mode
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def close(self) -> None:
        """Close the file; the write-ahead log goes into it."""
        self._db.close()

    @property
    def version(self) -> int:
        """A number that changes when another process has changed the answers."""
        ((number,),), _ = self._run("PRAGMA data_version")
        return int(number)

    def add(self, annotator: str, answer: Answer) -> bool:
        """Keep an answer, on the disk on return; return False if this annotator has answered that already."""
        values = (annotator, answer.group_id, answer.image, int(answer.accepted), answer.sha256)
        _, n_changed = self._run(
            "INSERT INTO answers (annotator, group_id, image, accepted, sha256) SELECT ?, ?, ?, ?, ? "
            f"WHERE NOT EXISTS (SELECT 1 FROM answers WHERE {THIS}) ON CONFLICT DO NOTHING",
            (*values, answer.group_id, answer.image, annotator),
        )
        return n_changed == 1

    def remove(self, annotator: str, group_id: str, image: str) -> None:
        """Take an annotator's answer back."""
        self._run(f"DELETE FROM answers WHERE {THIS}", (group_id, image, annotator))

    def list_answered(self, annotator: str) -> list[tuple[str, str]]:
        """(group id, image) of what one annotator has answered, in the order of answering."""
        return self._run(
            f"SELECT group_id, image FROM answers WHERE {THEIRS} GROUP BY group_id, image ORDER BY min(number)",
            (annotator,),
        )[0]

    def _run(self, statement: str, values: Sequence[Any] = ()) -> tuple[list[Any], int]:
        """Rows of a statement, which is a transaction, and the number of rows that it changed.

        Raises:
            UserError: if the disk refuses; it is then as if the statement had not been run.
        """
        try:
            with self._lock:
                cursor = self._db.execute(statement, values)
                return cursor.fetchall(), cursor.rowcount
        except sqlite3.Error as error:
            raise UserError(f"{self.path}: {error}; make room there, and go on") from error

    def read_table(self) -> pd.DataFrame:
        """All answers in their order: annotator (as first written), group_id, image, accepted (bool), sha256."""
        import pandas as pd

        rows, _ = self._run("SELECT annotator, group_id, image, accepted, sha256 FROM answers ORDER BY number")
        first_spelling: dict[str, str] = {}
        answers = [(first_spelling.setdefault(name_key(name), name), *rest) for name, *rest in rows]
        table = pd.DataFrame(answers, columns=["annotator", "group_id", "image", "accepted", "sha256"])
        return table.drop_duplicates(["annotator", "group_id", "image"], ignore_index=True).astype({"accepted": bool})
