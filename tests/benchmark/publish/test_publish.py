"""Publication: rows without pixels, and an upload that never carries more than was shown."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmark.build import confirm
from benchmark.core.errors import UserError
from benchmark.data.packaged import MINI
from benchmark.data.schema import FLICKR, IMAGENET, IMAGENET_ANY, PUG, STABLE_DIFFUSION
from benchmark.publish import publish
from tests.benchmark.publish.test_card import folder_of, table_of


@pytest.mark.parametrize(
    ("subset", "source", "goes"),
    [
        ("natural", FLICKR, True),
        ("oil_painting", STABLE_DIFFUSION, True),
        ("stage_light", PUG, False),
        ("locality", IMAGENET, False),
        ("locality", IMAGENET_ANY, False),
        ("locality", None, False),
        (None, "somewhere", False),
        ("natural", IMAGENET, False),
        ("stage_light", f"{FLICKR} by another name", False),
        ("pairs", "npm:@iconify-json/noto@1.2.9", True),
    ],
)
def test_what_may_go(subset: str | None, source: str | None, goes: bool) -> None:
    """ImageNet's and PUG's pixels stay at home (issue 5, 3), and so does what nobody can name."""
    table = table_of(subset, source, 2, seed=1)
    bare = publish.without_pixels(table)
    assert bare.column("image").null_count == (0 if goes else 2)
    rows = zip(table.to_pylist(), bare.to_pylist(), strict=True)
    for before, after in rows:
        same = set(before) - {"image", "source"}
        assert {k: before[k] for k in same} == {k: after[k] for k in same}
        assert (before == after) if goes else ("https://" in after["source"])


def test_the_schema_stays_and_twice_is_once() -> None:
    table = pa.concat_tables([table_of("natural", FLICKR, 3, seed=1), table_of("stage_light", PUG, 2, seed=2)])
    bare = publish.without_pixels(table)
    assert bare.schema.equals(table.schema, check_metadata=True) and b"huggingface" in bare.schema.metadata
    assert publish.without_pixels(bare).equals(bare)
    assert bare.column("image").is_valid().to_pylist() == [True] * 3 + [False] * 2


def test_filling_in_is_the_inverse() -> None:
    table = pa.concat_tables([table_of("natural", FLICKR, 2, seed=1), table_of("stage_light", PUG, 3, seed=2)])
    bare = publish.without_pixels(table)
    images = [None, None, *table.column("image").to_pylist()[2:]]
    assert publish.with_pixels(bare, images).equals(table)
    partial = publish.with_pixels(bare, [*images[:3], None, images[4]])
    assert partial.slice(0, 3).equals(table.slice(0, 3)) and partial.slice(3, 1).equals(bare.slice(3, 1))


def test_pixels_are_seen_without_reading_them(tmp_path: Path) -> None:
    """`read_rows` leaves the bytes in the file, and still knows the rows that have none."""
    bare = publish.without_pixels(
        pa.concat_tables([table_of("stage_light", PUG, 3, seed=2), table_of("natural", FLICKR, 2, seed=1)])
    )
    nameless = [{**row, "image": row["image"] and {**row["image"], "path": None}} for row in bare.to_pylist()]
    pq.write_table(pa.Table.from_pylist(nameless, schema=bare.schema), tmp_path / "x.parquet")
    rows = publish.read_rows(tmp_path / "x.parquet")
    assert rows.column("image").is_valid().to_pylist() == [False] * 3 + [True] * 2
    assert [field.name for field in rows.schema.field("image").type] == ["path"]
    assert len(publish.read_rows(MINI / "train-00000-of-00001.parquet")) == 1600
    (tmp_path / "y.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match="not a parquet file"):
        publish.read_rows(tmp_path / "y.parquet")
    pq.write_table(rows.drop_columns(["sha256"]), tmp_path / "z.parquet")
    with pytest.raises(UserError, match="lacks the column sha256"):
        publish.read_rows(tmp_path / "z.parquet")


def agree(sizes: dict[str, int]) -> bool:
    """Show the files and ask nobody, as `--yes` does."""
    return confirm(sizes, "me/x", yes=True)


class FakeHub:
    """Stands in for `huggingface_hub.HfApi`: notes what is asked of it, or raises."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls: list[tuple[str, dict]] = []
        self.error = error

    def create_repo(self, **asked: object) -> None:
        self.calls.append(("create_repo", asked))
        if self.error:
            raise self.error

    def upload_folder(self, **asked: object) -> None:
        self.calls.append(("upload_folder", asked))


def test_what_is_shown_is_what_goes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The patterns handed to the client pick, by its own filter, exactly the files that were listed."""
    from huggingface_hub.utils import filter_repo_objects

    folder = folder_of(tmp_path / "data", bare=True)
    (folder / ".cache").mkdir()
    (folder / ".cache" / "x.parquet").write_bytes(b"not for others")
    (folder / "data" / ".edit-natural.tmp").write_bytes(b"half")
    (folder / "[a]*.txt").write_text("a name that is a pattern")
    (folder / "a.txt").write_text("x")
    hub = FakeHub()
    publish.push(folder, "me/vit-edit-bench", agree, api=hub)
    assert [name for name, _ in hub.calls] == ["create_repo", "upload_folder"]
    assert hub.calls[0][1]["private"] is True and hub.calls[0][1]["exist_ok"] is True
    asked = hub.calls[1][1]
    assert (asked["repo_id"], asked["repo_type"]) == ("me/vit-edit-bench", "dataset")
    everything = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()]
    goes = set(filter_repo_objects(everything, allow_patterns=asked["allow_patterns"]))
    assert goes == {name for name in everything if not any(part.startswith(".") for part in name.split("/"))}
    shown = capsys.readouterr().out
    assert all(f"MB  {name}\n" in shown for name in goes) and "half" not in shown
    assert f"{len(goes)} files" in shown


def test_photographs_without_credit_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A link back to the photograph's page is required (SPEC, 7); the owner of the data set has to know."""
    folder = folder_of(tmp_path / "data", bare=True)
    file = folder / "data" / "edit-natural-00000-of-00001.parquet"
    rows = [{**row, "attribution": None} for row in pq.read_table(file).to_pylist()]
    for row in rows[:2]:
        row["attribution"] = "Volleyball, by A, https://flickr.com/photos/a/1"
    pq.write_table(pa.Table.from_pylist(rows, schema=pq.read_schema(file)), file)
    publish.push(folder, "me/x", agree, api=FakeHub())
    assert "3 photographs name no owner" in caplog.text


def test_nobody_said_yes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, hub = folder_of(tmp_path / "data", bare=True), FakeHub()

    def nobody(prompt: str) -> str:
        raise EOFError

    def ask(sizes: dict[str, int]) -> bool:
        return confirm(sizes, "me/x", yes=False)

    for answer in (nobody, lambda prompt: "", lambda prompt: "no"):
        monkeypatch.setattr("builtins.input", answer)
        with pytest.raises(UserError, match="nothing was uploaded"):
            publish.push(folder, "me/x", ask, api=hub)
    assert hub.calls == []
    monkeypatch.setattr("builtins.input", lambda prompt: "y")
    assert publish.push(folder, "me/x", ask, api=hub) == "https://huggingface.co/datasets/me/x"
    assert len(hub.calls) == 2


def test_pixels_that_may_not_go_don_t(tmp_path: Path) -> None:
    hub = FakeHub()
    with pytest.raises(UserError, match=r"4 images that may not be passed on .*--publish"):
        publish.push(folder_of(tmp_path / "whole"), "me/x", agree, api=hub)
    bare = folder_of(tmp_path / "bare", bare=True)
    (bare / "extra").mkdir()
    pq.write_table(table_of("locality", IMAGENET, 1, seed=5), bare / "extra" / "more.parquet")
    with pytest.raises(UserError, match=r"more\.parquet holds the pixels of 1"):
        publish.push(bare, "me/x", agree, api=hub)
    assert hub.calls == []


def test_other_folders_names_and_links_are_refused(tmp_path: Path) -> None:
    folder, hub = folder_of(tmp_path / "data", bare=True), FakeHub()
    with pytest.raises(UserError, match="must hold build"):
        publish.push(tmp_path, "me/x", agree, api=hub)
    for name in ("", "a/b/c", "../x", "me/x y"):
        with pytest.raises(UserError, match="must be OWNER/NAME"):
            publish.push(folder, name, agree, api=hub)
    (folder / "notes.txt").symlink_to("/etc/hostname")
    with pytest.raises(UserError, match=r"notes\.txt is a link"):
        publish.push(folder, "me/x", agree, api=hub)
    assert hub.calls == []


def test_errors_of_the_hub_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import LocalTokenNotFoundError

    folder = folder_of(tmp_path / "data", bare=True)
    with pytest.raises(UserError, match="hf auth login"):
        publish.push(folder, "me/x", agree, api=FakeHub(LocalTokenNotFoundError("none")))
    for status, message in ((401, "HF_TOKEN"), (403, "may not write to me/x"), (503, "answered 503")):
        error = RuntimeError("no")
        error.response = type("Response", (), {"status_code": status})()  # type: ignore[attr-defined]
        with pytest.raises(UserError, match=message):
            publish.push(folder, "me/x", agree, api=FakeHub(error))
    nobody = HfApi(endpoint="http://127.0.0.1:9", token="hf_none")
    with pytest.raises(UserError, match="check the network"):
        publish.push(folder, "me/x", agree, api=nobody)


def test_checksums_are_what_sha256sum_reads(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "data")
    publish.write_checksums(folder)
    publish.write_checksums(folder)
    lines = dict(reversed(line.split("  ")) for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert set(lines) == {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} - {"SHA256SUMS"}
    assert lines["README.md"] == hashlib.sha256((folder / "README.md").read_bytes()).hexdigest()
    done = subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=folder, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
