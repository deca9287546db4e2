"""One annotator's way through the groups. It knows what this annotator answered and nothing of the others."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from benchmark.images.decode import BrokenImage
from benchmark.labels import imagenet
from mad.mining import wordnet
from mad.review.groups import Group, Item
from mad.review.images import Images, Picture
from mad.review.store import Answer, Store

AHEAD = 5  # images that the page loads before they are needed
KEPT = 64  # pictures kept in memory, some 20 MB


class Refused(Exception):
    """An answer that cannot be taken; the message is for the annotator."""


class Session:
    """What the page asks for and does. Every method is safe to call from several threads."""

    def __init__(self, items: Sequence[Item], images: Images, store: Store, annotator: str) -> None:
        """
        Args:
            items: what to review, group by group.
            images: where the pictures come from.
            store: where answers go.
            annotator: who answers.
        """
        self.annotator = annotator
        self._store = store
        self._items = {_key(images.pool.signature, item): item for item in items}
        self._keys = list(self._items)
        self._key_of = {(item.group.id, item.image): key for key, item in self._items.items()}
        self._starts: dict[str, int] = {}  # where in `_keys` each group begins
        for place, item in enumerate(self._items.values()):
            self._starts.setdefault(item.group.id, place)
        self._sizes = Counter(item.group.id for item in items)
        self._picture = lru_cache(maxsize=KEPT)(images.picture)
        self._lock = threading.Lock()
        self._read_answers()

    def _read_answers(self) -> None:
        """Keys of what is answered, in order; a dict, as undoing and looking up are both wanted."""
        found = (self._key_of.get(answered) for answered in self._store.answered(self.annotator))
        self._answered = dict.fromkeys(key for key in found if key is not None)
        self._done = Counter(self._items[key].group.id for key in self._answered)

    @property
    def total(self) -> int:
        return len(self._items)

    @property
    def done(self) -> int:
        return len(self._answered)

    def picture(self, key: str) -> Picture:
        """The picture of an item.

        Raises:
            KeyError: if there is no such item.
            BrokenImage: if it does not open.
        """
        return self._picture(self._items[key].image)

    def view(self, group_id: str | None = None) -> dict[str, Any]:
        """What to show: the first open item from `group_id` on, or from the group that was last answered in.

        `item` and `group` are None once all is answered. `ahead` are the keys of the items that come next.
        """
        with self._lock:
            return self._view(group_id)

    def answer(self, key: str, accepted: bool) -> dict[str, Any]:
        """Keep an answer and give the next view. An item that is answered already keeps its first answer.

        Raises:
            KeyError: if there is no such item.
            Refused: if an image is accepted that nobody can have seen.
        """
        item = self._items[key]
        try:
            sha256 = self._picture(item.image).sha256
        except BrokenImage as error:
            if accepted:
                raise Refused(f"This image does not open ({error}), so it can only be rejected.") from error
            sha256 = ""
        with self._lock:
            if self._store.add(self.annotator, Answer(item.group.id, item.image, accepted, sha256)):
                self._answered[key] = None
                self._done[item.group.id] += 1
            else:  # answered in another window
                self._read_answers()
            return self._view(item.group.id)

    def undo(self) -> dict[str, Any]:
        """Take this annotator's last answer back, and show its item again."""
        with self._lock:
            if not self._answered:
                return self._view()
            key = next(reversed(self._answered))
            item = self._items[key]
            self._store.remove(self.annotator, item.group.id, item.image)
            del self._answered[key]
            self._done[item.group.id] -= 1
            return self._view(item.group.id)

    def groups(self) -> list[dict[str, Any]]:
        """Every group with its progress, in the order of the table."""
        with self._lock:
            return [self._progress(self._items[self._keys[start]].group) for start in self._starts.values()]

    def _view(self, group_id: str | None = None) -> dict[str, Any]:
        if group_id is None and self._answered:
            group_id = self._items[next(reversed(self._answered))].group.id
        upcoming = [
            key for key, _ in zip(self._open(self._starts.get(group_id or "", 0)), range(AHEAD + 1), strict=False)
        ]
        view: dict[str, Any] = {
            "done": len(self._answered),
            "total": len(self._items),
            "undo": bool(self._answered),
            "ahead": upcoming[1:],
            "item": None,
            "group": None,
        }
        if upcoming:
            item = self._items[upcoming[0]]
            view["item"] = {"key": upcoming[0], "name": item.image}
            view["group"] = {
                **self._progress(item.group),
                "strong": describe(item.group.strong),
                "base": describe(item.group.base),
            }
        return view

    def _open(self, start: int) -> Iterator[str]:
        """Unanswered keys from `start` on, then those before it."""
        for places in (range(start, len(self._keys)), range(start)):
            yield from (self._keys[place] for place in places if self._keys[place] not in self._answered)

    def _progress(self, group: Group) -> dict[str, Any]:
        return {"id": group.id, "name": group.name, "size": self._sizes[group.id], "done": self._done[group.id]}


@lru_cache(maxsize=1024)
def describe(index: int) -> dict[str, str]:
    """A class in words: its name, its other names, and what it is a kind of (WordNet 3.0).

    The latter tells the two classes called "crane" apart, and the two called "maillot".
    """
    name = imagenet.names()[index]
    nodes = wordnet.read_synsets()
    synset = nodes[imagenet.synsets()[index]]
    return {
        "name": name,
        "also": ", ".join(lemma for lemma in synset.lemmas if lemma != name),
        "kind": ", ".join(nodes[above].lemmas[0] for above in synset.hypernyms),
    }


def _key(signature: str, item: Item) -> str:
    """What the page calls an item. It names no path, and no cached picture is ever taken for another pool's."""
    return hashlib.sha256(f"{signature}\0{item.group.id}\0{item.image}".encode()).hexdigest()[:24]
