"""One reader a format: its limits, and that nothing else in the project parses a file."""

from __future__ import annotations

import ast
import json
import os
import socket
import sqlite3
import struct
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from benchmark.core import arrays, readers
from benchmark.core.readers import Unreadable
from benchmark.core.yamls import read_yaml
from tests.test_imports import PACKAGES, ROOT, modules

# Each reads a whole file, or its description.
READERS = {
    "bytes": readers.read_bytes,
    "text": readers.read_text,
    "json": readers.read_json,
    "json lines": readers.read_json_lines,
    "csv": lambda path: list(readers.read_csv(path, ["a"])),
    "yaml": read_yaml,
    "sqlite": readers.connect,
    "parquet": arrays.read_parquet,
    "safetensors": arrays.read_safetensors,
    "metadata": arrays.read_metadata,
    "npz": arrays.read_npz,
    "pickle": lambda path: arrays.load_pickled(path, path),
}


@pytest.mark.parametrize("name", READERS)
def test_only_regular_files_are_read(name: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    os.mkfifo(file)
    with pytest.raises(Unreadable, match="is a pipe, socket or device"):
        READERS[name](file)
    file.unlink()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(file))
        with pytest.raises(Unreadable, match=r"pipe, socket or device|No such device"):
            READERS[name](file)
    file.unlink()
    file.symlink_to("/dev/zero")
    with pytest.raises(Unreadable, match="is a pipe, socket or device"):
        READERS[name](file)
    file.unlink()
    file.mkdir()
    with pytest.raises(Unreadable, match="is a folder"):
        READERS[name](file)


@pytest.mark.parametrize("name", [name for name in READERS if name != "sqlite"])
def test_what_is_not_there_and_what_is_noise_are_named(name: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    with pytest.raises(Unreadable, match=f"{file}: no such file; fetch or make it again"):
        READERS[name](file)
    file.write_bytes(b"\xff\xfe\x00noise")
    if name != "bytes":
        with pytest.raises(Unreadable) as caught:
            READERS[name](file)
        assert str(caught.value).count("\n") == 0


def test_a_file_may_be_as_large_as_its_limit(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"12345")
    assert readers.read_bytes(file, 5) == b"12345"
    with pytest.raises(Unreadable, match="larger than 4 bytes"):
        readers.read_bytes(file, 4)
    with file.open("r+b") as sparse:
        sparse.truncate(1 << 40)
    with pytest.raises(Unreadable, match="larger than 16 MiB"):
        readers.read_json(file)


def nested(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (nested(65), "nested deeper than 64"),
        (nested(100_000), "nested deeper than 64"),
        ('{"a": ' + "[" * 100_000, "nested deeper than 64|no JSON"),
        ('{"a": ' + "1" * 5000 + "}", "a number of 5000 digits"),
        ('{"a": 18446744073709551616}', "a number of 20 digits"),
        ('{"a": 1e400}', "a number as large as 1e400"),
        ('{"a": "\\ud800"}', "no JSON that can be read"),
        ('{"a": 1', "no JSON that can be read"),
        ("[]", "an object of JSON, not a list"),
        ("7", "an object of JSON, not a int"),
        ("", "no JSON that can be read"),
    ],
)
def test_json_has_limits(text: str, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        readers.parse_json(text, "x")


def test_json_within_the_limits_is_as_the_library_reads_it() -> None:
    for text in (nested(64), '{"a": 18446744073709551615, "b": -9223372036854775808, "c": [1e308, null, true, "é"]}'):
        assert readers.parse_json(text, "x") == json.loads(text)


def test_lines_of_json_are_named(tmp_path: Path) -> None:
    (tmp_path / "x").write_text('{"a": 1}\n\n{"a": 2}\n')
    assert readers.read_json_lines(tmp_path / "x") == [{"a": 1}, {"a": 2}]
    (tmp_path / "x").write_text('{"a": 1}\n[2]\n')
    with pytest.raises(Unreadable, match="x, line 2: must hold an object"):
        readers.read_json_lines(tmp_path / "x")


def test_a_value_of_yaml_is_a_text_as_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("licence: no\nversion: 1.10\nday: 2026-01-01\nauthors: [Ann <a@b.org>, 7]\npaper:\n")
    expected = {"licence": "no", "version": "1.10", "day": "2026-01-01", "authors": ["Ann <a@b.org>", "7"], "paper": ""}
    assert read_yaml(tmp_path / "x") == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: &a [1]\nb: [*a, *a]", "repeats a part by an alias"),
        ("a: 1\na: 2", "line 2: a key that is no text, or stands twice"),
        ("[1]: 2", "a key that is no text"),
        ("[" * 500, "nested deeper than 64|no YAML"),
        ("a: " + "[" * 70 + "]" * 70, "nested deeper than 64"),
        ("- a", "must hold names and values"),
        ("a: 1\n---\na: 2", "no YAML"),
        ("a: \x00", "no YAML"),
        ("a: [", "no YAML"),
    ],
)
def test_yaml_has_limits(text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_text(text)
    with pytest.raises(Unreadable, match=reason):
        read_yaml(tmp_path / "x")


def test_code_in_yaml_is_text(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("a: !!python/object/apply:os.mkdir [code-was-run]\nb: !!binary aGk=\n")
    assert read_yaml(tmp_path / "x") == {"a": ["code-was-run"], "b": "aGk="}


def test_cells_of_csv_are_text_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b'\xef\xbb\xbfa,b\r\nNA,007\r\n"1\n2",\r\nshort\r\nmore,than,two\r\n')
    rows = [{"a": "NA", "b": "007"}, {"a": "1\n2", "b": ""}, {"a": "short", "b": ""}, {"a": "more", "b": "than"}]
    assert list(readers.read_csv(tmp_path / "x", ["a"])) == rows
    refused = {"b\n1\n": "lacks the column a", "a,a\n1,2\n": "has twice the column a", 'a\n"x': "no table"}
    for text, reason in refused.items():
        (tmp_path / "x").write_text(text)
        with pytest.raises(Unreadable, match=reason):
            list(readers.read_csv(tmp_path / "x", ["a"]))


SCHEMA = "CREATE TABLE t (a TEXT NOT NULL, n INTEGER)"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("SELECT 1", None),
        ("CREATE INDEX i ON t (n)", None),
        ("INSERT INTO t VALUES ('x', NULL)", None),
        ("INSERT INTO t VALUES (x'00', 1)", "not of its column's type"),
        ("INSERT INTO t VALUES ('x', 'many')", "not of its column's type"),
        ("ALTER TABLE t ADD COLUMN z TEXT", "other tables or columns"),
        ("ALTER TABLE t RENAME COLUMN a TO z", "other tables or columns"),
        ("DROP TABLE t", "other tables or columns"),
        ("CREATE TABLE u (a TEXT)", "other tables or columns"),
        ("CREATE VIEW v AS SELECT * FROM t", "a view or trigger"),
        ("CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM t; END", "a view or trigger"),
    ],
)
def test_a_database_has_the_tables_of_its_schema_alone(change: str, reason: str | None, tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "x")
    database.executescript(f"{SCHEMA}; {change};")
    if reason is None:
        readers.check_layout(database, tmp_path / "x", SCHEMA)
    else:
        with pytest.raises(Unreadable, match=reason):
            readers.check_layout(database, tmp_path / "x", SCHEMA)
    database.close()


def test_a_damaged_database_is_named(tmp_path: Path) -> None:
    database = readers.connect(tmp_path / "x")
    database.executescript(f"{SCHEMA}; INSERT INTO t VALUES ('x', 1);")
    database.close()
    data = bytearray((tmp_path / "x").read_bytes())
    data[4096:4200] = bytes(104)
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(Unreadable, match="is damaged"):
        readers.check_layout(readers.connect(tmp_path / "x"), tmp_path / "x", SCHEMA)


def test_a_table_has_the_columns_and_types_of_its_schema(tmp_path: Path) -> None:
    schema = pa.schema({"a": pa.int64(), "b": pa.string()})
    file = tmp_path / "x.parquet"
    pq.write_table(pa.table({"b": ["x"], "c": [1.5], "a": [7]}), file)
    assert arrays.read_parquet(file, schema=schema).to_pylist() == [{"a": 7, "b": "x"}]
    refused = (({"a": [7]}, "lacks the column b"), ({"a": [1.5], "b": ["x"]}, "a holds double and not int64"))
    for columns, reason in refused:
        pq.write_table(pa.table(columns), file)
        with pytest.raises(Unreadable, match=reason):
            arrays.read_parquet(file, schema=schema)


@pytest.mark.parametrize("length", [2**63, 200 << 20, 1 << 40])
def test_a_header_of_gigabytes_is_not_read(length: int, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(struct.pack("<Q", length) + b'{"a":' + bytes(100))
    with pytest.raises(Unreadable, match="its header is larger"):
        arrays.read_safetensors(tmp_path / "x")


def test_tensors_come_with_their_metadata(tmp_path: Path) -> None:
    save_file({"a": torch.arange(3)}, tmp_path / "x", metadata={"of": "us"})
    tensors, metadata = arrays.read_safetensors(tmp_path / "x")
    assert tensors["a"].tolist() == [0, 1, 2] and metadata == {"of": "us"}


class Code:
    def __reduce__(self) -> tuple:
        return os.mkdir, ("code-was-run",)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (Code(), "holds code"),
        (torch.zeros(1).expand(10**6, 10**6), "elements and fewer values"),
        (torch.zeros(4, 4).to_sparse(), "sparse, quantised"),
        (torch.zeros(4, dtype=torch.complex64), "complex"),
    ],
)
def test_code_and_tensors_without_their_values_are_refused(
    value: object, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"weights": {"a": value}}, "x")
    with pytest.raises(Unreadable, match=reason):
        arrays.load_pickled(Path("x"), "x")
    assert not Path("code-was-run").exists()


def test_a_value_that_holds_itself_is_read(tmp_path: Path) -> None:
    value: dict = {"a": torch.ones(2)}
    value["self"] = value
    torch.save(value, tmp_path / "x")
    assert arrays.load_pickled(tmp_path / "x", "x")["self"]["a"].tolist() == [1, 1]


# ------------------------------------------------------------------------------------------ nothing else parses a file

PARSERS = {
    "json.loads", "json.load", "pd.read_csv", "pd.read_parquet", "pq.ParquetFile", "pq.read_table", "pq.read_schema",
    "pq.read_metadata", "torch.load", "load_file", "safe_open", "safetensors.torch.load", "sqlite3.connect", "np.load",
    "pickle.load", "pickle.loads", "csv.reader", "csv.DictReader", "yaml.load", "yaml.safe_load", "yaml.compose",
}  # fmt: skip
WHOLE = (".read_text", ".read_bytes")
READ_ELSEWHERE = {
    "benchmark/core/readers.py": "the readers",
    "benchmark/core/arrays.py": "the readers",
    "benchmark/core/yamls.py": "the readers",
    "benchmark/core/workdir.py": "a note made plain",
    "benchmark/core/code.py": "the sources of this project",
    "benchmark/core/commands.py": "the sources of this project",
    "benchmark/core/devices.py": "what the system says of itself, in /proc",
    "benchmark/labels/imagenet.py": "packaged: timm's class names",
    "benchmark/mini/card.py": "packaged: for who rebuilds the mini",
    "benchmark/mini/build.py": "packaged: for who rebuilds the mini",
    "benchmark/mini/emoji.py": "packaged: for who rebuilds the mini",
    "editors/core/installed.py": "the sources of an installed package",
    "editors/core/registry.py": "packaged: settings.json",
    "editors/examples/trained.py": "a file that it wrote, in a user's own code",
    "generation/core/folder.py": "settings made plain",
    "leaderboard/board/plot.py": "a figure made plain",
    "leaderboard/board/site.py": "packaged: its pages' files",
    "leaderboard/judging/plan.py": "settings made plain",
    "leaderboard/report/page.py": "packaged: its page's files; its own pictures",
    "leaderboard/submissions/rerun.py": "settings made plain",
    "leaderboard/submissions/submission.py": "a checked record made plain",
    "leaderboard/judging/wire.py": "messages of an editor's process, checked there",
    "leaderboard/judging/worker.py": "messages of our own processes",
    "leaderboard/judging/module_spec.py": "a spec made plain",
    "leaderboard/new.py": "packaged: the examples",
    "mad/crawling/clients.py": "answers of a server, whose size and depth `mad.crawling.web` bounds",
    "mad/crawling/keywords.py": "packaged: polysemous.txt",
    "mad/mining/wordnet.py": "packaged: the extract",
    "mad/review/server.py": "packaged: its page's files",
}


@pytest.mark.parametrize("package", PACKAGES)
def test_files_are_parsed_by_their_readers_alone(package: str) -> None:
    for path in modules(package):
        name = path.relative_to(ROOT).as_posix()
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        named = {ast.unparse(call.func) for call in calls}
        parsing = {call for call in named if call in PARSERS or call.endswith(WHOLE)}
        if name in READ_ELSEWHERE:
            assert parsing, f"{name} parses nothing any more: take it off the list"
        else:
            assert not parsing, f"{name} calls {min(parsing)}; take benchmark.core.readers or .arrays"
