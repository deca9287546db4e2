"""Build the mini benchmark, version mini-1, from pinned npm packages and the two embedded models.

`make_pool` draws several views of every drawing in the styles that `mini` never saw, `mad.search` mines them, and
`assemble` freezes groups, locality, dev and training splits; `benchmark.rebuild drawings` is the command. Same seeds,
same weights: same data.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.core.errors import UserError
from benchmark.core.files import cache_folder, replacing, write_text
from benchmark.data.dataset import MINI_VERSION
from benchmark.mini.emoji import ASSETS, BASE_STYLES, SHIFT_STYLES

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch

    from benchmark.mini.emoji import Drawing

log = logging.getLogger(__name__)

LINE_STYLES, SOLID_STYLES = ("streamline", "openmoji"), ("fluent-3d",)


@dataclass(frozen=True)
class Plan:
    """The sizes and seeds that make version mini-1."""

    plain_views: int = 12  # of each shift drawing, in the pool
    wide_views: int = 4
    pair_groups: int = 16
    dev_groups: int = 10
    style_images: int = 80  # of each of the two groups by style
    locality: int = 320
    dev_locality: int = 120
    margin: float = 0.05
    a_drawing: int = 3  # locality images of one drawing, at most
    rounds: int = 60  # wide views of each locality drawing, at most
    train: int = 1600
    pool: int = 1700  # images left in the embedded pool beside `edit` and `dev_edit`
    seed: int = 11


@dataclass(frozen=True)
class Art:
    """All drawings: who drew what, the pixels, and which of them are nearly one picture."""

    drawings: list[Drawing]
    pixels: torch.Tensor  # (n, 4, 80, 80) float32, premultiplied
    families: list[int]

    @classmethod
    def load(cls) -> Art:
        from benchmark.mini.emoji import rendered
        from benchmark.mini.selection import families
        from benchmark.mini.views import premultiplied

        drawings, straight = rendered(cache_folder() / "emoji")
        return cls(drawings, premultiplied(straight), families(drawings, straight))

    def views(self, chosen: list[int], regime: str, seed: int) -> tuple[list[dict], np.ndarray]:
        """One view of each chosen drawing: its facts, and pixels (n, 64, 64, 3) uint8."""
        import torch

        from benchmark.mini.views import REGIMES, make_views

        random = torch.Generator().manual_seed(seed)
        made = [make_views(self.pixels[part], REGIMES[regime], random) for part in torch.tensor(chosen).split(256)]
        return [self._facts(i, f"{regime}-{seed}") for i in chosen], torch.cat(made).permute(0, 2, 3, 1).numpy()

    def _facts(self, i: int, view: str) -> dict:
        d = self.drawings[i]
        facts = {"drawing": d.name, "style": d.style, "label": d.label, "tier": d.tier, "family": self.families[i]}
        return {**facts, "position": i, "source_id": f"{d.icon}#{view}"}


def make_pool(art: Art, plan: Plan, folder: Path) -> pd.DataFrame:
    """Write the views to mine as image files whose names say nothing; return (and keep) who is who."""
    import shutil

    import pandas as pd

    from benchmark.mini.packing import encode

    shift = [i for i, d in enumerate(art.drawings) if d.style in SHIFT_STYLES]
    regimes = ["plain"] * plan.plain_views + ["wide"] * plan.wide_views
    rows = []
    for number, regime in enumerate(regimes):
        facts, images = art.views(shift, regime, seed=plan.seed * 1000 + number)
        rows += [{**fact, "data": encode(image)} for fact, image in zip(facts, images, strict=True)]
    views = pd.DataFrame(rows).sample(frac=1, random_state=plan.seed).reset_index(drop=True)
    views.insert(0, "image", [f"{i // 1000:02d}/{i:05d}.webp" for i in range(len(views))])
    shutil.rmtree(folder, ignore_errors=True)
    for view in views.itertuples():
        path = folder / view.image
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(view.data)
    with replacing(folder.with_suffix(".parquet")) as part:
        views.to_parquet(part)
    return views


def ask(views: pd.DataFrame, cache: Path | None = None) -> pd.DataFrame:
    """The same table with both models' predictions and `mini`'s margin, from the encoded images."""
    from benchmark.images.memory import EncodedImages
    from benchmark.models.load import load_base
    from benchmark.predict.engine import predict

    pool = EncodedImages.of("views", views["data"].tolist())
    told = predict([load_base("mini"), load_base("mini-strong")], pool, cache=cache, progress=cache is not None)
    return views.reset_index(drop=True).assign(
        base_prediction=told["mini_label"], strong_prediction=told["mini-strong_label"], margin=told["mini_margin"]
    )


def edit_splits(pool: pd.DataFrame, search: Path, plan: Plan) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The scored groups (16 pairs, 2 styles) and the dev groups, from what `mad.search` wrote."""
    import pandas as pd

    from benchmark.mini.selection import mined, style_group, varied

    tables = []
    for name in ("groups.csv", "membership.csv"):
        if not (search / name).is_file():
            raise UserError(f"{search / name} is missing: run mad.search on the pool first (see --help)")
        tables.append(pd.read_csv(search / name))
    candidates = mined(pool, *tables).assign(subset="pairs")
    log.info("%d groups are large enough, %d images", candidates["group_id"].nunique(), len(candidates))
    chosen = varied(candidates, plan.pair_groups)
    pairs = [candidates[candidates["group_id"] == group] for group in chosen]
    blocked = set(pd.concat(pairs)["family"])
    taken = {int(group.split("-")[0]) for group in chosen}
    later = candidates[~candidates["family"].isin(blocked)]
    dev = [later[later["group_id"] == group] for group in varied(later, plan.dev_groups, taken)]
    blocked |= set(pd.concat(dev)["family"])
    for subset, name, styles in (("line_drawing", "line drawing", LINE_STYLES), ("three_d", "3-D", SOLID_STYLES)):
        images = style_group(pool, styles, plan.style_images, blocked)
        blocked |= set(images["family"])
        pairs.append(images.assign(group_id=subset.replace("_", "-"), group=name, subset=subset))
    return pd.concat(pairs, ignore_index=True), pd.concat(dev, ignore_index=True)


def near_boundary(art: Art, chosen: list[int], count: int, plan: Plan, seed: int) -> pd.DataFrame:
    """Wide views that `mini` gets right with a margin below 0.05, `mini-strong` right too.

    Rounds of one new view of each chosen drawing, until there are `count`; at most three of one drawing.
    """
    import pandas as pd
    import torch

    from benchmark.mini.packing import encode
    from benchmark.mini.train import normalise
    from benchmark.models.load import load_base
    from benchmark.predict.engine import top2

    module = load_base("mini").module
    kept: list[dict] = []
    per_drawing: Counter[int] = Counter()
    for number in range(plan.rounds):
        todo = [i for i in chosen if per_drawing[i] < plan.a_drawing]
        facts, images = art.views(todo, "wide", seed * 1000 + number)
        tensors = torch.from_numpy(images).permute(0, 3, 1, 2)
        told = [top2(module, normalise(part)) for part in tensors.split(64)]
        label, margin = torch.cat([t[0] for t in told]).numpy(), torch.cat([t[2] for t in told]).numpy()
        close = [
            {**fact, "data": encode(image)}
            for fact, image, told, gap in zip(facts, images, label, margin, strict=True)
            if told == fact["label"] and gap < plan.margin - 1e-4  # far enough that rounding cannot push it over
        ]
        if close:
            asked = ask(pd.DataFrame(close))
            sure = asked[(asked["strong_prediction"] == asked["label"]) & (asked["margin"] < plan.margin)]
            kept += sure.to_dict("records")
            per_drawing = Counter(row["position"] for row in kept)
        log.info("round %d: %d of %d near-boundary images", number + 1, len(kept), count)
        if len(kept) >= count:
            break
    if len(kept) < count:
        raise UserError(f"only {len(kept)} of {count} near-boundary images in {plan.rounds} rounds")
    return pd.DataFrame(kept[:count]).sort_values(["label", "drawing"])


def training_split(art: Art, chosen: list[int], plan: Plan, seed: int) -> pd.DataFrame:
    """Labelled views, plain and wide in turn, for editors that learn."""
    import pandas as pd

    from benchmark.mini.packing import encode

    rows: list[dict] = []
    number = 0
    while len(rows) < plan.train:
        facts, images = art.views(chosen, ("plain", "wide")[number % 2], seed * 1000 + number)
        rows += [{**fact, "data": encode(image)} for fact, image in zip(facts, images, strict=True)]
        number += 1
    return pd.DataFrame(rows[: plan.train]).sample(frac=1, random_state=plan.seed)


def assemble(art: Art, plan: Plan, pool: pd.DataFrame, search: Path, work: Path, out: Path) -> dict[str, pd.DataFrame]:
    """Choose, write and return all six splits; write the NOTICE and, if `out` is the package's, the card's tables."""
    from benchmark.mini.card import fill
    from benchmark.mini.packing import notice, write_split
    from benchmark.mini.selection import share_out
    from benchmark.predict.store import predictions_folder

    pool = ask(pool, predictions_folder())
    splits = dict(zip(("edit", "dev_edit"), edit_splits(pool, search, plan), strict=True))
    used = {family for split in splits.values() for family in split["family"]}

    free = [i for i, family in enumerate(art.families) if family not in used]
    own = [i for i in free if art.drawings[i].style in BASE_STYLES]
    shares = {"train": 0.4, "locality": 0.43, "dev_locality": 0.17}
    share = share_out((art.families[i] for i in own), shares, plan.seed)
    new = {art.families[i] for i in free} - set(share)
    share |= share_out(new, {"locality": 0.7, "dev_locality": 0.3}, plan.seed)
    where = {name: [i for i in free if share[art.families[i]] == name] for name in shares}
    train = [i for i in where["train"] if art.drawings[i].style in BASE_STYLES]
    sure = {name: [i for i in where[name] if art.drawings[i].tier == "A"] for name in ("locality", "dev_locality")}
    splits["train"] = training_split(art, train, plan, seed=plan.seed + 1)
    splits["locality"] = near_boundary(art, sure["locality"], plan.locality, plan, seed=plan.seed + 2)
    splits["dev_locality"] = near_boundary(art, sure["dev_locality"], plan.dev_locality, plan, seed=plan.seed + 3)

    shown = set(splits["edit"]["image"]) | set(splits["dev_edit"]["image"])
    rest = pool[~pool["image"].isin(shown)].head(plan.pool)  # the pool is in random order
    splits["pool"] = rest.drop(columns=["base_prediction", "strong_prediction", "margin"])
    for name, table in splits.items():
        write_split(table, out / "data" / f"{name}-00000-of-00001.parquet")
    write_text(out / "NOTICE", notice())
    write_text(out / "build.json", json.dumps({"version": MINI_VERSION, "plan": asdict(plan)}, indent=2) + "\n")
    if out.resolve() == ASSETS:
        fill(out)
    return splits
