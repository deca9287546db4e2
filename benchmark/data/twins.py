"""Images that stand twice: an edit on one of them would be judged on itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import pandas as pd

from benchmark.core.errors import UserError
from benchmark.core.text import printable
from benchmark.data.scored import EDIT


def check_twins(folder: Path, splits: Mapping[str, pd.DataFrame], paper_counted: Collection[str] = ()) -> None:
    """Raise `UserError` for an image that stands twice in the tables of all scored splits, by their column ``sha256``.

    Where all its places are in `paper_counted` (group ids, "locality") it stays: the counts of the authors' archives
    are the paper's.
    """
    places = [
        table.assign(place=table["group_id"].astype(str) if split == EDIT else split) for split, table in splits.items()
    ]
    rows = pd.concat([table[["sha256", "place"]] for table in places])
    twins = rows[rows["sha256"].duplicated(keep=False)]
    own = twins[~twins["place"].isin(paper_counted)]["sha256"].drop_duplicates()
    if len(own):
        where = " and ".join(printable(place) for place in twins[twins["sha256"] == own.iloc[0]]["place"])
        raise UserError(
            f"{folder}: {len(own):,} images stand twice, {own.iloc[0][:12]} in {where}: an edit on one would be judged "
            "on itself; leave one of each away"
        )
