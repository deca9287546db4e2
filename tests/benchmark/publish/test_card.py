"""The card and the Croissant metadata say what the folder holds, and `load_dataset` reads it by the card."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from benchmark.core.errors import UserError
from benchmark.core.files import sha256
from benchmark.data.packaged import MINI
from benchmark.data.schema import FLICKR, IMAGENET_ANY, PUG, STABLE_DIFFUSION, features
from benchmark.publish import card, croissant
from benchmark.publish.publish import without_pixels

LICENCE = "CC-BY-2.0 | <b>[x](y)</b> *and* `more`"
INPUT = "Natural|Image.zip"


@lru_cache
def picture(seed: int) -> bytes:
    """A small JPEG of noise."""
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


def table_of(subset: str | None, source: str | None, count: int, seed: int) -> pa.Table:
    """Rows of one subset in the data set's schema."""
    rows = []
    for number in range(count):
        data = picture(1000 * seed + number)
        row: dict[str, Any] = dict.fromkeys(features())
        digest = hashlib.sha256(data).hexdigest()
        row |= {"image": {"bytes": data, "path": f"{digest[:16]}.jpg"}, "subset": subset, "group": subset}
        row |= {"label": None if subset == "locality" else number, "group_id": subset, "source": source}
        row |= {"source_id": f"some/{subset}/{number}.JPG", "sha256": digest}
        rows.append(row | {"licence": LICENCE, "label_origin": None if subset == "locality" else "folder"})
    return pa.Table.from_pylist(rows, schema=features().arrow_schema)


def folder_of(folder: Path, bare: bool = False, without: str = "") -> Path:
    """A small data set in the layout of `benchmark.build`, with card and Croissant metadata."""
    tables = {
        "edit-natural": table_of("natural", FLICKR, 5, seed=1),
        "edit-oil_painting": table_of("oil_painting", STABLE_DIFFUSION, 3, seed=2),
        "edit-stage_light": table_of("stage_light", PUG, 4, seed=3),
        "locality": table_of("locality", IMAGENET_ANY, 6, seed=4),
    }
    (folder / "data").mkdir(parents=True)
    for name, table in tables.items():
        if name != without:
            written = without_pixels(table) if bare else table
            pq.write_table(written, folder / "data" / f"{name}-00000-of-00001.parquet", compression="zstd")
    (folder / "mini").mkdir()
    for name in ("edit", "locality"):
        shutil.copyfile(MINI / f"{name}-00000-of-00001.parquet", folder / "mini" / f"{name}-00000-of-00001.parquet")
    group = {"id": "890-430", "name": "volleyball-basketball", "subset": "natural", "count": 5, "expected": 123}
    build = {
        "name": "vit-edit-bench",
        "version": "1.0-partial",
        "partial": True,
        "published_without_pixels": bare,
        "groups": [group, {"id": "18", "name": "stage light", "subset": "stage_light", "count": 4, "expected": 1092}],
        "locality": {"count": 6, "expected": 2071, "labels": "unknown"},
        "sources": {"natural": {"input": INPUT, "sha256": "ab" * 32}},
        "choices": ["Mask is taken as class 643"],
        "skipped": 2,
    }
    (folder / "build.json").write_text(json.dumps(build))
    card.write(folder)
    croissant.write(folder)
    return folder


LOADING = """
import json, sys
from datasets import get_dataset_config_names, load_dataset
name = "where2edit/vit-edit-bench"
data = load_dataset(name)
names = get_dataset_config_names(name)
rows = {config: {s: len(part) for s, part in load_dataset(name, config).items()} for config in names}
first, last = data["edit"][0], data["edit"][-1]
print(json.dumps({"names": names, "rows": rows, "default": {s: len(part) for s, part in data.items()},
    "size": first["image"].size, "last": last["image"] and last["image"].size, "source": last["source"],
    "synset": data["edit"].features["label"].int2str(first["label"]), "label": data["locality"][0]["label"],
    "schemas": len({str(part.features) for part in data.values()})}))
"""


def loaded(home: Path) -> dict[str, Any]:
    """The data as a fresh, offline Python loads it, by the exact call of the card from the folder that holds it."""
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(home / "cache"), "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", LOADING], cwd=home, env=os.environ | offline, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_load_dataset_by_the_call_of_the_card(tmp_path: Path) -> None:
    folder_of(tmp_path / "where2edit" / "vit-edit-bench", bare=True)
    data = loaded(tmp_path)
    assert data["names"] == ["full", "natural", "oil_painting", "stage_light", "mini"]
    assert data["default"] == data["rows"]["full"] == {"edit": 12, "locality": 6}
    assert [data["rows"][s]["edit"] for s in ("natural", "oil_painting", "stage_light")] == [5, 3, 4]
    assert data["rows"]["mini"] == {"edit": 418, "locality": 320}
    assert (data["size"], data["last"], data["label"], data["schemas"]) == ([30, 20], None, None, 1)
    assert data["synset"] == "n01440764"


def test_a_config_without_files_is_left_out(tmp_path: Path) -> None:
    """A partial build lacks some; a pattern that matches nothing would make `load_dataset` fail."""
    folder = folder_of(tmp_path, without="edit-oil_painting")
    assert [name for name, _ in card.configs(folder)] == ["full", "natural", "stage_light", "mini"]
    assert "oil_painting-*" not in (folder / "README.md").read_text()


def test_the_yaml_is_yaml(tmp_path: Path) -> None:
    import yaml

    head = yaml.safe_load((folder_of(tmp_path) / "README.md").read_text().split("---\n")[1])
    assert [c["config_name"] for c in head["configs"] if c.get("default")] == ["full"]
    assert {"split": "edit", "path": "data/edit-*.parquet"} in head["configs"][0]["data_files"]


def test_the_hub_reads_the_same_head(tmp_path: Path) -> None:
    from huggingface_hub import DatasetCard

    head = DatasetCard.load(folder_of(tmp_path) / "README.md").data.to_dict()
    assert [config["config_name"] for config in head["configs"]] == [name for name, _ in card.configs(tmp_path)]
    assert (head["license"], head["language"], head["size_categories"]) == ("other", ["en"], ["1K<n<10K"])
    assert head["task_categories"] == ["image-classification"] and "model-editing" in head["tags"]


def test_the_card_says_what_is_there(tmp_path: Path) -> None:
    whole = (folder_of(tmp_path / "a") / "README.md").read_text()
    assert "**This build is partial** (version 1.0-partial)" in whole
    assert "hydrate" not in whole
    assert "| 890-430 | volleyball-basketball | natural | 5 | 123 |" in whole
    assert "|  | all editing samples |  | 9 | 1,215 |" in whole and "|  | locality |  | 6 | 2,071 |" in whole
    assert "| `full` | `edit` | 12 |" in whole and "| `locality` | not known | 6 | 0 |" in whole
    assert "- Mask is taken as class 643" in whole and "2 files of these were skipped" in whole
    bare = (folder_of(tmp_path / "b", bare=True) / "README.md").read_text()
    assert "**10 images are here without their pixels**" in bare
    assert "python -m benchmark.hydrate" in bare
    stage_light = next(line for line in bare.splitlines() if line.startswith("| `edit` | stage"))
    assert stage_light.endswith("| 4 | 0 |") and "github.com/facebookresearch/PUG" in stage_light


def test_a_whole_build_has_no_warning(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    build = json.loads((folder / "build.json").read_text()) | {"version": "1.0", "partial": False}
    (folder / "build.json").write_text(json.dumps(build))
    card.write(folder)
    assert "> **" not in (folder / "README.md").read_text()


def test_hostile_cells_make_no_columns(tmp_path: Path) -> None:
    lines = (folder_of(tmp_path) / "README.md").read_text().splitlines()
    tables = [line for line in lines if line.startswith("| `edit` | natural")]
    assert len(tables) == 1 and len(re.findall(r"(?<!\\)\|", tables[0])) == 7
    assert not any("<b>" in line.replace("\\<", "").replace("\\>", "") for line in lines)


def test_a_folder_without_a_build_is_refused(tmp_path: Path) -> None:
    for write in (card.write, croissant.write):
        with pytest.raises(UserError, match=r"build\.json"):
            write(tmp_path)
        (tmp_path / "build.json").write_text('["no", "build"]')
        with pytest.raises(UserError, match="must hold an object of JSON"):
            write(tmp_path)
        (tmp_path / "build.json").unlink()


def test_croissant_has_what_the_specification_wants(tmp_path: Path) -> None:
    """Croissant 1.0: required properties, ids that are there once, references that lead somewhere."""
    folder = folder_of(tmp_path)
    data = json.loads((folder / "croissant.json").read_text())
    required = {"@context", "@type", "conformsTo", "description", "license", "name", "url", "creator", "datePublished"}
    assert data.keys() >= required | {"distribution", "recordSet", "version", "citeAs"}
    assert data["@type"] == "sc:Dataset" and data["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert data["version"] == "1.0.0-partial" and "partial" in data["description"]
    files = {d["@id"]: d for d in data["distribution"] if d["@type"] == "cr:FileObject"}
    sets = {d["@id"]: d for d in data["distribution"] if d["@type"] == "cr:FileSet"}
    assert len(files) + len(sets) == len(data["distribution"])
    assert set(files) == {p.relative_to(folder).as_posix() for p in folder.rglob("*.parquet")}
    for name, entry in files.items():
        assert entry["sha256"] == sha256(folder / name) and entry["contentUrl"] == name
        assert entry["contentSize"] == f"{(folder / name).stat().st_size} B"
    records = {r["@id"]: r for r in data["recordSet"]}
    assert set(records) >= {"full-edit", "full-locality", "natural-edit", "mini-locality"}
    for name, record in records.items():
        assert [field["name"] for field in record["field"]] == list(features())
        for field in record["field"]:
            assert field["@id"] == f"{name}/{field['name']}"
            assert any(folder.glob(sets[field["source"]["fileSet"]["@id"]]["includes"]))
            assert field["source"]["extract"] == {"column": field["name"]}
        kinds = {field["name"]: field["dataType"] for field in record["field"]}
        assert (kinds["image"], kinds["label"], kinds["margin"]) == ("sc:ImageObject", "sc:Integer", "sc:Float")
    used = set(re.findall(r'"([a-zA-Z]+)":', json.dumps([data["distribution"], data["recordSet"]])))
    schema_org = {"name", "description", "contentUrl", "contentSize", "encodingFormat", "sha256"}
    assert used - schema_org <= set(data["@context"])


@pytest.mark.parametrize("bare", [False, True])
def test_mlcroissant_reads_it_without_a_complaint(tmp_path: Path, bare: bool) -> None:
    """The specification's own library finds nothing amiss, and gives the rows that are there."""
    import mlcroissant

    folder = folder_of(tmp_path, bare=bare)
    data = mlcroissant.Dataset(jsonld=folder / "croissant.json")
    assert not data.metadata.ctx.issues.errors and not data.metadata.ctx.issues.warnings
    assert {record.id for record in data.metadata.record_sets} >= {"full-edit", "natural-edit", "mini-locality"}
    for name, pattern, size in (("full-edit", "data/edit-*", (30, 20)), ("mini-edit", "mini/edit-*", (64, 64))):
        rows = [row for file in sorted(folder.glob(pattern)) for row in pq.read_table(file).to_pylist()]
        expected = {row["sha256"]: size if row["image"] else None for row in rows}
        records = list(data.records(name))
        images = {record[f"{name}/sha256"].decode(): record[f"{name}/image"] for record in records}
        assert {digest: image and image.size for digest, image in images.items()} == expected
        assert len(records) == len(rows)
