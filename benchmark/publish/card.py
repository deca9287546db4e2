"""The data card of the built benchmark: README.md, with the YAML that `load_dataset` reads.

All of it is made from `build.json` and the parquet files of the folder, so that it agrees with the data. Text from
outside (file names, licences) is escaped.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.core.arrays import open_parquet
from benchmark.core.files import write_text
from benchmark.core.readers import Unreadable, read_text
from benchmark.core.text import escape
from benchmark.data.manifest import read_build
from benchmark.data.packaged import SETS
from benchmark.data.scored import EDIT, LOCALITY, UNGROUPED
from benchmark.publish.publish import read_rows
from benchmark.publish.texts import (
    ABOUT,
    CITATION,
    COLUMNS,
    GROUPS,
    LABELS,
    LICENCES,
    MINI,
    OWN_ABOUT,
    OWN_LOCALITY,
    REAL,
    USE,
)
from benchmark.subsets.subset import Subset, subsets

if TYPE_CHECKING:
    import pandas as pd

PRETTY_NAME = "Vision Transformer editing benchmark"
TITLE = "A benchmark for editing Vision Transformers"
HUB_NAME = "where2edit/vit-edit-bench"
EMBEDDED_SPLITS = (EDIT, *UNGROUPED, "dev_edit", "dev_locality", "train", "pool")
MANY = 12  # sources of one subset; more of them are counted, not listed
COUNTED = ["subset", "label", "label_origin", "source", "licence"]

Config = tuple[str, list[tuple[str, str]]]  # name, then (split, pattern below the folder)


def write(folder: Path) -> None:
    """Write `folder`/README.md for the data set that is built there, replacing an older one.

    Raises `UserError` if `build.json` is missing or is none.
    """
    build = read_build(folder)
    write_text(folder / "README.md", f"{_header(build, configs(folder))}\n{_body(folder, build)}")


def is_ours(file: Path) -> bool:
    """Return whether a file is the card of this data set: one that `write` wrote, or that of the mini in a clone."""
    try:
        return f"\npretty_name: {PRETTY_NAME}\n" in read_text(file).partition("\n---\n")[0]
    except Unreadable:
        return False


def configs(folder: Path) -> list[Config]:
    """The configs of the data set that have files in the folder, the default first.

    A partial build lacks the files of some, and `load_dataset` fails for a pattern without a file.
    """
    all_configs: list[Config] = [
        ("full", [(split, f"data/{split}-*.parquet") for split in (EDIT, *UNGROUPED)]),
        *((name, [(EDIT, f"data/edit-{name}-*.parquet")]) for name in subsets() if name not in UNGROUPED),
        *((name, [(split, f"{name}/{split}-*.parquet") for split in EMBEDDED_SPLITS]) for name in SETS),
    ]
    present = [(name, [split for split in splits if any(folder.glob(split[1]))]) for name, splits in all_configs]
    return [(name, splits) for name, splits in present if splits]


def table(head: str, rows: list[list[object]]) -> str:
    """A Markdown table; `head` is split at ``|``, columns whose cells are numbers are aligned to the right."""
    names = head.split("|")
    rule = ["---:" if all(isinstance(row[i], (int, float)) for row in rows) else "---" for i in range(len(names))]
    lines: list[list[Any]] = [[*names], rule, *rows]
    return "\n".join(
        "| " + " | ".join(f"{c:,}" if isinstance(c, int) else str(c) for c in line) + " |" for line in lines
    )


def _header(build: dict[str, Any], present: list[Config]) -> str:
    """The YAML at the head of the card, by which the Hub shows the data set and `load_dataset` finds its files."""
    from huggingface_hub import DatasetCardData

    count = sum(int(part["count"]) for part in [*build["groups"], *_ungrouped(build).values()])
    card_data = DatasetCardData(
        pretty_name=PRETTY_NAME if _is_papers(build) else f"{build['name']}: own groups",
        license="other",
        license_name="several-see-column-licence",
        license_link="https://creativecommons.org/share-your-work/cclicenses/",
        language=["en"],
        task_categories=["image-classification"],
        tags=["model-editing", "vision-transformer", "subpopulation-shift", "imagenet-1k"],
        size_categories=["1K<n<10K"] if _is_papers(build) or count >= 1000 else ["n<1K"],
        configs=[
            {
                "config_name": name,
                **({"default": True} if name == present[0][0] else {}),
                "data_files": [{"split": split, "path": pattern} for split, pattern in splits],
            }
            for name, splits in present
        ],
    )
    return f"---\n{card_data.to_yaml()}\n---\n"


def _body(folder: Path, build: dict[str, Any]) -> str:
    import pandas as pd

    of_paper = _is_papers(build)
    empty = pd.DataFrame(columns=[*COUNTED, "split", "pixels"])
    tables = [_read_counted(file) for file in sorted(folder.glob("data/*.parquet"))]
    rows = pd.concat(tables, ignore_index=True) if tables else empty
    sections = [
        f"# {TITLE}" if of_paper else f"# {escape(build['name'])}: own groups",
        *_warnings(build, rows),
        ABOUT if of_paper else OWN_ABOUT,
        _loading(build, configs(folder), int((~rows["pixels"].astype(bool)).sum())),
        f"## Groups\n\n{_groups(build)}" + (f"\n\n{GROUPS}" if of_paper else ""),
        f"## Splits\n\n{_splits(folder, rows)}",
        f"## Columns\n\n{_columns(build)}",
        f"## Where the images come from\n\n{_origin(build)}\n\n{_inputs(build)}",
        f"## Labels\n\n{_labels(build, rows)}",
        f"## Licences\n\n{LICENCES}\n\n{_licences(rows)}",
        *([USE] if of_paper else []),
        f"## Citation\n\nThe benchmark is the paper's; please cite it.\n\n```bibtex\n{CITATION}\n```",
    ]
    return "\n\n".join(sections) + "\n"


def _is_papers(build: dict[str, Any]) -> bool:
    """True for the paper's benchmark, False for groups of one's own alone."""
    return build["locality"].get("expected") is not None


def _read_counted(file: Path) -> pd.DataFrame:
    """The columns that the card's tables count, one row an image."""
    table = read_rows(file)
    pixels = table.column("image").is_valid().to_numpy()
    return table.select(COUNTED).to_pandas().assign(split=file.name.split("-")[0], pixels=pixels)


def _warnings(build: dict[str, Any], rows: pd.DataFrame) -> list[str]:
    warnings = []
    if build.get("partial"):
        warnings.append(
            f"> **This build is partial** (version {escape(build['version'])}): some counts below differ from the "
            "paper's. Scores on it can't be compared with scores on the whole benchmark."
        )
    if len(rows) and not rows["pixels"].all():
        missing, files = int((~rows["pixels"].astype(bool)).sum()), "--imagenet DIR --imagenet-r DIR"
        warnings.append(
            f"> **{missing:,} images are here without their pixels**, since their licences do not let them be passed "
            "on. Each row has the image's `source_id` and `sha256`, and `source` says how to get it. With your own "
            f"copies, `python -m benchmark.hydrate FOLDER {files} --imagenet-sketch DIR --pug DIR` fills them in and "
            "checks every hash."
        )
    return warnings


def _loading(build: dict[str, Any], present: list[Config], missing: int) -> str:
    name, here = (
        (HUB_NAME, "  # the folder of that name if it is here, else the Hub's")
        if _is_papers(build)
        else (build["name"], "  # its folder")
    )
    default = present[0][0] if present else "full"
    others = ", ".join(f"`{name}`" for name, _ in present[1:])
    note = '\n\nWhere an image has no pixels, `row["image"]` is `None` until the folder is hydrated.' if missing else ""
    return f"""```python
from datasets import load_dataset

data = load_dataset("{name}"){here}
data["edit"][0]["image"], data["edit"][0]["class_name"], data["edit"][0]["group"]
```

The default config is `{default}`; the others are {others or "none"}.{note}"""


def _subsets(build: dict[str, Any]) -> list[Subset]:
    """Those of the paper if it is the paper's benchmark, and what else was built."""
    built = build.get("sources", {})
    return [s for s in subsets().values() if s.name in built or (s.of_paper and _is_papers(build))]


def _columns(build: dict[str, Any]) -> str:
    names = [subset.name for subset in _subsets(build) if subset.name not in UNGROUPED]
    return COLUMNS.format(subsets=" or ".join(filter(None, [", ".join(names[:-1]), names[-1]])))


def _origin(build: dict[str, Any]) -> str:
    origins = {subset.name.replace("_", " "): subset.origin for subset in _subsets(build)}
    origins |= {"mini": MINI, "real": REAL} if _is_papers(build) else {LOCALITY: OWN_LOCALITY}
    return "\n".join(f"- **{name}**: {origin}".replace("\n", "\n  ") for name, origin in origins.items())


def _groups(build: dict[str, Any]) -> str:
    lines: list[list[object]] = [
        [escape(g["id"]), escape(g["name"]), escape(g["subset"]), int(g["count"]), _count(g["expected"])]
        for g in build["groups"]
    ]
    total = [sum(int(group[key] or 0) for group in build["groups"]) for key in ("count", "expected")]
    lines.append(["", "all editing samples", "", *total])
    for split, part in _ungrouped(build).items():
        lines.append(["", split, "", int(part["count"]), _count(part["expected"])])
    if not _is_papers(build):
        return table("id|group|subset|images", [line[:-1] for line in lines])
    return table("id|group|subset|images|in the paper", lines)


def _ungrouped(build: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The part of `build` about each split without groups."""
    return {split: build[split] for split in UNGROUPED if build.get(split)}


def _splits(folder: Path, rows: pd.DataFrame) -> str:
    lines: list[list[object]] = []
    for name, splits in configs(folder):
        for split, pattern in splits:
            count = sum(_count_rows(file) for file in folder.glob(pattern))
            lines.append([f"`{name}`", f"`{split}`", count])
    return table("config|split|images", lines)


def _count_rows(file: Path) -> int:
    with open_parquet(file, "build the data set again") as opened:
        return int(opened.metadata.num_rows)


def _inputs(build: dict[str, Any]) -> str:
    lines: list[list[object]] = []
    for subset, provenance in build.get("sources", {}).items():
        provenance = dict(provenance) if isinstance(provenance, dict) else {"input": provenance}
        rest = ", ".join(f"{escape(key)} {escape(value)}" for key, value in provenance.items() if key != "input")
        lines.append([escape(subset), escape(provenance.get("input", "")), rest])
    skipped = f"{int(build.get('skipped', 0)):,} files of these were skipped; `skipped.csv` lists them with reasons."
    return f"Built from:\n\n{table('subset|input|what it was', lines)}\n\n{skipped}"


def _labels(build: dict[str, Any], rows: pd.DataFrame) -> str:
    groups = rows.groupby(["split", "label_origin"], dropna=False, sort=True)
    lines: list[list[object]] = [
        [f"`{split}`", _text(origin), len(images), int(images["label"].notna().sum())]
        for (split, origin), images in groups
    ]
    choices = "\n".join(f"- {escape(choice)}" for choice in build.get("choices", []))
    return f"{LABELS}\n\n{table('split|label_origin|images|labelled', lines)}" + (f"\n\n{choices}" if choices else "")


def _licences(rows: pd.DataFrame) -> str:
    lines: list[list[object]] = []
    for (split, subset, licence), images in rows.groupby(["split", "subset", "licence"], dropna=False, sort=True):
        sources = images["source"].dropna().unique()
        listed = " · ".join(map(escape, sources)) if len(sources) <= MANY else f"{len(sources):,}, see the column"
        lines.append([f"`{split}`", _text(subset), _text(licence), listed, len(images), int(images["pixels"].sum())])
    return table("split|subset|licence|source|images|with pixels", lines)


def _count(number: object) -> int | str:
    """A number that may be null."""
    return "" if number is None else int(str(number))


def _text(cell: object) -> str:
    """The text of a cell that may be null."""
    return "not known" if cell is None or cell != cell else escape(cell)
