"""Make the packaged parts of WordNet again: class hypernyms and ambiguous keywords.

    python -m mad.rebuild wordnet --out out/wordnet
    python -m mad.rebuild keywords --out out/wordnet

What is packaged lies in mad/mining/assets; a test compares both where WordNet 3.0 is installed.
"""

from __future__ import annotations

from pathlib import Path

from benchmark.core.cli import Command, run

OUT = Path("out/wordnet")


def wordnet(nouns: Path | None = None, out: Path = OUT) -> None:
    """Extract ImageNet's synsets and all their ancestors from WordNet 3.0, with the licence that must travel with them.

    Args:
        nouns: WordNet 3.0's data.noun; by default nltk's corpus, else Debian's wordnet-base.
        out: folder for the two files.
    """
    from mad.mining.wordnet import EXTRACT, write_extract

    print(f"{write_extract(nouns, out):,} synsets -> {out / EXTRACT.name}")


def keywords(nouns: Path | None = None, out: Path = OUT) -> None:
    """List the lemmas of ImageNet's classes that have more than one meaning in WordNet 3.0.

    Args:
        nouns: WordNet 3.0's data.noun; by default nltk's corpus, else Debian's wordnet-base.
        out: folder for the list, which has one lemma a line.
    """
    from mad.crawling.keywords import POLYSEMOUS, write_ambiguous

    print(f"{write_ambiguous(nouns, out):,} lemmas -> {out / POLYSEMOUS.name}")


main: dict[str, Command] = {"wordnet": wordnet, "keywords": keywords}

if __name__ == "__main__":
    run(main, about=__doc__)
