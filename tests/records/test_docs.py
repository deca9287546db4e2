"""A page gets the tables that it names, and one that was changed by hand, is unknown or is missing is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.records import docs, shown

PAGE = """Words <!-- made: here only -->

<!-- made: a -->

old

<!-- end -->

More words.

<!-- made: b -->
<!-- end -->
"""


def test_tables_are_filled_in_and_what_differs_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docs, "ROOT", tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("A page without a table.\n")
    page = tmp_path / "docs" / "page.md"
    page.write_text(PAGE)
    made = {"a": "| 1 |\n| --- |", "b": "| 2 |"}
    assert len(docs.find_stale_tables(made)) == 2
    docs.fill(made)
    assert docs.find_stale_tables(made) == []
    text = page.read_text()
    assert text.startswith("Words") and "old" not in text and "\n\nMore words.\n\n" in text
    assert (tmp_path / "README.md").read_text() == "A page without a table.\n"
    page.write_text(text.replace("| 2 |", "| 3 |"))
    assert docs.find_stale_tables(made) == ["b: not the table of the records"]
    assert docs.find_stale_tables({"a": made["a"]}) == ["b: no table is called so"]
    assert docs.find_stale_tables({**made, "b": "| 3 |", "c": ""}) == ["c: stands 0 times in the pages, not once"]


def test_a_picture_knows_its_runs() -> None:
    runs = shown.committed().choose(("ft", "ft-l2:*"))
    path, record = runs[0]
    changed = record.model_copy(update={"outcomes": record.outcomes.model_copy(update={"sha256": "0" * 64})})
    assert len({docs.stamp(runs), docs.stamp([(path, changed), *runs[1:]]), docs.stamp(runs[1:])}) == 3


def test_a_spec_that_no_run_has_is_named() -> None:
    with pytest.raises(SystemExit, match="ft-l3"):
        shown.committed().choose(("ft", "ft-l3:*"))
    assert [record.editor.spec for _, record in shown.committed().choose(("ft-l2:c=0.1", "ft"))] == [
        "ft-l2:c=0.1",
        "ft",
    ]
    assert shown.short("a:checkpoint=out/b/mini-seed1.safetensors,c=1") == "a:checkpoint=seed1,c=1"
