"""Results of a search: tables on disk, an overview for the report, and a summary in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmark.core import files
from benchmark.core.csvs import write_frame
from benchmark.core.terminal import console
from benchmark.labels import imagenet
from mad.mining.wordnet import describe_distance

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.images.source import ImageSource
    from benchmark.models.load import BaseModel
    from mad.mining.competition import SearchConfig, SearchResult
    from mad.mining.report import ModelNames

SHOWN = 8  # rows of the tables in the terminal


def write_tables(
    result: SearchResult, predictions: pd.DataFrame, skipped: pd.DataFrame, credits: pd.DataFrame, out: Path
) -> list[str]:
    """Write the tables that `mad.search` lists, each replaced as a whole; return the names of their files."""
    _write_parquet(predictions, out / "predictions.parquet")
    class_names = np.array(imagenet.names(), dtype=object)
    ranking = result.ranking.copy(deep=False)
    for role in ("base", "strong"):
        index = ranking[f"{role}_index"].to_numpy()
        ranking.insert(ranking.columns.get_loc(f"{role}_index") + 1, f"{role}_class", class_names[index])
    _write_parquet(ranking, out / "ranking.parquet")
    _write_csv(ranking, out / "ranking.csv")
    _write_csv(result.groups, out / "groups.csv")
    columns = ["group_id", "image", "rank", "strong_probability", "base_probability"]
    _write_csv(result.membership[columns], out / "membership.csv")
    _write_csv(skipped, out / "skipped.csv")
    tables = ["predictions.parquet", "ranking.parquet", "ranking.csv", "groups.csv", "membership.csv", "skipped.csv"]
    if not len(credits):
        return tables
    _write_csv(credits, out / "attribution.csv")
    return [*tables, "attribution.csv"]


def _write_parquet(table: pd.DataFrame, path: Path) -> None:
    with files.replacing(path) as temporary:
        table.to_parquet(temporary, index=False)


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    columns = [column for column in table if column.endswith("_probability")]
    write_frame(path, table.assign(**table[columns].astype(float).round(6)))


def describe(
    result: SearchResult,
    skipped: int,
    base: BaseModel,
    strong: BaseModel,
    pool: ImageSource,
    config: SearchConfig,
    draft: int | None,
) -> dict[str, str]:
    """Pool, models and rules of a search: the opening table of the report."""
    overview = {
        "base model": f"{base.name} (weights {base.weights_sha256[:12]})",
        "stronger model": f"{strong.name} (weights {strong.weights_sha256[:12]})",
        "pool": f"{pool.title}: {result.images:,} images, {skipped:,} skipped",
        "disagreements": f"{result.disagreements:,} ({result.disagreements / result.images:.1%} of the images)",
        "distance": describe_distance(config.distance, config.over),
        "groups": f"{len(result.groups):,} of at least {config.min_group} images",
    }
    if config.min_probability:
        overview["kept"] = f"where both probabilities are at least {config.min_probability:g}"
    if config.diverse:
        overview["ranking"] = "both probabilities at least 0.8, at most 3 images a class and 1 a pair of classes"
    if draft is not None:
        overview["decoding"] = f"JPEGs at a reduced scale, their short side at least {draft} pixels"
    return overview


def print_summary(result: SearchResult, skipped: int, model_names: ModelNames, unit: str, out: Path) -> None:
    """Print the top of the ranking, the largest groups and where the rest is; a command calls this in the end."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    screen = console()
    class_names = imagenet.names()
    share = f"{result.disagreements / result.images:.1%}"
    screen.print(
        Text.assemble(
            "\n", (f"{result.disagreements:,}", "bold"), f" of {result.images:,} images divide the models ({share})"
        )
        + (f"; {skipped:,} skipped, listed in skipped.csv" if skipped else "")
    )
    if result.ranking.empty:
        return
    heading = f"The top of the ranking, by {unit} between both classes in WordNet"
    top = Table(box=box.SIMPLE_HEAD, title=heading, title_justify="left", title_style="bold")
    top.add_column("#", justify="right", style="dim")
    top.add_column("image", max_width=20, no_wrap=True, style="dim")
    for name, colour in ((model_names.strong, "green"), (model_names.base, "red")):
        top.add_column(f"{name} says", style=colour)
        top.add_column("", justify="right", style=colour)
    top.add_column(unit, justify="right")
    for row in result.ranking.head(SHOWN).to_dict("records"):
        top.add_row(
            str(row["rank"]),
            row["image"],
            class_names[row["strong_index"]],
            f"{row['strong_probability']:.0%}",
            class_names[row["base_index"]],
            f"{row['base_probability']:.0%}",
            f"{row['distance']:.4g}",
        )
    screen.print(top)

    largest = Table(box=box.SIMPLE_HEAD, title="The largest groups", title_justify="left", title_style="bold")
    largest.add_column("id", style="dim")
    largest.add_column("group")
    largest.add_column("images", justify="right")
    largest.add_column(unit, justify="right")
    for row in result.groups.head(SHOWN).to_dict("records"):
        group = Text.assemble((row["strong_class"], "green"), "-", (row["base_class"], "red"))
        largest.add_row(row["group_id"], group, f"{row['size']:,}", f"{row['distance']:.4g}")
    screen.print(largest)
    for title, file in (
        ("contact sheet", "sheets/ranking.png"),
        ("report", "report.html"),
        ("groups", "groups.csv"),
    ):
        screen.print(f" {title:<14}{out / file}", soft_wrap=True)
    if len(result.groups):
        screen.print(f" {'next':<14}python -m mad.review {out} --annotator NAME", soft_wrap=True)
