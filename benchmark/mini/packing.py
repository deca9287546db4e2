"""An embedded set in the Hub's layout: encoded images, one schema, parquet files, licence notes."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.core.files import replacing
from benchmark.data.schema import ROWS_A_GROUP, features
from benchmark.mini.emoji import STYLES

if TYPE_CHECKING:
    import datasets
    import numpy as np
    import pandas as pd

    from benchmark.mini.art import Plan


def encode(view: np.ndarray, quality: int | None = None) -> bytes:
    """Encode a (side, side, 3) uint8 image as WebP of this quality; without one lossless, smaller than PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    how = {"lossless": True, "quality": 50, "method": 2} if quality is None else {"quality": quality, "method": 4}
    Image.fromarray(view).save(buffer, "webp", **how)
    return buffer.getvalue()


def write_split(views: pd.DataFrame, path: Path) -> None:
    """Write a table of views, with their bytes in `data`, as one parquet file.

    Columns that follow from style or label are added; the others that the table lacks are null.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from benchmark.labels.imagenet import names

    schema = features()
    rows = [_row(view, schema, names()) for view in views.to_dict("records")]
    with replacing(path) as temporary:
        pq.write_table(
            pa.Table.from_pylist(rows, schema=schema.arrow_schema),
            temporary,
            row_group_size=ROWS_A_GROUP,
            compression="zstd",
        )


def _row(view: dict, schema: datasets.Features, names: Sequence[str]) -> dict:
    style, digest = STYLES[view["style"]], hashlib.sha256(view["data"]).hexdigest()
    values = {
        **view,
        "image": {"bytes": view["data"], "path": f"{digest[:16]}.webp"},
        "class_name": names[view["label"]],
        "label_origin": "emoji",
        "source": style.source,
        "licence": style.licence,
        "attribution": style.credit,
        "sha256": digest,
    }
    return {column: _null_for_nan(values.get(column)) for column in schema}


def _null_for_nan(value: object) -> object:
    """A value, or None for the NaN by which pandas marks a missing one."""
    return None if value != value else value


def format_notice(plan: Plan) -> str:
    """The NOTICE: every style's source, version, licence and credit."""
    lines = [
        f"The images of {plan.version}, and what {plan.base} and {plan.rival} learned, are made from emoji art.",
        "Each drawing was scaled, turned, sheared, mirrored and slightly recoloured, and placed on a plain or",
        "gradient background. Column `licence` of the data says which licence an image is under, column",
        "`attribution` whom to credit. The licence texts are in licences/.",
        "",
        "Share-alike: images in the styles marked * may be passed on, changed or not, only under CC-BY-SA-4.0.",
        f"What was trained is offered under CC-BY-SA-4.0, since {plan.rival} learned from those, too.",
        "",
    ]
    for s in STYLES.values():
        star = "*" if "SA" in s.licence else ""
        lines += [f"{s.name}{star}", f"  art      {s.credit}", f"  page     {s.page}"]
        lines += [f"  package  {s.package} {s.version} (npm)", f"  licence  {s.licence}", ""]
    return "\n".join(lines)
