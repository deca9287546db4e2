"""Texts to search for: the WordNet lemmas of ImageNet's classes, ambiguous ones made unique by their parents.

The paper (section 5.1) used "keywords relevant to the object categories in ImageNet-1k" and does not list them.
Here they are the lemmas of each class's synset. A lemma is ambiguous if WordNet 3.0 has more than one noun sense
of it; it then gets the last word of a lemma of its parent synset beside it: "crane bird" is class 134,
"crane device" class 517. Which lemmas those are is packaged in `mad/mining/assets/polysemous.txt`;
`python -m mad.rebuild keywords` makes that list again from an installed WordNet 3.0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchmark.core.files import write_text
from mad.mining.wordnet import ASSETS, Synset, parse_nouns, read_nouns, read_synsets

POLYSEMOUS = ASSETS / "polysemous.txt"


@dataclass(frozen=True)
class Keyword:
    """A text to search for, and the ImageNet-1k class (0 to 999) that it stands for."""

    text: str
    class_index: int


def find_keywords(classes: Iterable[int]) -> list[Keyword]:
    """The keywords of `classes` (indices 0 to 999), class by class, in the order of WordNet's lemmas.

    A text that two classes of ImageNet would share all the same ("sand viper snake") is left out for both:
    it does not show for which of them an image was searched, and each has other lemmas.
    """
    texts_by_class = _read_texts()
    shared = {text for text, count in Counter(text for texts in texts_by_class for text in texts).items() if count > 1}
    return [Keyword(text, index) for index in classes for text in texts_by_class[index] if text not in shared]


@cache
def _read_texts() -> tuple[tuple[str, ...], ...]:
    from benchmark.labels import imagenet

    ambiguous = frozenset(POLYSEMOUS.read_text(encoding="utf-8").split("\n"))
    return tuple(_make_texts(synset, read_synsets(), ambiguous) for synset in imagenet.synsets())


def _make_texts(synset: str, graph: Mapping[str, Synset], ambiguous: frozenset[str]) -> tuple[str, ...]:
    """The lemmas of one synset without repeats that differ by case alone, with a word of the parent where needed."""
    texts: dict[str, str] = {}
    for lemma in graph[synset].lemmas:
        text = lemma if lemma.lower() not in ambiguous else f"{lemma} {_find_parent_word(synset, lemma, graph)}".strip()
        texts.setdefault(text.lower(), text)
    return tuple(texts.values())


def _find_parent_word(synset: str, lemma: str, graph: Mapping[str, Synset]) -> str:
    """The head word of the nearest ancestor's lemma that `lemma` does not hold already; "" above the root.

    Only the head ("bird" of "wading bird"), as a search finds photographs that have every word of its text.
    With several parents the first one leads, as WordNet lists the main one first.
    """
    words = lemma.lower().replace("-", " ").split()
    node = graph[synset]
    while node.hypernyms:
        node = graph[node.hypernyms[0]]
        for parent_lemma in node.lemmas:
            head = parent_lemma.split()[-1]
            if head.lower() not in words:
                return head
    return ""


def find_ambiguous_lemmas(nouns: Mapping[str, Synset], ids: Iterable[str]) -> list[str]:
    """Lemmas (lower case, sorted) of the synsets `ids` that are lemmas of more than one synset of `nouns`."""
    senses = Counter(lemma for node in nouns.values() for lemma in {lemma.lower() for lemma in node.lemmas})
    return sorted({lemma.lower() for id in ids for lemma in nouns[id].lemmas if senses[lemma.lower()] > 1})


def write_ambiguous(nouns: Path | None, folder: Path) -> int:
    """Write the packaged list of ambiguous lemmas anew into `folder`; return their number.

    Raises:
        UserError: if there is no WordNet 3.0 at `nouns` (see `mad.mining.wordnet.read_nouns`).
    """
    from benchmark.labels import imagenet

    lemmas = find_ambiguous_lemmas(parse_nouns(read_nouns(nouns)), imagenet.synsets())
    write_text(folder / POLYSEMOUS.name, "\n".join(lemmas) + "\n")
    return len(lemmas)
