"""Make the packaged parts of WordNet again: class hypernyms and ambiguous keywords.

    python -m mad.rebuild wordnet --out out/wordnet
    python -m mad.rebuild keywords --out out/wordnet

What is packaged lies in mad/mining/assets; a test compares both where WordNet 3.0 is installed.
"""

from __future__ import annotations

from pathlib import Path

from benchmark.core import options
from benchmark.core.cli import Command, run

OUT = Path("out/wordnet")


def wordnet(nouns: options.Nouns = None, out: options.Out = OUT) -> None:
    """Extract ImageNet's synsets and all their ancestors from WordNet 3.0, with the licence that must travel with them.

    OUT is a folder and gets both files.
    """
    from mad.mining.wordnet import EXTRACT, write_extract

    print(f"{write_extract(nouns, out):,} synsets -> {out / EXTRACT.name}")


def keywords(nouns: options.Nouns = None, out: options.Out = OUT) -> None:
    """List the lemmas of ImageNet's classes that have more than one meaning in WordNet 3.0.

    OUT is a folder and gets the list, one lemma a line.
    """
    from mad.crawling.keywords import POLYSEMOUS, write_ambiguous

    print(f"{write_ambiguous(nouns, out):,} lemmas -> {out / POLYSEMOUS.name}")


main: dict[str, Command] = {"wordnet": wordnet, "keywords": keywords}

if __name__ == "__main__":
    run(main, about=__doc__)
