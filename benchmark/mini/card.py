"""The tables of the embedded sets in the data card, made from the data and the training records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.core.files import write_text
from benchmark.mini.emoji import BASE_STYLES, STYLES
from benchmark.publish.card import table

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.mini.art import Plan

CARD = Path(__file__).parents[2] / "where2edit" / "vit-edit-bench" / "README.md"
USES = {
    "edit": "failures to edit, in 18 groups: scored",
    "locality": "near-boundary images that must stay right: scored",
    "locality_taken": "images of the classes that edits take from, which must stay right: scored",
    "locality_far": "a random draw of images that must stay right: scored",
    "dev_edit": "further groups, for choosing settings",
    "dev_locality": "further near-boundary images, for choosing settings",
    "train": "labelled images for editors that learn",
    "pool": "what is left of the images to mine (drawn at random)",
}


def fill_tables(assets: Path, plan: Plan, card: Path = CARD) -> None:
    """Replace the text between markers and ``<!-- end -->`` in the card by the tables of `assets`.

    The markers are ``<!-- SET: name -->`` and, for all sets, ``<!-- licences -->``.
    """
    import pandas as pd

    columns = ["group", "group_id", "subset", "drawing"]
    files = {split: assets / "data" / f"{split}-00000-of-00001.parquet" for split in USES}
    splits = {split: pd.read_parquet(file, columns=columns) for split, file in files.items() if file.is_file()}
    notes = (assets / "models" / name / "training.json" for name in (plan.base, plan.rival))
    records = [json.loads(note.read_text(encoding="utf-8")) for note in notes]
    own = {"splits": _splits(splits), "groups": _groups(splits), "models": _models(records)}
    tables = {**{f"{plan.name}: {name}": markdown for name, markdown in own.items()}, "licences": _licences()}
    text = card.read_text(encoding="utf-8")
    for name, markdown in tables.items():
        before, rest = text.split(f"<!-- {name} -->\n", 1)
        text = f"{before}<!-- {name} -->\n{markdown}\n<!-- end -->{rest.split('<!-- end -->', 1)[1]}"
    write_text(card, text)


def _splits(splits: dict[str, pd.DataFrame]) -> str:
    rows = [[f"`{s}`", USES[s], len(table), table["drawing"].nunique()] for s, table in splits.items()]
    return table("split|what for|images|drawings", rows)


def _groups(splits: dict[str, pd.DataFrame]) -> str:
    rows = []
    for split in ("edit", "dev_edit"):
        for (group_id, group, subset), images in splits[split].groupby(["group_id", "group", "subset"], sort=False):
            rows.append([f"`{split}`", group_id, group, subset, len(images), images["drawing"].nunique()])
    return table("split|id|group|subset|images|drawings", rows)


def _models(records: list[dict]) -> str:
    rows = []
    for style in STYLES:
        seen = "both" if style in BASE_STYLES else records[1]["model"]
        scores = [f"{100 * _accuracy(record)[style]:.1f}" for record in records]
        rows.append([style, seen, *map(float, scores)])
    base, rival = (record["model"] for record in records)
    return table(f"style|trained on by|{base}|{rival}", rows)


def _accuracy(record: dict) -> dict[str, float]:
    """By style, on new views: plain ones where plain and wide ones were measured apart."""
    measured = record["accuracy_on_new_views"]
    return measured.get("plain", measured)


def _licences() -> str:
    return table(
        "style|licence|credit|package",
        [[s.name, s.licence, s.credit, f"{s.package} {s.version}"] for s in STYLES.values()],
    )
