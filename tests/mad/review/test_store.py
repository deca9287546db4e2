from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmark.core.errors import UserError
from mad.review.store import FILE, Answer, AnswerStore, clean_annotator_name


def test_answers_are_kept_in_order_and_apart(store: AnswerStore) -> None:
    for annotator, image, accepted in (("ann", "b", True), ("bo", "b", False), ("ann", "a", False)):
        assert store.add(annotator, Answer("1-2", image, accepted, "00"))
    assert store.list_answered("ann") == [("1-2", "b"), ("1-2", "a")]
    assert store.list_answered("bo") == [("1-2", "b")]
    table = store.read_table()
    assert table["annotator"].tolist() == ["ann", "bo", "ann"]
    assert table["accepted"].tolist() == [True, False, False]


def test_the_first_answer_stands_until_it_is_taken_back(store: AnswerStore) -> None:
    assert store.add("ann", Answer("1-2", "a", True, "00"))
    assert not store.add("ann", Answer("1-2", "a", False, "00"))
    assert store.read_table()["accepted"].tolist() == [True]
    store.add("bo", Answer("1-2", "a", True, "00"))
    store.remove("ann", "1-2", "a")
    assert store.list_answered("ann") == [] and store.list_answered("bo") == [("1-2", "a")]
    assert store.add("ann", Answer("1-2", "a", False, "00"))


def test_upper_and_lower_case_are_one_person(store: AnswerStore) -> None:
    store.add("Ann", Answer("1-2", "a", True, "00"))
    assert store.list_answered("ann") == [("1-2", "a")]
    assert not store.add("ANN", Answer("1-2", "a", False, "00"))
    store.add("ann", Answer("1-2", "b", True, "00"))
    assert store.read_table()["annotator"].tolist() == ["Ann", "Ann"]


def test_an_answer_outlives_a_kill(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from mad.review.store import Answer, AnswerStore\n"
        "store = AnswerStore(Path(sys.argv[1]))\n"
        "for image in 'abc': store.add('ann', Answer('1-2', image, True, '00'))\n"
        "os._exit(9)  # as a kill: nothing is flushed or closed"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "db")], env=dict(os.environ))
    assert done.returncode == 9
    assert AnswerStore(tmp_path / "db", create=False).list_answered("ann") == [("1-2", image) for image in "abc"]


def test_many_at_once_lose_nothing(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        stores = [*threads.map(lambda _: AnswerStore(tmp_path / "db"), range(4))]
        jobs = [
            threads.submit(stores[i % 4].add, f"annotator {i % 4}", Answer("1-2", str(i), True, "00"))
            for i in range(80)
        ]
    assert all(job.result() for job in jobs)
    assert len(stores[0].read_table()) == 80


def test_files_that_hold_no_answers(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database, " * 100)
    foreign = sqlite3.connect(tmp_path / "foreign")
    foreign.execute("CREATE TABLE mine (x)")
    foreign.commit()
    for name in ("text", "foreign"):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(UserError, match="--db"):
            AnswerStore(tmp_path / name)
        assert (tmp_path / name).read_bytes() == before
    with pytest.raises(UserError, match="nobody has answered yet"):
        AnswerStore(tmp_path / "none", create=False)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a,b", "x" * 41, "a\x1b[31m"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(UserError, match="annotator's name"):
        clean_annotator_name(name)


def test_a_name_is_stripped() -> None:
    assert clean_annotator_name(" Zoë O'Neil ") == "Zoë O'Neil"


def test_spellings_of_one_name_are_one_person(search_folder: Path, session, store: AnswerStore) -> None:
    """Case and the encoding of accents are no second person, who could verify what the first one said."""
    spellings = ["Éve", "éve", "E\u0301VE", "Straße", "STRASSE"]
    assert clean_annotator_name(" E\u0301ve ") == "Éve"
    answers = [Answer("890-430", f"{number}.jpg", True, "") for number in range(2)]
    assert [store.add(name, answers[0]) for name in spellings] == [True, False, False, True, False]
    assert store.add("éve", answers[1])
    assert store.list_answered("ÉVE") == [(answer.group_id, answer.image) for answer in answers]
    assert store.read_table()["annotator"].tolist() == ["Éve", "Straße", "Éve"]
    store.remove("E\u0301ve", answers[1].group_id, answers[1].image)
    assert len(store.list_answered("Éve")) == 1


def test_answers_that_an_earlier_version_kept_for_two_spellings_count_once(store: AnswerStore) -> None:
    insert = "INSERT INTO answers (annotator, group_id, image, accepted, sha256) VALUES (?, 'g', 'a.jpg', ?, '')"
    store._db.executemany(insert, [("Éve", 1), ("éve", 0), ("bo", 1)])
    assert store.read_table()[["annotator", "accepted"]].to_numpy().tolist() == [["Éve", True], ["bo", True]]
    assert store.list_answered("éVE") == [("g", "a.jpg")]
    store.remove("ÉVE", "g", "a.jpg")
    assert store.read_table()["annotator"].tolist() == ["bo"]


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE answers ADD COLUMN more TEXT",
        "ALTER TABLE answers RENAME COLUMN image TO picture",
        "UPDATE answers SET image = x'00ff'",
        "UPDATE answers SET accepted = 'yes'",
        "CREATE TABLE more (a TEXT)",
        "CREATE TRIGGER t AFTER INSERT ON answers BEGIN DELETE FROM answers; END",
        "DROP TABLE answers",
    ],
)
def test_a_file_of_another_layout_is_refused_in_one_line(change: str, tmp_path: Path) -> None:
    path = tmp_path / FILE
    store = AnswerStore(path)
    store.add("Ann", Answer("890-430", "a.jpg", True, "0" * 64))
    store.close()
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA ignore_check_constraints = ON")
        database.execute(change)
    for create in (False, True):
        with pytest.raises(UserError, match="--db") as caught:
            AnswerStore(path, create)
        assert "\n" not in str(caught.value)
