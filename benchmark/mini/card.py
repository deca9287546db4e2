"""The tables of the mini's data card, made from the data and the training records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.core.files import write_text
from benchmark.mini.emoji import BASE_STYLES, STYLES
from benchmark.publish.card import table

if TYPE_CHECKING:
    import pandas as pd

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


def fill_tables(assets: Path, card: Path = CARD) -> None:
    """Replace the text between ``<!-- name -->`` and ``<!-- end -->`` in the card by the tables of `assets`."""
    import pandas as pd

    columns = ["group", "group_id", "subset", "drawing"]
    splits = {s: pd.read_parquet(assets / "data" / f"{s}-00000-of-00001.parquet", columns=columns) for s in USES}
    notes = (assets / "models" / name / "training.json" for name in ("mini", "mini-strong"))
    records = [json.loads(note.read_text(encoding="utf-8")) for note in notes]
    tables = {"splits": _splits(splits), "groups": _groups(splits), "models": _models(records), "licences": _licences()}
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
        seen = "both" if style in BASE_STYLES else "mini-strong"
        scores = [f"{100 * r['accuracy_on_new_views']['plain'][style]:.1f}" for r in records]
        rows.append([style, seen, *map(float, scores)])
    return table("style|trained on by|mini|mini-strong", rows)


def _licences() -> str:
    return table(
        "style|licence|credit|package",
        [[s.name, s.licence, s.credit, f"{s.package} {s.version}"] for s in STYLES.values()],
    )
