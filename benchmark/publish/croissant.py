"""Croissant 1.0 metadata of the built benchmark: JSON-LD for data set search engines and loaders.

Terms and required properties: the Croissant Format Specification 1.0 (http://mlcommons.org/croissant/1.0).
Every parquet file is a FileObject with its hash and size, every split a FileSet of them and a RecordSet.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmark.core.arrays import open_parquet
from benchmark.core.files import sha256, write_text
from benchmark.data.manifest import read_build
from benchmark.publish.card import TITLE, configs
from benchmark.publish.texts import CITATION

NAME = "vit-edit-bench"
URL = "https://huggingface.co/datasets/where2edit/vit-edit-bench"
LICENCES = f"{URL}#licences"  # there is no one licence: each image has its own
AUTHORS = ("Yunqiao Yang", "Long-Kai Huang", "Shengzhuang Chen", "Kede Ma", "Ying Wei")
PUBLISHED = "2024-11"  # by its arXiv number, 2411.01948; a folder that is built anew is no new data set
PARQUET = "application/x-parquet"
TERMS = (  # of the recommended context (appendix 1, and two later ones): those that are one IRI each
    *("citeAs", "column", "equivalentProperty", "extract", "field", "fileObject", "fileProperty", "fileSet"),
    *("format", "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet"),
    *("references", "regex", "repeated", "replace", "samplingRate", "separator", "source", "subField", "transform"),
)
TYPES = {pa.int64(): "sc:Integer", pa.float32(): "sc:Float", pa.string(): "sc:Text"}


def write(folder: Path) -> None:
    """Write `folder`/croissant.json for the data set that is built there, replacing an older one.

    Raises `UserError` if `build.json` or a parquet file cannot be read.
    """
    build = read_build(folder)
    distribution: list[dict[str, Any]] = [_file_object(folder, file) for file in _parquet_files(folder)]
    records = []
    for config, splits in configs(folder):
        for split, pattern in splits:
            identity = f"{config}-{split}"
            distribution.append(_file_set(identity, pattern))
            records.append(_record_set(identity, config, split, sorted(folder.glob(pattern))[0]))
    data = {
        "@context": _context(),
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": NAME,
        "description": _description(build),
        "version": _semantic(build["version"]),
        "url": URL,
        "license": LICENCES,
        "creator": [{"@type": "sc:Person", "name": name} for name in AUTHORS],
        "datePublished": PUBLISHED,
        "citeAs": CITATION,
        "inLanguage": "en",
        "keywords": ["model editing", "vision transformer", "subpopulation shift", "ImageNet-1k"],
        "isLiveDataset": False,
        "distribution": distribution,
        "recordSet": records,
    }
    write_text(folder / "croissant.json", json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def _context() -> dict[str, Any]:
    return {
        "@language": "en",
        "@vocab": "https://schema.org/",
        "cr": "http://mlcommons.org/croissant/",
        "rai": "http://mlcommons.org/croissant/RAI/",
        "dct": "http://purl.org/dc/terms/",
        "sc": "https://schema.org/",
        "conformsTo": "dct:conformsTo",
        "data": {"@id": "cr:data", "@type": "@json"},
        "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
        "examples": {"@id": "cr:examples", "@type": "@json"},
        **{term: f"cr:{term}" for term in TERMS},
    }


def _description(build: dict[str, Any]) -> str:
    sentences = [f"{TITLE}: failures of ViT-B/16 in groups, and images near its decision boundary."]
    if build.get("partial"):
        sentences.append("This build is partial: some groups differ in size from the paper's.")
    if build.get("published_without_pixels"):
        sentences.append(
            "Images that may not be passed on are null; benchmark.hydrate fills them in from one's own copies."
        )
    return " ".join(sentences)


def _semantic(version: str) -> str:
    """The build's version with a patch number, which the specification recommends: 1.0-partial is 1.0.0-partial."""
    number, dash, rest = version.partition("-")
    return ".".join([*number.split("."), "0", "0"][:3]) + dash + rest


def _parquet_files(folder: Path) -> list[Path]:
    return sorted({file for _, splits in configs(folder) for _, pattern in splits for file in folder.glob(pattern)})


def _file_object(folder: Path, file: Path) -> dict[str, Any]:
    name = file.relative_to(folder).as_posix()
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": file.name,
        "contentUrl": name,
        "contentSize": f"{file.stat().st_size} B",
        "encodingFormat": PARQUET,
        "sha256": sha256(file),
    }


def _file_set(identity: str, pattern: str) -> dict[str, Any]:
    return {"@type": "cr:FileSet", "@id": f"{identity}-files", "encodingFormat": PARQUET, "includes": pattern}


def _record_set(identity: str, config: str, split: str, file: Path) -> dict[str, Any]:
    with open_parquet(file, "build the data set again") as opened:
        schema = opened.schema_arrow
    return {
        "@type": "cr:RecordSet",
        "@id": identity,
        "name": identity,
        "description": f"One image a record: split {split} of the config {config}.",
        "field": [_field(identity, field) for field in schema],
    }


def _field(identity: str, field: pa.Field) -> dict[str, Any]:
    source: dict[str, Any] = {"fileSet": {"@id": f"{identity}-files"}, "extract": {"column": field.name}}
    if field.name == "image":
        source["transform"] = {"jsonPath": "bytes"}
    return {
        "@type": "cr:Field",
        "@id": f"{identity}/{field.name}",
        "name": field.name,
        "dataType": TYPES.get(field.type, "sc:ImageObject"),
        "source": source,
    }
