"""Gather a pool of photographs from Flickr to find failures in.

    export FLICKR_API_KEY=... FLICKR_API_SECRET=...
    python -m mad.crawl --out crawl --classes volleyball "water tower" 954

Searches for the ImageNet-1k classes by their WordNet names, as the paper did (section 5.1), among photographs under
Creative Commons uploaded before Stable Diffusion was released. The folder then holds

    images/<ab>/<sha256>.jpg  the photographs, ab being the first two digits of their SHA-256
    attribution.csv           file, photo_id, owner, owner_name, title, page_url, licence, licence_url, date_upload,
                              date_taken, sha256, phash, keyword, class_index: one row an image,
                              written whenever a run begins and ends
    index.sqlite              all searches, photos and states; the same command goes on from it after any stop

and is what `python -m mad.search --pool` takes. `class_index` is the class that was searched for, and no label.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from pathlib import Path

import tyro

from benchmark.core import options
from benchmark.core.errors import UserError
from benchmark.core.files import cannot_write
from benchmark.core.ranges import NotNegative
from benchmark.core.stopping import going_on
from benchmark.core.text import printable
from benchmark.labels.imagenet import CLASSES
from benchmark.labels.names import known_classes
from mad.crawling.attribution import write_attribution
from mad.crawling.clients import API, ClientName, connect
from mad.crawling.crawler import CrawlConfig, Crawler
from mad.crawling.flickr import CALLS_A_SECOND, CREATIVE_COMMONS, Flickr, choose_licences
from mad.crawling.index import FILE, Index
from mad.crawling.keywords import find_keywords
from mad.crawling.removal import check_excluded, exclude_folder, read_takedown, take_down
from mad.crawling.web import Pace

KEY, SECRET = "FLICKR_API_KEY", "FLICKR_API_SECRET"


def main(
    out: options.Out = Path("crawl"),
    classes: options.Classes = (),
    licences: tuple[str, ...] = CREATIVE_COMMONS,
    before: str = "2022-08-22",
    after: str = "2004-02-10",
    per_class: options.PerClassOrAll = 0,
    exclude: tyro.conf.UseAppendAction[tuple[Path, ...]] = (),
    takedown: Path | None = None,
    requests_per_second: NotNegative = 1.0,
    client: ClientName = "flickrapi",
    api: str = API,
) -> None:
    """Crawl Flickr for photographs of ImageNet's classes, with attribution, without duplicates.

    The API key comes from the environment: FLICKR_API_KEY and FLICKR_API_SECRET. Stopped in whatever way, the same
    command goes on where it was; photos that could not be had are asked for again, in three runs at most.

    OUT is a folder and gets images, attribution.csv and the index; further commands may add to it. Without --classes,
    all 1,000 are searched for. With --per-class a class is full after so many images; 0 takes all there are.

    Args:
        licences: Creative Commons names (by, by-sa, by-nc, by-nc-sa, by-nd, by-nc-nd, cc0, pdm) or Flickr's ids.
        before: Only photos uploaded before this day (UTC); by default the release of Stable Diffusion.
        after: Only photos uploaded on this day (UTC) or later; by default the start of Flickr.
        exclude: Folder of images to keep out, and all like them (say ImageNet), in later runs too.
        takedown: File with a photo id, page, owner or SHA-256 a line: removed, now and in all later runs.
        requests_per_second: Requests a second to each host, 1 at most to Flickr's API; 0 is no limit, for a server
            of your own.
        client: Library that sends the calls; requests does so, too, where flickrapi does not work.
        api: Address of Flickr's REST service; another one is a proxy, or a server to test with.
    """
    first, last = _parse_day(after, "--after"), _parse_day(before, "--before") - 1
    if last < first:
        raise UserError(f"no day lies between --after {after} and --before {before}; swap or widen them")
    if not licences:
        raise UserError(f"--licences needs a licence at least; leave it out for {' '.join(CREATIVE_COMMONS)}")
    for folder in exclude:
        check_excluded(folder, out)
    keywords = find_keywords(known_classes(classes, "--classes", range(CLASSES)))
    entries = read_takedown(takedown) if takedown else []

    if (out / FILE).is_file():  # the list is honoured even if the rest of this run comes to nothing
        with _open_index(out) as index:
            if removed := take_down(index, entries):
                print(f"images taken down: {removed:,}")
            write_attribution(index)
    flickr = _connect(client, api, Pace(min(requests_per_second, CALLS_A_SECOND)))
    licence_of_id = choose_licences(licences, flickr.list_licences())
    titles = sorted({printable(licence.title) for licence in licence_of_id.values()})
    print(f"{len(keywords):,} keywords, licences {', '.join(titles)}")

    with _open_index(out) as index:
        try:
            take_down(index, entries)
            for folder in exclude:
                if removed := exclude_folder(index, folder):
                    print(f"images removed, like those in {folder}: {removed:,}")
            config = CrawlConfig(keywords, licence_of_id, first, last, per_class)
            Crawler(index, flickr, Pace(requests_per_second), config).run()
        finally:
            write_attribution(index)
            counts = index.count_by_state()
            print(f"{out}: " + (", ".join(f"{n:,} {state}" for state, n in sorted(counts.items())) or "nothing yet"))
    print(f"next:  python -m mad.search --pair vitb16,clip-vitb16 --pool {out}")


def _parse_day(text: str, option: str) -> int:
    """The first second (Unix, UTC) of a day."""
    try:
        return int(datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=timezone.utc).timestamp())
    except ValueError as error:
        raise UserError(f'{option} must be a day such as 2022-08-22, not "{text}"') from error


def _connect(client: ClientName, api: str, pace: Pace) -> Flickr:
    key, secret = os.environ.get(KEY, "").strip(), os.environ.get(SECRET, "").strip()
    if not (key and secret):
        raise UserError(
            f"{KEY} and {SECRET} are not both set: apply for a key at https://www.flickr.com/services/apps/create/ "
            "and export them"
        )
    return Flickr(connect(client, key, secret, api), pace)


@contextmanager
def _open_index(folder: Path) -> Iterator[Index]:
    """The crawl's index, closed in the end; errors of the disk and of SQLite (not a database) as one line."""
    fix = "mend that (space? rights?), the same command goes on"
    try:
        with (
            going_on(lambda: f"the same command goes on with what is in {folder}"),
            cannot_write(folder, fix),
            closing(Index(folder)) as index,
        ):
            yield index
    except sqlite3.Error as error:
        raise UserError(f"{folder / FILE}: {error}; {fix}") from error


if __name__ == "__main__":
    from benchmark.core.cli import run

    run(main)
