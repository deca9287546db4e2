"""Build an embedded set from pinned npm packages and two models: a `Plan` says which, and how much.

`make_pool` draws several views of every drawing in the styles that the base never saw, `mad.search` mines them, and
`assemble` freezes groups, locality, dev and training splits; `add_further` adds two more without a change of these.
`benchmark.rebuild drawings` is the command. Same seeds, same weights: same data.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.core.arrays import read_parquet
from benchmark.core.checksums import write_checksums
from benchmark.core.errors import UserError
from benchmark.core.files import ASSETS, replacing, write_text
from benchmark.core.staging import replacing_folder
from benchmark.core.workdir import Kind, check_replaceable
from benchmark.mini.art import Art, Plan, predict_views
from benchmark.mini.emoji import BASE_STYLES, SHIFT_STYLES
from benchmark.mini.further import APART, make_further

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

POOL = Kind("pool of views", "plan.json", fix="name another --work, or delete it")
LINE_STYLES, SOLID_STYLES = ("streamline", "openmoji"), ("fluent-3d",)


def make_pool(art: Art, plan: Plan, folder: Path) -> pd.DataFrame:
    """Write the views to mine as image files with neutral names; return, and write, the table that describes them."""
    import pandas as pd

    from benchmark.mini.packing import encode

    check_replaceable(folder, POOL)
    shift = [i for i, d in enumerate(art.drawings) if d.style in SHIFT_STYLES]
    regimes = ["plain"] * plan.plain_views + ["wide"] * plan.wide_views
    rows = []
    for number, regime in enumerate(regimes):
        columns, images = art.make_views(shift, regime, seed=plan.seed * 1000 + number)
        rows += [{**row, "data": encode(image, plan.quality)} for row, image in zip(columns, images, strict=True)]
    views = pd.DataFrame(rows).sample(frac=1, random_state=plan.seed).reset_index(drop=True)
    views.insert(0, "image", [f"{i // 1000:02d}/{i:05d}.webp" for i in range(len(views))])
    with replacing_folder(folder) as new:
        for view in views.itertuples():
            path = new / view.image
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(view.data)
        write_text(new / POOL.note, json.dumps(asdict(plan), indent=2) + "\n")
        write_checksums(new)
    with replacing(folder.with_suffix(".parquet")) as temporary:
        views.to_parquet(temporary)
    return views


def choose_edit_splits(pool: pd.DataFrame, search: Path, plan: Plan) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Choose the scored groups (16 pairs, 2 styles) and the dev groups from the tables of `mad.search`."""
    import pandas as pd

    from benchmark.mini.selection import choose_style_group, choose_varied, select_sure

    tables = [pd.read_csv(_table_of(search, name)) for name in ("groups.csv", "membership.csv")]
    candidates = select_sure(pool, *tables).assign(subset="pairs")
    log.info("%d groups are large enough, %d images", candidates["group_id"].nunique(), len(candidates))
    chosen = choose_varied(candidates, plan.pair_groups)
    pairs = [candidates[candidates["group_id"] == group] for group in chosen]
    blocked = set(pd.concat(pairs)["family"])
    used_classes = {int(group.split("-")[0]) for group in chosen}
    later = candidates[~candidates["family"].isin(blocked)]
    dev = [later[later["group_id"] == group] for group in choose_varied(later, plan.dev_groups, used_classes)]
    blocked |= set(pd.concat(dev)["family"])
    for subset, name, styles in (("line_drawing", "line drawing", LINE_STYLES), ("three_d", "3-D", SOLID_STYLES)):
        images = choose_style_group(pool, styles, plan.style_images, blocked)
        blocked |= set(images["family"])
        pairs.append(images.assign(group_id=subset.replace("_", "-"), group=name, subset=subset))
    return pd.concat(pairs, ignore_index=True), pd.concat(dev, ignore_index=True)


def join_predictions(pool: pd.DataFrame, search: Path) -> pd.DataFrame:
    """Add both models' predictions and the base's margin to the pool's views, from the table of `mad.search`."""
    names = {"base_index": "base_prediction", "strong_index": "strong_prediction", "base_margin": "margin"}
    file = _table_of(search, "predictions.parquet")
    table = read_parquet(file, "run mad.search again", columns=["image", *names]).to_pandas().rename(columns=names)
    joined = pool.merge(table, on="image", validate="one_to_one")
    if len(joined) != len(pool):
        raise UserError(f"{file}: is of another pool; run mad.search again")
    return joined


def _table_of(search: Path, name: str) -> Path:
    """A table of `mad.search`. Raises `UserError` where it is missing."""
    if not (search / name).is_file():
        raise UserError(f"{search / name} is missing: run mad.search on the pool first (see --help)")
    return search / name


def make_near_boundary(art: Art, chosen: list[int], count: int, plan: Plan, seed: int) -> pd.DataFrame:
    """Make wide views that both models get right, the base with a margin below 0.05.

    Each round makes one new view of each chosen drawing, until there are `count`; at most three of one drawing.
    """
    import pandas as pd
    import torch

    from benchmark.images.memory import EncodedImages
    from benchmark.mini.art import load_pair
    from benchmark.mini.packing import encode
    from benchmark.predict.engine import top2

    base = load_pair(plan)[0]
    rows: list[dict] = []
    per_drawing: Counter[int] = Counter()
    for number in range(plan.rounds):
        unfinished = [i for i in chosen if per_drawing[i] < plan.a_drawing]
        columns, images = art.make_views(unfinished, "wide", seed * 1000 + number)
        made = [{**row, "data": encode(image, plan.quality)} for row, image in zip(columns, images, strict=True)]
        encoded = EncodedImages.of("views", [row["data"] for row in made])
        tensors = torch.stack([base.preprocessing(encoded.require(position)) for position in range(len(made))])
        top = [top2(base.module, batch) for batch in tensors.split(64)]
        predictions, _, margins = (torch.cat(batches).numpy() for batches in zip(*top, strict=True))
        close = [
            row
            for row, prediction, margin in zip(made, predictions, margins, strict=True)
            if prediction == row["label"] and margin < plan.margin - 1e-4  # far from what rounding could change
        ]
        if close:
            views = predict_views(pd.DataFrame(close), plan)
            sure = views[(views["strong_prediction"] == views["label"]) & (views["margin"] < plan.margin)]
            rows += sure.to_dict("records")
            per_drawing = Counter(row["position"] for row in rows)
        log.info("round %d: %d of %d near-boundary images", number + 1, len(rows), count)
        if len(rows) >= count:
            break
    if len(rows) < count:
        raise UserError(f"only {len(rows)} of {count} near-boundary images in {plan.rounds} rounds; allow more rounds")
    return pd.DataFrame(rows[:count]).sort_values(["label", "drawing"])


def make_training_split(art: Art, chosen: list[int], plan: Plan, seed: int) -> pd.DataFrame:
    """Make labelled views, plain and wide in turn, for editors that learn."""
    import pandas as pd

    from benchmark.mini.packing import encode

    rows: list[dict] = []
    number = 0
    while len(rows) < plan.train:
        columns, images = art.make_views(chosen, ("plain", "wide")[number % 2], seed * 1000 + number)
        rows += [{**row, "data": encode(image, plan.quality)} for row, image in zip(columns, images, strict=True)]
        number += 1
    return pd.DataFrame(rows[: plan.train]).sample(frac=1, random_state=plan.seed)


def assemble(art: Art, plan: Plan, pool: pd.DataFrame, search: Path, work: Path, out: Path) -> dict[str, pd.DataFrame]:
    """Choose, write and return all splits; write the NOTICE and, if `out` is the package's, the card's tables."""
    from benchmark.mini.packing import format_notice
    from benchmark.mini.selection import assign_families

    pool = join_predictions(pool, search)
    splits = dict(zip(("edit", "dev_edit"), choose_edit_splits(pool, search, plan), strict=True))
    used_families = {family for split in splits.values() for family in split["family"]}

    free = [i for i, family in enumerate(art.families) if family not in used_families]
    own = [i for i in free if art.drawings[i].style in BASE_STYLES]
    shares = {"train": 0.4, "locality": 0.43, "dev_locality": 0.17}
    split_of = assign_families((art.families[i] for i in own), shares, plan.seed)
    new = {art.families[i] for i in free} - set(split_of)
    split_of |= assign_families(new, {"locality": 0.7, "dev_locality": 0.3}, plan.seed)
    members = {name: [i for i in free if split_of[art.families[i]] == name] for name in shares}
    train = [i for i in members["train"] if art.drawings[i].style in BASE_STYLES]
    sure = {name: [i for i in members[name] if art.drawings[i].tier == "A"] for name in ("locality", "dev_locality")}
    splits["train"] = make_training_split(art, train, plan, seed=plan.seed + 1)
    splits["locality"] = make_near_boundary(art, sure["locality"], plan.locality, plan, seed=plan.seed + 2)
    splits["dev_locality"] = make_near_boundary(art, sure["dev_locality"], plan.dev_locality, plan, seed=plan.seed + 3)

    if plan.pool:
        shown = set(splits["edit"]["image"]) | set(splits["dev_edit"]["image"])
        rest = pool[~pool["image"].isin(shown)].head(plan.pool)  # the pool is in random order
        splits["pool"] = rest.drop(columns=["base_prediction", "strong_prediction", "margin"])
    splits |= make_further(art, splits, plan)
    write_text(out / "NOTICE", format_notice(plan))
    _write(splits, plan, out)
    return splits


def add_further(art: Art, plan: Plan, out: Path) -> dict[str, pd.DataFrame]:
    """Make, write and return `locality_taken` and `locality_far` beside the splits in `out`, which stay as they are."""
    columns = ["drawing", "base_prediction"]
    fix = "run the step assemble first"
    splits = {name: read_parquet(_split_file(out, name), fix, columns=columns).to_pandas() for name in APART}
    further = make_further(art, splits, plan)
    _write(further, plan, out)
    return further


def _write(splits: dict[str, pd.DataFrame], plan: Plan, out: Path) -> None:
    from benchmark.mini.card import fill_tables
    from benchmark.mini.packing import write_split

    for name, table in splits.items():
        write_split(table, _split_file(out, name))
    write_text(out / "build.json", json.dumps({"version": plan.version, "plan": asdict(plan)}, indent=2) + "\n")
    if out.resolve() == ASSETS / plan.name:
        fill_tables(out, plan)


def _split_file(out: Path, split: str) -> Path:
    return out / "data" / f"{split}-00000-of-00001.parquet"
