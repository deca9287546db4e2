"""The crawl itself: for each keyword, search window by window and fetch the photos of each page.

A search yields at most about 4,000 photos and then repeats them (SPEC, section 7), so a window of upload times that
holds more is cut into narrower ones. After each page its photos are fetched, so that images come in from the start.
What a later search says of a photo that is not fetched yet, its licence above all, takes the place of what was known.
"""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from tqdm.auto import tqdm

from benchmark.core.errors import UserError
from benchmark.core.text import printable
from benchmark.images.decode import BrokenImage, decode
from mad.crawling import web
from mad.crawling.duplicates import compute_phash, compute_sha256
from mad.crawling.flickr import PER_PAGE, Flickr, Licence, Page, Photo
from mad.crawling.index import DUPLICATE, EXCLUDED, FROM_EXCLUDED, TAKEN_DOWN, Index, Window
from mad.crawling.keywords import Keyword

if TYPE_CHECKING:
    import requests

MOST_WINDOWS = 100  # that one window is cut into at once
CAP = 4000  # photos that one search yields before it repeats itself (SPEC, section 7)
UNREACHABLE = 10  # images in a row that cannot be reached: then it is the network, and not the images


@dataclass(frozen=True)
class CrawlConfig:
    """Keywords, licences, dates and limits of a crawl.

    Args:
        keywords: texts to search for, with their classes.
        licences: acceptable licences by Flickr's id.
        first: earliest upload, Unix seconds, included.
        last: latest upload, included.
        per_class: images to keep of a class, 0 for all there are.
        cap: photos that a search yields before it repeats itself.
        per_page: photos asked for at once.
    """

    keywords: Sequence[Keyword]
    licences: Mapping[str, Licence]
    first: int
    last: int
    per_class: int = 0
    cap: int = CAP
    per_page: int = PER_PAGE

    def make_query(self, keyword: Keyword) -> str:
        """Name of the search for one keyword: another licence or span of time is another search."""
        return f"{keyword.text} | {','.join(sorted(self.licences))} | {self.first}-{self.last}"


class Crawler:
    """Crawls by `config`, from the place in the index where an earlier run stopped."""

    def __init__(self, index: Index, flickr: Flickr, pace: web.Pace, config: CrawlConfig) -> None:
        self._index = index
        self._flickr = flickr
        self._pace = pace
        self._config = config
        self._session: requests.Session = web.open_session()
        self._unreachable = 0

    def run(self, *, progress: bool = True) -> None:
        """Search and fetch until every keyword is done or its class is full.

        Raises:
            UserError: if Flickr refuses, or it or its images cannot be reached; the index stays sound.
        """
        self._index.retry_failed()
        for keyword in tqdm(self._config.keywords, unit="keyword", desc="crawl", leave=False, disable=not progress):
            self._crawl(keyword, progress)

    def _crawl(self, keyword: Keyword, progress: bool) -> None:
        config = self._config
        while True:
            pending = self._index.find_pending(keyword.text, config.licences, config.first, config.last)
            with tqdm(pending, unit="photo", desc=printable(keyword.text), leave=False, disable=not progress) as bar:
                for photo_id, url in bar:
                    if self._is_full(keyword.class_index):
                        return
                    self._fetch(photo_id, url)
            if self._is_full(keyword.class_index):
                return
            window = self._index.next_window(config.make_query(keyword), config.first, config.last)
            if window is None:
                return
            self._search(keyword, window)

    def _is_full(self, class_index: int) -> bool:
        return 0 < self._config.per_class <= self._index.count_kept(class_index)

    def _search(self, keyword: Keyword, window: Window) -> None:
        """Ask for the next page of a window, and record its photos."""
        config = self._config
        page = self._flickr.search(
            keyword.text, config.licences, window.first, window.last, window.page, per_page=config.per_page
        )
        believed = page.total if is_credible(page, config.per_page) else 0
        windows = split_window(window.first, window.last, believed, config.cap)
        pages = min(page.pages, math.ceil(config.cap / config.per_page))
        selected = select_photos(page, config.licences, config.first, config.last)
        self._index.add_page(
            window,
            [
                (photo, config.licences.get(photo.licence_id, Licence(photo.licence_id, "", "")))
                for photo in page.photos
            ],
            {photo.photo_id for photo in selected},
            keyword.text,
            keyword.class_index,
            is_last=window.page >= pages or not page.within,
            split=windows if len(windows) > 1 else (),
        )

    def _fetch(self, photo_id: str, url: str) -> None:
        """Fetch one image, and record its photo's new state."""
        self._pace.wait()
        try:
            data = web.fetch_jpeg(self._session, url)
            phash = compute_phash(decode(data))
        except (web.FetchError, BrokenImage) as error:
            self._index.fail(photo_id, str(error), final=isinstance(error, web.FetchError) and error.gone)
            self._unreachable = self._unreachable + 1 if getattr(error, "unreachable", False) else 0
            if self._unreachable == UNREACHABLE:
                raise UserError(
                    f"{UNREACHABLE} images in a row cannot be reached ({error}); the same command goes on later"
                ) from error
            return
        self._unreachable = 0
        sha256 = compute_sha256(data)
        if sha256 in self._index.taken_down:
            self._index.drop(photo_id, TAKEN_DOWN, "", sha256, phash)
        elif (origin := self._index.find_alike(sha256, phash)) is None:
            self._index.keep(photo_id, data, sha256, phash)
        elif origin == FROM_EXCLUDED:
            self._index.drop(photo_id, EXCLUDED, "like an excluded picture", sha256, phash)
        else:
            self._index.drop(photo_id, DUPLICATE, f"like photo {origin}", sha256, phash)


def select_photos(page: Page, licences: Collection[str], first: int, last: int) -> list[Photo]:
    """The photos of a page with a requested licence and date; Flickr's index can lag behind a change of licence."""
    return [photo for photo in page.photos if photo.licence_id in licences and first <= photo.date_upload <= last]


def is_credible(page: Page, per_page: int) -> bool:
    """True if the total of a page's search can be true: a search that finds more than a page fills half of it.

    A wrong total would cut windows without end, each of them as empty as the one before.
    """
    return page.within >= min(page.total, per_page) / 2


def split_window(first: int, last: int, total: int, cap: int) -> list[tuple[int, int]]:
    """The window from `first` to `last` (seconds, both included), cut where it holds `cap` photos or more.

    The cut makes as many equal windows as would hold half of `cap` each, since uploads are not spread evenly: fewer
    calls than halving again and again. They come in a sequence drawn by chance (the same each time), so that a class
    that is full early does not hold its earliest uploads alone. A single second cannot be cut, and at most
    `MOST_WINDOWS` are made at once; they are cut again where they hold more.
    """
    seconds = last - first + 1
    if total < cap or seconds == 1:
        return [(first, last)]
    count = min(seconds, MOST_WINDOWS, math.ceil(total / max(1, cap // 2)))
    edges = [first + seconds * i // count for i in range(count + 1)]
    windows = [(start, end - 1) for start, end in pairwise(edges)]
    random.Random(first).shuffle(windows)
    return windows
