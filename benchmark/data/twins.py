"""Images that stand twice: an edit on one of them would be judged on itself."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pandas as pd

from benchmark.core.errors import UserError
from benchmark.core.text import printable
from benchmark.data.manifest import LOCALITY


def check_twins(folder: Path, edit: pd.DataFrame, locality: pd.DataFrame, paper_counted: Collection[str] = ()) -> None:
    """Raise `UserError` for an image that stands twice among the editing samples and D_l, by their column ``sha256``.

    Where all its places are in `paper_counted` (group ids, "locality") it stays: the counts of the authors' archives
    are the paper's.
    """
    places = [edit.assign(place=edit["group_id"].astype(str)), locality.assign(place=LOCALITY)]
    rows = pd.concat([table[["sha256", "place"]] for table in places])
    twins = rows[rows["sha256"].duplicated(keep=False)]
    own = twins[~twins["place"].isin(paper_counted)]["sha256"].drop_duplicates()
    if len(own):
        where = " and ".join(printable(place) for place in twins[twins["sha256"] == own.iloc[0]]["place"])
        raise UserError(
            f"{folder}: {len(own):,} images stand twice, {own.iloc[0][:12]} in {where}: an edit on one would be judged "
            "on itself; leave one of each away"
        )
