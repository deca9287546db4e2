"""One annotator's session: the groups, and this annotator's answers, without those of the others."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any

from benchmark.core.text import printable
from benchmark.images.decode import BrokenImage
from benchmark.labels import imagenet
from mad.mining import wordnet
from mad.review.groups import ClassPair, ReviewImage
from mad.review.images import Picture, PoolImages
from mad.review.store import Answer, AnswerStore

AHEAD = 5  # images that the page loads before they are needed
KEPT = 64  # pictures kept in memory, some 20 MB


class Refused(Exception):
    """An answer that cannot be taken; the message is for the annotator."""


class Session:
    """State and actions behind the page. Every method is safe to call from several threads."""

    def __init__(
        self, images: Sequence[ReviewImage], pool_images: PoolImages, store: AnswerStore, annotator: str
    ) -> None:
        """
        Args:
            images: the images to review, group by group.
            pool_images: source of the pictures.
            store: the file for answers.
            annotator: name of the person.
        """
        self.annotator = annotator
        self._store = store
        self._image_of_key = {_make_key(pool_images.pool.signature, image): image for image in images}
        self._keys = list(self._image_of_key)
        self._key_of_answer = {(image.pair.id, image.name): key for key, image in self._image_of_key.items()}
        self._start_of_group: dict[str, int] = {}  # position in `_keys` of each group's first image
        for position, image in enumerate(self._image_of_key.values()):
            self._start_of_group.setdefault(image.pair.id, position)
        self._size_of_group = Counter(image.pair.id for image in images)
        self._render = lru_cache(maxsize=KEPT)(pool_images.render)
        self._lock = threading.Lock()
        self._read_answers()

    def _look_again(self) -> None:
        """Read the answers if another process changed them: this annotator may sit at two windows."""
        if self._store.version != self._version:
            self._read_answers()

    def _read_answers(self) -> None:
        """Read the keys of answered images, in order; a dict, since both undoing and looking up use it."""
        self._version = self._store.version  # before reading: what comes in between is read once more
        keys = (self._key_of_answer.get(answer) for answer in self._store.list_answered(self.annotator))
        self._answered = dict.fromkeys(key for key in keys if key is not None)
        self._done_of_group = Counter(self._image_of_key[key].pair.id for key in self._answered)

    @property
    def total(self) -> int:
        return len(self._image_of_key)

    @property
    def done(self) -> int:
        return len(self._answered)

    def render(self, key: str) -> Picture:
        """The picture of an image, as the page shows it.

        Raises:
            KeyError: if there is no such image.
            BrokenImage: if it does not open.
        """
        return self._render(self._image_of_key[key].name)

    def view(self, group_id: str | None = None) -> dict[str, Any]:
        """The page's next view: the first open image from `group_id` on, or from the group of the last answer.

        `item` and `group` are None once all is answered. `ahead` are the keys of the images that come next.
        """
        with self._lock:
            self._look_again()
            return self._view(group_id)

    def answer(self, key: str, accepted: bool) -> dict[str, Any]:
        """Keep an answer and return the next view. An image that is answered already keeps its first answer.

        Raises:
            KeyError: if there is no such image.
            Refused: if an image is accepted that nobody can have seen.
        """
        image = self._image_of_key[key]
        try:
            sha256 = self._render(image.name).sha256
        except BrokenImage as error:
            if accepted:
                raise Refused(f"This image does not open ({error}), so it can only be rejected.") from error
            sha256 = ""
        with self._lock:
            self._look_again()
            if self._store.add(self.annotator, Answer(image.pair.id, image.name, accepted, sha256)):
                self._answered[key] = None
                self._done_of_group[image.pair.id] += 1
            else:  # answered in another window
                self._read_answers()
            return self._view(image.pair.id)

    def undo(self) -> dict[str, Any]:
        """Take this annotator's last answer back, and return a view of its image."""
        with self._lock:
            self._look_again()
            if not self._answered:
                return self._view()
            key = next(reversed(self._answered))
            image = self._image_of_key[key]
            self._store.remove(self.annotator, image.pair.id, image.name)
            del self._answered[key]
            self._done_of_group[image.pair.id] -= 1
            return self._view(image.pair.id)

    def list_groups(self) -> list[dict[str, Any]]:
        """Every group with its progress, in the order of the table."""
        with self._lock:
            self._look_again()
            images = [self._image_of_key[self._keys[start]] for start in self._start_of_group.values()]
            return [self._progress(image.pair) for image in images]

    def _view(self, group_id: str | None = None) -> dict[str, Any]:
        if group_id is None and self._answered:
            group_id = self._image_of_key[next(reversed(self._answered))].pair.id
        upcoming = [*islice(self._iterate_open(self._start_of_group.get(group_id or "", 0)), AHEAD + 1)]
        view: dict[str, Any] = {
            "done": len(self._answered),
            "total": len(self._image_of_key),
            "undo": bool(self._answered),
            "ahead": upcoming[1:],
            "item": None,
            "group": None,
        }
        if upcoming:
            image = self._image_of_key[upcoming[0]]
            view["item"] = {"key": upcoming[0], "name": printable(image.name)}
            view["group"] = {
                **self._progress(image.pair),
                "strong": describe(image.pair.strong),
                "base": describe(image.pair.base),
            }
        return view

    def _iterate_open(self, start: int) -> Iterator[str]:
        """Unanswered keys from `start` on, then those before it."""
        for positions in (range(start, len(self._keys)), range(start)):
            yield from (self._keys[position] for position in positions if self._keys[position] not in self._answered)

    def _progress(self, pair: ClassPair) -> dict[str, Any]:
        size, done = self._size_of_group[pair.id], self._done_of_group[pair.id]
        return {"id": pair.id, "name": pair.name, "size": size, "done": done}


@lru_cache(maxsize=1024)
def describe(index: int) -> dict[str, str]:
    """A class in words: its name, its other names, and its hypernyms (WordNet 3.0).

    The hypernyms tell the two classes called "crane" apart, and the two called "maillot".
    """
    name = imagenet.names()[index]
    nodes = wordnet.read_synsets()
    synset = nodes[imagenet.synsets()[index]]
    return {
        "name": name,
        "also": ", ".join(lemma for lemma in synset.lemmas if lemma != name),
        "kind": ", ".join(nodes[hypernym].lemmas[0] for hypernym in synset.hypernyms),
    }


def _make_key(signature: str, image: ReviewImage) -> str:
    """The page's key of an image. It names no path, and no cached picture is ever taken for another pool's."""
    return hashlib.sha256(f"{signature}\0{image.pair.id}\0{image.name}".encode()).hexdigest()[:24]
