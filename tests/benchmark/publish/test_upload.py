"""From the archives to a data set on the Hub, and back: built, uploaded, loaded as strangers load it, hydrated."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from benchmark import build, hydrate
from benchmark.core import cli
from benchmark.core.files import sha256
from benchmark.data.dataset import load
from tests.benchmark import released
from tests.benchmark.publish.test_card import folder_of
from tests.hub_server import TOKEN, HubServer

NAME = "where2edit/vit-edit-bench"
LOADING = """
import json, sys
from datasets import load_dataset
name, revision = sys.argv[1:]
full, mini, streamed = load_dataset(name), load_dataset(name, "mini"), load_dataset(name, streaming=True)
row, small = next(iter(streamed["edit"])), next(iter(load_dataset(name, "mini", streaming=True)["edit"]))
print(json.dumps({
    "full": {split: len(rows) for split, rows in full.items()},
    "mini": {split: len(rows) for split, rows in mini.items()},
    "earlier": len(load_dataset(name, revision=revision)["edit"]),
    "streamed": [row["group"], row["image"].size, small["group_id"], small["image"].size],
    "missing": sum(row["image"] is None for row in full["edit"]),
}))
"""


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Path]:
    """Three archives with a few images each."""
    (tmp_path / "in").mkdir()
    return {
        "natural": released.natural(tmp_path / "in" / "natural.zip", dict(zip(released.NATURAL, (3, 2), strict=False))),
        "stage-light": released.pug(tmp_path / "in" / "pug", 14),
        "locality": released.locality(tmp_path / "in" / "sensitive.zip", 6),
    }


def publish(inputs: dict[str, Path], *words: str) -> None:
    given = [word for name, path in inputs.items() for word in (f"--{name}", str(path))]
    cli.run(build.main, [*given, "--allow-partial", "--publish", "--push", NAME, "--out", "built", *words])


def test_what_is_published_is_loaded_and_hydrated(
    inputs: dict[str, Path], hub: HubServer, tmp_path: Path, monkeypatch, capsys
) -> None:
    for folder in ("home", "elsewhere"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / "home")
    monkeypatch.setattr("builtins.input", lambda prompt: "n")
    with pytest.raises(SystemExit) as stop:  # the dry run: an answer other than yes
        publish(inputs)
    shown = capsys.readouterr()
    assert stop.value.code == 2 and "nothing was uploaded" in shown.err and "data/locality-00000" in shown.out
    assert hub.requests == []

    monkeypatch.setenv("HF_TOKEN", TOKEN)
    publish(inputs, "--yes")
    repository = hub.repositories["datasets", NAME]
    files = repository.commits[commit := next(reversed(repository.commits))]
    built = tmp_path / "home" / "built"
    assert repository.private, "its owner looks at it first"
    assert {name: blob.sha256 for name, blob in files.items()} == {
        path.relative_to(built).as_posix(): sha256(path) for path in built.rglob("*") if path.is_file()
    }

    monkeypatch.chdir(tmp_path / "elsewhere")
    words = ("--pug", str(inputs["stage-light"]), "--locality", str(inputs["locality"]))
    cli.run(hydrate.main, [f"{NAME}@{commit}", *words])
    assert f"{NAME}: 20 of 20 images filled in" in capsys.readouterr().out
    benchmark = load(NAME)
    assert (benchmark.source, benchmark.version, len(benchmark.edit)) == (NAME, "1.0-partial", 19)
    sizes = {Image.open(io.BytesIO(benchmark.edit.image_bytes(row))).size for row in range(19)}
    assert sizes <= {(80, 60), (60, 80)}
    with pytest.raises(SystemExit):
        cli.run(hydrate.main, [f"{NAME}@{commit}", *words])
    assert f"{NAME}: is here already" in capsys.readouterr().err


def test_load_dataset_reads_it_outside_the_checkout(hub: HubServer, tmp_path: Path) -> None:
    """Both configs, whole and streamed, and an earlier commit; listings come in pages."""
    hub.page = 4
    earlier = hub.add("datasets", NAME, folder_of(tmp_path / "earlier", without="edit-oil_painting"))
    hub.add("datasets", NAME, folder_of(tmp_path / "newest", bare=True))
    done = hub.python(tmp_path, "-c", LOADING, NAME, earlier)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "full": {"edit": 12, "locality": 6},
        "mini": {"edit": 418, "locality": 320},
        "earlier": 9,
        "streamed": ["natural", [30, 20], "637-308", [64, 64]],
        "missing": 4,
    }
