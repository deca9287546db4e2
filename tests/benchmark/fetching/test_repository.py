"""Sources on the Hub: one commit for ever, sizes and hashes as it states them, gates in words."""

from __future__ import annotations

import io
import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from benchmark.core.errors import UserError
from benchmark.data.training import training_images
from benchmark.fetching import collection, repository
from benchmark.fetching.imagenet import SOURCE as IMAGENET
from benchmark.fetching.lock import LOCK
from benchmark.fetching.repository import Repository
from benchmark.fetching.row_groups import COUNTS, RowGroups, describe_counts
from benchmark.fetching.source import Source
from benchmark.images.open import open_images
from benchmark.labels.imagenet import synsets
from tests.hub_server import HubServer

MODEL = "some/model"
WEIGHTS = bytes(range(256)) * 400


def source(**values: object) -> Source:
    origin = Repository(MODEL, ("config.json", "*.safetensors"), left_out=("*.fp16.*",), is_model=True)
    return Source("a", "weights", "--base", origin, **values)


def fetch(out: Path, *chosen: Source) -> None:
    collection.fetch_sources(out, chosen or [source()], lambda new: True)


def noted(out: Path) -> dict:
    return json.loads((out / LOCK).read_text())["sources"]["a"]


@pytest.fixture
def commit(hub: HubServer, tmp_path: Path) -> str:
    folder = tmp_path / "model"
    (folder / "deep").mkdir(parents=True)
    (folder / "config.json").write_text('{"a": 1}')
    (folder / "deep" / "w.safetensors").write_bytes(WEIGHTS)
    (folder / "deep" / "w.fp16.safetensors").write_bytes(b"left out")
    (folder / "README.md").write_text("# not asked for")
    return hub.add("models", MODEL, folder)


def test_files_of_one_commit_come_with_the_hubs_hashes(hub: HubServer, commit: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    fetch(out)
    note = noted(out)
    assert note["revision"] == commit and note["complete"]
    assert {name: file["hash_from"] for name, file in note["files"].items()} == {
        "config.json": "first fetch", "deep/w.safetensors": "the Hub's SHA-256"
    }  # fmt: skip
    assert (out / "a" / "deep" / "w.safetensors").read_bytes() == WEIGHTS and not (out / "a" / "README.md").exists()
    before = len(hub.requests)
    hub.broken = True
    fetch(out)
    assert len(hub.requests) == before, "nobody is asked for what is there"


def test_the_first_fetchs_commit_is_kept(hub: HubServer, commit: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    fetch(out)
    (out / "a" / "deep" / "w.safetensors").unlink()
    changed = shutil.copytree(tmp_path / "model", tmp_path / "changed")  # the server reads a commit's files in place
    (changed / "deep" / "w.safetensors").write_bytes(b"newer")
    newer = hub.add("models", MODEL, changed)
    fetch(out)
    assert noted(out)["revision"] == commit and (out / "a" / "deep" / "w.safetensors").read_bytes() == WEIGHTS
    fetch(tmp_path / "new")
    assert noted(tmp_path / "new")["revision"] == newer


def test_other_bytes_than_the_hub_states_are_refused(hub: HubServer, commit: str, tmp_path: Path) -> None:
    blob = hub.repositories["models", MODEL].commits[commit]["deep/w.safetensors"]
    hub.large[blob.sha256] = type(blob)(b"x" * blob.size, blob.size, blob.oid, blob.sha256)
    with pytest.raises(UserError, match=r"deep/w\.safetensors came with another size or SHA-256"):
        fetch(tmp_path / "out")
    assert not (tmp_path / "out" / "a" / "deep" / "w.safetensors").exists()
    hub.large[blob.sha256] = blob
    fetch(tmp_path / "out")


def test_a_small_disk_is_named_before_anything_is_sent(
    hub: HubServer, commit: str, tmp_path: Path, monkeypatch
) -> None:
    from benchmark.fetching import transfer

    usage = transfer.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda path: usage._replace(free=transfer.SPARE))
    with pytest.raises(UserError, match=r"a needs 102\.4 kB more"):
        fetch(tmp_path / "out")
    assert not any(path.startswith("/lfs/") for _, path in hub.requests)


def test_what_cannot_be_had_is_one_line_with_the_way_out(hub: HubServer, commit: str, tmp_path: Path) -> None:
    repository_ = hub.repositories["models", MODEL]
    repository_.gated = True
    with pytest.raises(UserError, match=r"accept their terms.*hf auth login.*--from-folder"):
        fetch(tmp_path / "out")
    repository_.gated, repository_.private = False, True
    with pytest.raises(UserError, match="nothing of that name, or it is private"):
        fetch(tmp_path / "out")
    repository_.private = False
    missing = Source("a", "", "", Repository(MODEL, ("*.parquet",), is_model=True))
    with pytest.raises(UserError, match=r"has no file \*\.parquet at commit"):
        fetch(tmp_path / "out", missing)
    hub.broken = True
    with pytest.raises(UserError, match="503"):
        fetch(tmp_path / "out")


# ------------------------------------------------------------------------------------------ ImageNet

FILES, GROUPS, ROWS = 4, 3, 5
MOST = 10**8


def picture(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(number).integers(0, 256, (100, 100, 3), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def imagenet(hub: HubServer, tmp_path: Path) -> RowGroups:
    """Four files of three row groups of five images each, as the Hub's ImageNet-1k has them; image n is of class n."""
    import datasets

    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list(synsets()))})
    (tmp_path / "hub" / "data").mkdir(parents=True)
    for file in range(FILES):
        numbers = range(file * GROUPS * ROWS, (file + 1) * GROUPS * ROWS)
        rows = {
            "image": [{"bytes": picture(number), "path": f"n_{number}.JPEG"} for number in numbers],
            "label": [*numbers],
        }
        path = tmp_path / "hub" / "data" / f"train-{file:05d}-of-{FILES:05d}.parquet"
        pq.write_table(pa.table(rows, schema=features.arrow_schema), path, row_group_size=ROWS)
    hub.add("datasets", "ILSVRC/imagenet-1k", tmp_path / "hub")
    return RowGroups(Repository("ILSVRC/imagenet-1k", ("data/train-*.parquet",)), 28, MOST, source="ImageNet-1k")


def of_imagenet(origin: RowGroups) -> Source:
    return Source("a", "images", "editors.train --images", origin)


def labels_in(out: Path) -> list[int]:
    return training_images(str(out / "a")).labels.tolist()


def test_row_groups_are_drawn_by_seed_and_the_rest_is_not_sent(
    hub: HubServer, imagenet: RowGroups, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    fetch(out, of_imagenet(imagenet))
    labels = labels_in(out)
    assert len(labels) == 30, "whole row groups, until there are 28"
    assert {*Counter(label // (GROUPS * ROWS) for label in labels).values()} == {5, 10}, "one of each file, then two"
    assert hub.sent < 0.8 * sum(path.stat().st_size for path in (tmp_path / "hub" / "data").iterdir())
    fetch(tmp_path / "again", of_imagenet(imagenet))
    assert labels_in(tmp_path / "again") == labels
    other = RowGroups(imagenet.repository, 28, MOST, source="ImageNet-1k", seed=1)
    fetch(tmp_path / "other", of_imagenet(other))
    assert labels_in(tmp_path / "other") != labels


def test_they_are_training_images_for_every_command(imagenet: RowGroups, tmp_path: Path, monkeypatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    fetch(tmp_path / "out", of_imagenet(imagenet))
    images = open_images(tmp_path / "out" / "a", labelled=True, split="train")
    assert len(images) == 30
    assert images.known_labels.tolist() == labels_in(tmp_path / "out")
    assert [images.read(n) for n in range(30)] == [picture(label) for label in images.known_labels]


def test_counts_by_class_are_written_and_shown(imagenet: RowGroups, tmp_path: Path) -> None:
    fetch(tmp_path / "out", of_imagenet(imagenet))
    shown = describe_counts(tmp_path / "out" / "a" / COUNTS)
    assert "30 images of 30 classes" in shown and "from 0 (" in shown and "to 1 (" in shown
    lines = (tmp_path / "out" / "a" / COUNTS).read_text().splitlines()
    assert len(lines) == 1001 and lines[0] == "label,class_name,images"


def test_no_more_bytes_are_drawn_than_allowed(imagenet: RowGroups, tmp_path: Path) -> None:
    fetch(tmp_path / "whole", of_imagenet(imagenet))
    sizes = [group[3] for group in noted(tmp_path / "whole")["row_groups"]]
    small = RowGroups(imagenet.repository, 28, sum(sizes[:3]), source="ImageNet-1k")
    fetch(tmp_path / "out", of_imagenet(small))
    assert len(labels_in(tmp_path / "out")) == 15
    none = RowGroups(imagenet.repository, 28, 10, source="ImageNet-1k")
    with pytest.raises(UserError, match="no row group of at most 10 bytes"):
        fetch(tmp_path / "none", of_imagenet(none))


def test_what_was_stopped_goes_on_by_the_same_draw(imagenet: RowGroups, tmp_path: Path, monkeypatch) -> None:
    from benchmark.fetching import row_groups

    fetch(tmp_path / "whole", of_imagenet(imagenet))
    written: list[Path] = []
    write = row_groups.write_bytes

    def stop_at_the_fourth(path: Path, data: bytes) -> None:
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(path)
        write(path, data)

    monkeypatch.setattr(row_groups, "write_bytes", stop_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        fetch(tmp_path / "out", of_imagenet(imagenet))
    first = {path: path.stat().st_mtime_ns for path in written}
    monkeypatch.setattr(row_groups, "write_bytes", write)
    fetch(tmp_path / "out", of_imagenet(imagenet))
    assert labels_in(tmp_path / "out") == labels_in(tmp_path / "whole")
    assert {path: path.stat().st_mtime_ns for path in written} == first


def test_the_gate_of_imagenet_is_named_with_the_way_through(
    hub: HubServer, imagenet: RowGroups, tmp_path: Path
) -> None:
    hub.repositories["datasets", "ILSVRC/imagenet-1k"].gated = True
    with pytest.raises(UserError, match=r"accept their terms.*hf auth login.*--from-folder") as caught:
        fetch(tmp_path / "out", of_imagenet(imagenet))
    assert "\n" not in str(caught.value)
    (tmp_path / "copies" / "imagenet" / "n01440764").mkdir(parents=True)
    (tmp_path / "copies" / "imagenet" / "n01440764" / "1.png").write_bytes(picture(1))
    collection.fetch_sources(tmp_path / "out", [IMAGENET], lambda new: False, tmp_path / "copies")
    assert collection.path_of(tmp_path / "out", "imagenet") == (tmp_path / "copies" / "imagenet").resolve()
    fetch(tmp_path / "out", IMAGENET)


def test_a_damaged_file_of_the_hub_is_named(hub: HubServer, imagenet: RowGroups, tmp_path: Path) -> None:
    changed = shutil.copytree(tmp_path / "hub", tmp_path / "changed")
    (changed / "data" / f"train-00000-of-{FILES:05d}.parquet").write_bytes(b"PAR1" + bytes(5000))
    hub.add("datasets", "ILSVRC/imagenet-1k", changed)
    with pytest.raises(UserError, match=r"train-00000-of-00004\.parquet.*not a parquet file"):
        fetch(tmp_path / "out", of_imagenet(imagenet))


def test_the_draw_of_the_paper_is_large_enough() -> None:
    origin = IMAGENET.origin
    assert isinstance(origin, RowGroups)
    assert (origin.images, origin.most) == (66_000, 8 * 10**9) and origin.repository.address.startswith(repository.HUB)


def test_a_random_order_of_files_takes_one_group_of_each_in_turn() -> None:
    from benchmark.fetching.row_groups import RowGroup, _round_robin

    groups = {"a": [RowGroup("a", n, 1, 1) for n in range(3)], "b": [RowGroup("b", 0, 1, 1)], "c": []}
    drawn = [(group.file, group.number) for group in _round_robin([*groups], groups.__getitem__, 0)]
    assert sorted(drawn[:2]) == [("a", 0), ("b", 0)] and drawn[2:] == [("a", 1), ("a", 2)]
    assert np.all(np.diff([number for _, number in drawn]) >= 0)
