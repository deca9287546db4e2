"""Find the failures of a model among unlabelled images, by comparison with a stronger model.

    python -m mad.search --pair mini,mini-strong --out out/mad

Both models classify the pool; the images on which they disagree are ranked by how far apart in WordNet their
predictions are, and gathered into (strong, base) groups. The output folder then holds

    predictions.parquet   image, error, and for base and strong <who>_index, <who>_probability, <who>_margin
                          (top-1 minus top-2 probability): both predictions for every image of the pool
    ranking.csv           rank, image, base_index, base_class, base_probability, base_margin, strong_index, ...,
    ranking.parquet       distance: every disagreement, or with --diverse the varied head
    groups.csv            group_id, group, size, distance, strong_index, strong_class, base_index, base_class, and
                          the means strong_probability, base_probability: whole groups, the largest first
    membership.csv        group_id, image, rank, strong_probability, base_probability: the images of each group
    skipped.csv           image, error: images that did not decode, or have no finite logits
    attribution.csv       image, owner, title, page_url, licence, ...: of the images in groups, if the pool is a crawl
    sheets/               contact sheets: ranking.png, and <group_id>.png for the largest groups
    report.html           the same to browse, in one file
    search.json           the pool, the models and the command
    SHA256SUMS            the other files: what of them another search does not write again, it removes

With --models A,B,C the pool is decoded once for all of them, and each pair has such a folder, <A>-vs-<B>. Of a
pair, the model that was named first is the base: name the weakest first. (Neither the paper nor SPEC speaks of
more than two; the other direction of a pair has the same disagreements, and its groups the other way round.)

Predictions are kept in ~/.cache/vit-edit-bench (or VIT_EDIT_BENCH_CACHE): a search that was stopped goes on there,
and other rules, another stronger model or a pool that has grown cost only what is new. `image` is the path below the
pool's folder, FILE#ROW in parquet, SPLIT/ROW in a data set of the Hub (SPLIT/ROW/FILE where its files have names), or
the SHA-256 of the file in the embedded pool.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from benchmark.core import options
from benchmark.core.errors import UserError
from benchmark.core.ranges import Count, Fraction
from benchmark.core.workdir import Kind, working
from mad.mining.wordnet import UNITS, Measure, Over

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.images.source import ImageSource
    from benchmark.models.load import BaseModel
    from mad.mining.competition import SearchConfig

FIELDS = {"label": "index", "probability": "probability", "margin": "margin"}
SEARCH = Kind("search", "search.json", identity="command", fix="name another --out, or add --overwrite")


# ------------------------------------------------------------------------------------------ the command


def main(
    pair: Annotated[str | None, tyro.conf.arg(help_behavior_hint="(default: mini,mini-strong)")] = None,
    models: str | None = None,
    pool: options.Pool = None,
    weights: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
    distance: Measure = "hops",
    over: Over = "min",
    min_probability: Fraction = 0.0,
    diverse: bool = False,
    min_group: Count = 2,
    draft: bool = False,
    batch_size: options.BatchSize = 64,
    device: options.Device = "auto",
    engine: options.Engine = "local",
    out: options.Out = Path("out/mad"),
    overwrite: bool = False,
) -> None:
    """Find a model's failures among unlabelled images: rank and group its disagreements with a stronger one.

    Without --pool, ./crawl is searched if it is there, else mini, the embedded pool. With --engine ray, the
    pool must be there under the same path on every machine.

    Args:
        pair: Models BASE,STRONG: the one to be edited and its stronger rival (an alias, any timm ViT, NAME=FILE,
            a folder). A path may hold = and a comma: a file that exists wins.
        models: Models A,B,C instead of a pair: every two of them, each in a folder A-vs-B; the weakest first.
        weights: Local weights for one of the models, NAME=FILE with its NAME in --pair or --models; may be given
            several times.
        distance: Distance between two classes in WordNet: edges (2 to 26), or edges weighted towards the root
            (below 4).
        over: Minimum or mean over the hypernym paths of both classes.
        min_probability: Probability that the top-1 classes of both models must reach.
        diverse: Rank only a varied head: both >= 0.8, 3 images a class, 1 a pair of classes.
        min_group: Leave out groups of fewer images.
        draft: Decode large JPEGs at 1/2, 1/4 or 1/8, at least twice as large as the models take them: faster,
            and not quite the same predictions; recorded in search.json.
        overwrite: Replace another search in that folder.
    """
    from benchmark.images.open import open_images
    from benchmark.predict.engine import predict
    from benchmark.predict.store import predictions_folder
    from mad.mining.competition import SearchConfig
    from mad.mining.models import DRAFT, load_models, name_folders, parse_names

    config = SearchConfig(distance, over, min_probability, diverse, min_group)
    names = parse_names(pair, models)
    images = open_images(pool)
    print(f"pool: {images.title}, {len(images):,} images{'' if pool else '; --pool FOLDER mines another'}")
    loaded_models = load_models(names, weights, device)
    short_side = DRAFT * max(max(model.preprocessing.resize_shape) for model in loaded_models) if draft else None

    options = {"weights": [*weights], "pool": images.title, **dataclasses.asdict(config), "draft": short_side}
    pool_note = {"pool": {"images": len(images), "signature": images.signature}}
    folder_of_pair = name_folders(out, loaded_models) if models is not None else {(0, 1): out}
    with contextlib.ExitStack() as held:
        if models is not None:
            note = {
                "command": {"models": models, **options},
                **pool_note,
                "searches": [folder.name for folder in folder_of_pair.values()],
            }
            held.enter_context(working(out, SEARCH, note, overwrite=overwrite))
        for (a, b), folder in folder_of_pair.items():
            command = {"pair": f"{names[a]},{names[b]}", **options}
            note = {
                "command": command,
                "base": _describe(loaded_models[a]),
                "strong": _describe(loaded_models[b]),
                **pool_note,
            }
            held.enter_context(working(folder, SEARCH, note, overwrite=overwrite))

        numbered = [dataclasses.replace(model, name=str(number)) for number, model in enumerate(loaded_models)]
        predictions = predict(
            numbered,
            images,
            batch_size=batch_size,
            cache=predictions_folder(),
            draft=short_side,
            engine=_choose_engine(engine),
        )
        for (a, b), folder in folder_of_pair.items():
            _compete(predictions, a, b, loaded_models, images, config, short_side, folder)


def _choose_engine(name: str) -> Any:
    if name == "local":
        return None
    from benchmark.predict.ray import ray_engine

    return ray_engine()


def _compete(
    predictions: pd.DataFrame,
    base: int,
    strong: int,
    models: Sequence[BaseModel],
    pool: ImageSource,
    config: SearchConfig,
    draft: int | None,
    out: Path,
) -> None:
    """Run one competition: write its tables and its report, and print its summary."""
    from benchmark.core.checksums import keep_only
    from benchmark.predict.store import NOWHERE
    from mad.crawling.credits import read_attribution
    from mad.mining import report
    from mad.mining.competition import compete
    from mad.mining.models import shorten_name
    from mad.mining.results import describe, print_summary, write_tables

    roles = {"base": base, "strong": strong}
    columns = {
        f"{number}_{field}": f"{role}_{name}" for role, number in roles.items() for field, name in FIELDS.items()
    }
    predictions = predictions[["image", "error", *columns]].rename(columns=columns)
    broken = (predictions[["base_index", "strong_index"]] == NOWHERE).any(axis=1)
    predictions["error"] = predictions["error"].where(broken, "")  # what a third model lacks is no matter of this pair
    skipped = predictions.loc[broken, ["image", "error"]]
    result = compete(predictions[~broken].drop(columns="error"), config)
    credits = read_attribution(pool, [*result.membership["image"], *result.ranking["image"].head(report.ON_SHEET)])
    tables = write_tables(result, predictions, skipped, credits, out)
    if not result.images:
        raise UserError(f"no image of {pool.title} has predictions; {out / 'skipped.csv'} says why")
    model_names = report.ModelNames(shorten_name(models[base].name), shorten_name(models[strong].name))
    unit = UNITS[config.distance]
    overview = describe(result, len(skipped), models[base], models[strong], pool, config, draft)
    pages = report.write(out, result, skipped, pool, model_names, overview, unit, credits)
    keep_only(out, [*tables, *pages])
    print_summary(result, len(skipped), model_names, unit, out)


def _describe(model: BaseModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "identity": model.identity,
        "weights_sha256": model.weights_sha256,
        "preprocessing": model.preprocessing.to_dict(),
        "precision": model.precision,
    }


if __name__ == "__main__":
    from benchmark.core.cli import run

    run(main)
