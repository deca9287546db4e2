"""Make the embedded sets again: the mini's base models, and the images of both.

    python -m benchmark.rebuild models --which mini --out out/mini/models/mini
    python -m benchmark.rebuild drawings --set mini --step pool
    python -m mad.search --pair mini,mini-strong --pool out/mini/pool --out out/mini/search
    python -m benchmark.rebuild drawings --set mini --step assemble
    python -m benchmark.rebuild drawings --set mini --step further --out benchmark/assets/mini

So is `real`, with --set real; benchmark.probe trains its heads. All need `pip install "resvg-py==0.5.0"` and npm,
which fetches the drawings' packages.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from benchmark.core import options
from benchmark.core.arrays import read_parquet
from benchmark.core.cli import Command, run
from benchmark.core.errors import UserError
from benchmark.core.ranges import Count

if TYPE_CHECKING:
    import pandas as pd


def drawings(
    step: Literal["pool", "assemble", "further"],
    set: Literal["mini", "real"] = "mini",
    work: Path | None = None,
    out: options.OptionalOut = None,
) -> None:
    """Draw the pool of images, which mad.search then mines, or assemble all splits from its tables.

    OUT is a folder and gets the assets, by default WORK/assets; if it is the set's own folder in
    benchmark/assets, the card's tables are filled, too.

    Args:
        step: Step: pool draws the views to mine into WORK/pool, assemble freezes all splits from what was mined,
            further makes locality_taken and locality_far alone, beside the splits in OUT.
        set: Embedded set to make: mini, for the base of that name, or real, for dinov2-mini.
        work: Folder for what lies between the two steps, if not out/SET; mad.search writes to WORK/search.
    """
    from benchmark.mini.art import PLANS, Art
    from benchmark.mini.build import add_further, assemble, make_pool

    plan = PLANS[set]
    art = Art.load(plan)
    work = work or Path("out") / set
    out = out or work / "assets"
    if step == "pool":
        views = make_pool(art, plan, work / "pool")
        print(f"{len(views)} views of {views['drawing'].nunique()} drawings in {work / 'pool'}; next:")
        print(f"python -m mad.search --pair {plan.base},{plan.rival} --pool {work / 'pool'} --out {work / 'search'}")
    elif step == "further":
        _show(add_further(art, plan, out))
    elif not (work / "pool.parquet").is_file():
        raise UserError(f"{work}/pool.parquet is missing: run the step `pool` first")
    else:
        pool = read_parquet(work / "pool.parquet", "run the step pool again").to_pandas()
        _show(assemble(art, plan, pool, work / "search", work, out))


def _show(splits: dict[str, pd.DataFrame]) -> None:
    for name, table in splits.items():
        print(f"{name:14} {len(table):5} images {table['drawing'].nunique():5} drawings")


def models(
    which: Literal["mini", "mini-strong"],
    out: options.Out,
    iterations: options.OptionalIterations = None,
    device: options.Device = "auto",
    threads: Count = 1,
) -> None:
    """Train one of the two base models and write it as a timm folder.

    OUT gets config.json, model.safetensors and training.json. Only --device cpu repeats the shipped weights, and only
    with one thread. Without --iterations, there are as many as in the model's recipe.

    Args:
        which: Model to train.
        threads: Threads of the CPU.
    """
    from benchmark.core.devices import pick
    from benchmark.mini.train import make

    print(json.dumps(make(which, out, iterations, pick(device).type, threads), indent=2))


main: dict[str, Command] = {"drawings": drawings, "models": models}

if __name__ == "__main__":
    run(main, about=__doc__)
