"""Find the failures of a model among unlabelled images, with a stronger model as its rival.

    python -m mad.search --pair mini,mini-strong --out out/mad

Both models classify the pool; the images on which they disagree are ranked by how far apart in WordNet their
answers are, and gathered into (strong, base) groups. The output folder then holds

    ranking.csv     rank, image, base_index, base_class, base_probability, strong_index, strong_class,
                    strong_probability, distance: every disagreement, or with --diverse the varied head
    groups.csv      group_id, group, size, distance, strong_index, strong_class, base_index, base_class, and
                    the means strong_probability, base_probability: whole groups, the largest first
    membership.csv  group_id, image, rank, strong_probability, base_probability: the images of each group
    skipped.csv     image, error: what did not decode
    sheets/         contact sheets: ranking.png, and <group_id>.png for the largest groups
    report.html     the same to browse, in one file
    search.json     what was searched, with what

What the models said is kept in --cache, and used again when the same images are searched with other rules.
`image` is the path below the pool's folder, or the SHA-256 of the file in the embedded pool.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import tyro

from benchmark import files, imagenet
from benchmark.errors import UserError, unknown
from mad.wordnet import Measure, Over

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.models import BaseModel
    from mad.competition import Found, Rules
    from mad.pool import Pool
    from mad.report import Rivals

PREDICTIONS = ["image", "base_index", "base_probability", "strong_index", "strong_probability"]
SHOWN = 8  # rows of the tables in the terminal


def load_pair(pair: str, weights: Iterable[str] = (), device: str = "cpu") -> tuple[BaseModel, BaseModel]:
    """The base model and its stronger rival from "BASE,STRONG" and "ALIAS=FILE" (local weights).

    Raises:
        UserError: for anything but two different models, and for what `load_base` refuses.
    """
    from benchmark.models import load_base

    names = [name.strip() for name in pair.split(",")]
    if len(names) != 2 or not all(names):
        raise UserError(f'--pair takes BASE,STRONG, two models, the one to be edited first; got "{pair}"')
    local: dict[str, Path] = {}
    for given in weights:
        alias, _, file = given.partition("=")
        if not file:
            raise UserError(f'--weights takes ALIAS=FILE; got "{given}"')
        if alias not in names:
            raise unknown("model of the pair", alias, names)
        local[alias] = Path(file)
    base, strong = (load_base(name, weights=local.get(name), device=device) for name in names)
    if (base.weights_sha256, base.preprocessing) == (strong.weights_sha256, strong.preprocessing):
        raise UserError(f"{names[0]} and {names[1]} are the same model; a competition takes two")
    return base, strong


def claim(out: Path, facts: Mapping[str, Any], overwrite: bool) -> None:
    """Note in `out` what is searched. The same command may come again; another must not mix its files in.

    Raises:
        UserError: if `out` holds another search or something else, unless it may be overwritten.
    """
    note = out / "search.json"
    if not overwrite and note.is_file():
        try:
            same = json.loads(note.read_text(encoding="utf-8"))["command"] == facts["command"]
        except (ValueError, LookupError, TypeError):
            same = False
        if not same:
            raise UserError(f"{out} holds another search (see search.json); name another --out, or add --overwrite")
    elif not overwrite and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is there already and holds no search; name another --out, or add --overwrite")
    files.write_text(note, json.dumps(facts, indent=2) + "\n")


def write_tables(found: Found, skipped: pd.DataFrame, out: Path) -> None:
    """Write ranking.csv, groups.csv, membership.csv and skipped.csv, each replaced as a whole."""
    names = np.array(imagenet.names(), dtype=object)
    ranking = found.ranking.copy(deep=False)
    for who in ("base", "strong"):
        index = ranking[f"{who}_index"].to_numpy()
        ranking.insert(ranking.columns.get_loc(f"{who}_index") + 1, f"{who}_class", names[index])
    _write_csv(ranking, out / "ranking.csv")
    _write_csv(found.groups, out / "groups.csv")
    columns = ["group_id", "image", "rank", "strong_probability", "base_probability"]
    _write_csv(found.membership[columns], out / "membership.csv")
    _write_csv(skipped, out / "skipped.csv")


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    columns = [column for column in table if column.endswith("_probability")]
    with files.replacing(path) as temporary:
        table.assign(**table[columns].astype(float).round(6)).to_csv(temporary, index=False, lineterminator="\n")


# ------------------------------------------------------------------------------------------ the command


def main(
    pair: str = "mini,mini-strong",
    pool: Path | None = None,
    weights: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
    distance: Measure = "hops",
    over: Over = "min",
    min_probability: float = 0.0,
    diverse: bool = False,
    min_group: int = 2,
    batch_size: int = 64,
    device: Literal["cpu", "cuda"] = "cpu",
    out: Path = Path("out/mad"),
    cache: Path = Path("out/predictions"),
    overwrite: bool = False,
) -> None:
    """Find a model's failures among unlabelled images: rank and group its disagreements with a stronger one.

    Args:
        pair: BASE,STRONG: the model to be edited and its stronger rival (an alias, any timm ViT, a folder).
        pool: folder of images; by default ./crawl if it is there, else the embedded pool.
        weights: ALIAS=FILE, local weights for a model of the pair; may be given twice.
        distance: between two classes in WordNet: hypernym edges, or weighted towards the root.
        over: the minimum or the mean over the hypernym paths of both classes.
        min_probability: what the top-1 probability of both models must reach.
        diverse: rank only a varied head: both >= 0.8, 3 images a class, 1 a pair of classes.
        min_group: leave out groups of fewer images.
        batch_size: images a batch.
        device: where the models run.
        out: folder for the results.
        cache: folder where predictions are kept: a search that was stopped goes on, other rules are free.
        overwrite: replace another search in that folder.
    """
    import torch

    from benchmark.predict import predict
    from mad import report
    from mad.competition import Rules, compete
    from mad.pool import open_pool

    rules = Rules(distance, over, min_probability, diverse, min_group)
    if batch_size < 1:
        raise UserError(f"--batch-size is at least 1, not {batch_size}")
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("no CUDA device here; leave --device out")
    images = open_pool(pool)
    print(f"pool: {images.title}, {len(images):,} images{'' if pool else '; --pool FOLDER mines another'}")
    base, strong = load_pair(pair, weights, device)
    claim(out, _provenance(pair, weights, base, strong, images, rules), overwrite)

    models = [dataclasses.replace(base, name="base"), dataclasses.replace(strong, name="strong")]
    kept = cache / images.signature[:24]  # predict() knows images by name; their content is for us to watch
    predictions = predict(models, images, batch_size=batch_size, cache=kept)
    broken = predictions["error"] != ""
    skipped = predictions.loc[broken, ["image", "error"]]
    sound = predictions[~broken].rename(columns={"base_label": "base_index", "strong_label": "strong_index"})
    found = compete(sound[PREDICTIONS], rules)

    write_tables(found, skipped, out)
    if not found.images:
        raise UserError(f"no image of {images.title} decodes; {out / 'skipped.csv'} says why")
    rivals = report.Rivals(_short(base.name), _short(strong.name))
    facts = _facts(found, len(skipped), base, strong, images, rules)
    report.write(out, found, skipped, images, rivals, facts)
    print_summary(found, len(skipped), rivals, out)


def _short(name: str) -> str:
    """A model's name without the folders before it, where it is one."""
    return Path(name).name


def _provenance(
    pair: str, weights: Iterable[str], base: BaseModel, strong: BaseModel, pool: Pool, rules: Rules
) -> dict[str, Any]:
    def describe(model: BaseModel) -> dict[str, Any]:
        return {
            "name": model.name,
            "weights_sha256": model.weights_sha256,
            "preprocessing": model.preprocessing.to_dict(),
            "precision": model.precision,
        }

    return {
        "command": {"pair": pair, "weights": [*weights], "pool": pool.title, **dataclasses.asdict(rules)},
        "base": describe(base),
        "strong": describe(strong),
        "pool": {"images": len(pool), "signature": pool.signature},
    }


def _facts(found: Found, skipped: int, base: BaseModel, strong: BaseModel, pool: Pool, rules: Rules) -> dict[str, str]:
    """The opening table of the report."""
    measure = {"hops": "hypernym edges", "weighted": "weighted hypernym paths"}[rules.distance]
    facts = {
        "base model": f"{base.name} (weights {base.weights_sha256[:12]})",
        "stronger model": f"{strong.name} (weights {strong.weights_sha256[:12]})",
        "pool": f"{pool.title}: {found.images:,} images, {skipped:,} skipped",
        "disagreements": f"{found.disagreements:,} ({found.disagreements / found.images:.1%} of the images)",
        "distance": f"{measure} in WordNet 3.0, {rules.over} over pairs of paths",
        "groups": f"{len(found.groups):,} of at least {rules.min_group} images",
    }
    if rules.min_probability:
        facts["kept"] = f"where both probabilities are at least {rules.min_probability:g}"
    if rules.diverse:
        facts["ranking"] = "both probabilities at least 0.8, at most 3 images a class and 1 a pair of classes"
    return facts


def print_summary(found: Found, skipped: int, rivals: Rivals, out: Path) -> None:
    """The top of the ranking and the largest groups, for a terminal, and where the rest is."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    names = imagenet.names()
    share = f"{found.disagreements / found.images:.1%}"
    console.print(
        f"\n[bold]{found.disagreements:,}[/] of {found.images:,} images divide the models ({share})"
        + (f"; {skipped:,} skipped, listed in skipped.csv" if skipped else "")
    )
    if found.ranking.empty:
        return
    top = Table(box=box.SIMPLE_HEAD, title="The top of the ranking", title_justify="left", title_style="bold")
    top.add_column("#", justify="right", style="dim")
    top.add_column("image", max_width=20, no_wrap=True, style="dim")
    for who, colour in ((rivals.strong, "green"), (rivals.base, "red")):
        top.add_column(Text(f"{who} says"), style=colour)
        top.add_column("", justify="right", style=colour)
    top.add_column("apart", justify="right")
    for row in found.ranking.head(SHOWN).to_dict("records"):
        top.add_row(
            str(row["rank"]),
            Text(_printable(row["image"])),
            names[row["strong_index"]],
            f"{row['strong_probability']:.0%}",
            names[row["base_index"]],
            f"{row['base_probability']:.0%}",
            f"{row['distance']:.4g}",
        )
    console.print(top)

    largest = Table(box=box.SIMPLE_HEAD, title="The largest groups", title_justify="left", title_style="bold")
    largest.add_column("id", style="dim")
    largest.add_column("group")
    largest.add_column("images", justify="right")
    largest.add_column("apart", justify="right")
    for row in found.groups.head(SHOWN).to_dict("records"):
        group = Text.assemble((row["strong_class"], "green"), "-", (row["base_class"], "red"))
        largest.add_row(row["group_id"], group, f"{row['size']:,}", f"{row['distance']:.4g}")
    console.print(largest)
    for what, file in (
        ("contact sheet", "sheets/ranking.png"),
        ("report", "report.html"),
        ("groups", "groups.csv"),
    ):
        console.print(Text(f" {what:<14}{out / file}"), soft_wrap=True)


def _printable(text: str) -> str:
    """Without the control characters by which a file name could speak to the terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


if __name__ == "__main__":
    from benchmark.cli import run

    run(main)
