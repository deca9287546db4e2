"""`attribution.csv`: owner, page and licence of each image.

Creative Commons licences ask for it, and Flickr for the link back (SPEC, section 7).
"""

from __future__ import annotations

from datetime import datetime, timezone
from urllib.parse import quote

from benchmark.core.csvs import write_csv
from mad.crawling.index import IMAGES, KEPT, Index, image_name

COLUMNS = (
    "file", "photo_id", "owner", "owner_name", "title", "page_url", "licence", "licence_url", "date_upload",
    "date_taken", "sha256", "phash", "keyword", "class_index",
)  # fmt: skip


def write_attribution(index: Index) -> None:
    """Write the table of all kept images, in the order in which they were found, beside them.

    `file` is relative to the crawl's folder. `date_upload` is in UTC (ISO 8601), `date_taken` as the camera had it.
    """
    rows = index.db.execute(
        "SELECT photo_id, owner, owner_name, title, licence, licence_url, date_upload, date_taken, sha256, phash, "
        "keyword, class_index FROM photo WHERE state = ? ORDER BY rowid",
        (KEPT,),
    )
    write_csv(index.folder / "attribution.csv", COLUMNS, (_credit(*row) for row in rows))


def _credit(
    photo_id: str, owner: str, owner_name: str, title: str, licence: str, licence_url: str, uploaded: int,
    date_taken: str, sha256: str, *rest: object,
) -> tuple[object, ...]:  # fmt: skip
    """The row of an image, in `COLUMNS`."""
    image = f"{IMAGES}/{image_name(sha256)}"
    page = f"https://www.flickr.com/photos/{quote(owner, safe='@')}/{photo_id}/"
    date_upload = datetime.fromtimestamp(uploaded, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return (
        image, photo_id, owner, owner_name, title, page, licence, licence_url, date_upload, date_taken, sha256, *rest,
    )  # fmt: skip
