from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmark.core.errors import UserError
from benchmark.labels import imagenet
from mad import search
from mad.mining import wordnet

VOLLEYBALL, BASKETBALL, BIB, ALTAR = 890, 430, 443, 406


@pytest.fixture(scope="module")
def pairs() -> list[tuple[int, int]]:
    """Random pairs of classes, half of them of classes with several hypernym paths."""
    random = np.random.default_rng(0)
    several = [i for i, synset in enumerate(imagenet.synsets()) if len(wordnet.find_hypernym_paths(synset)) > 1]
    anywhere, branching = random.integers(0, 1000, (1000, 2)), random.choice(several, (1000, 2))
    return [(int(a), int(b)) for a, b in np.concatenate([anywhere, branching])]


# -- the extract


def test_extract_is_closed_and_has_one_root() -> None:
    nodes = wordnet.read_synsets()
    assert set(imagenet.synsets()) <= set(nodes)
    assert {hypernym for node in nodes.values() for hypernym in node.hypernyms} <= set(nodes)
    assert [id for id, node in nodes.items() if not node.hypernyms] == ["n00001740"]
    assert nodes["n04540053"] == wordnet.Synset(("volleyball",), ("n02778669",))
    assert "Princeton" in wordnet.LICENCE.read_text()


@pytest.mark.skipif(wordnet.find_installed_nouns() is None, reason="WordNet 3.0 is not installed")
def test_extract_equals_the_installed_wordnet(tmp_path: Path) -> None:
    wordnet.write_extract(None, tmp_path)
    for ours in (wordnet.EXTRACT, wordnet.LICENCE):
        assert (tmp_path / ours.name).read_text() == ours.read_text()


def test_other_versions_of_wordnet_are_refused(tmp_path: Path) -> None:
    nouns = tmp_path / "data.noun"
    nouns.write_text("  1 WordNet 3.1 Copyright 2011\n00001740 03 n 01 entity 0 000 | that which is\n")
    with pytest.raises(UserError, match=r"must be those of WordNet 3\.0"):
        wordnet.write_extract(nouns, tmp_path)
    with pytest.raises(UserError, match="--nouns"):
        wordnet.write_extract(tmp_path / "nowhere", tmp_path)


# -- distances worked out by hand


def test_volleyball_and_basketball_are_two_hops_apart() -> None:
    # Both are balls at depth 9. Basketball's other path leaves volleyball's at "equipment", depth 6.
    def between(*how: str) -> float:
        return wordnet.compute_distances(*how)[VOLLEYBALL, BASKETBALL]  # type: ignore[arg-type]

    assert between("hops", "min") == 2
    assert between("hops", "mean") == (2 + 6) / 2
    assert between("weighted", "min") == 2 * 2.0**-8
    assert between("weighted", "mean") == (2 * 2.0**-8 + 2 * (2.0**-6 + 2.0**-7 + 2.0**-8)) / 2


def test_a_class_with_two_paths_by_hand() -> None:
    # bib:   entity, physical entity, object, part,  piece,    piece of cloth, bib
    #        entity, physical entity, object, whole, artifact, fabric,         piece of cloth, bib
    # altar: entity, physical entity, object, whole, artifact, structure,      altar
    assert [len(wordnet.find_hypernym_paths(imagenet.synsets()[i])) for i in (BIB, ALTAR)] == [2, 1]
    assert wordnet.compute_distances("hops", "min")[BIB, ALTAR] == 3 + 2
    assert wordnet.compute_distances("hops", "mean")[BIB, ALTAR] == ((4 + 4) + (3 + 2)) / 2
    by_fabric = (2**-4 + 2**-5 + 2**-6) + (2**-4 + 2**-5)
    by_part = 2 * (2**-2 + 2**-3 + 2**-4 + 2**-5)
    assert wordnet.compute_distances("weighted", "min")[BIB, ALTAR] == by_fabric
    assert wordnet.compute_distances("weighted", "mean")[BIB, ALTAR] == (by_fabric + by_part) / 2


def test_a_distance_is_described_with_its_unit_and_range() -> None:
    hops = wordnet.compute_distances("hops", "min")
    off_diagonal = sorted(hops[a, b] for a, b in itertools.combinations(range(1000), 2))
    least, median, most = off_diagonal[0], off_diagonal[len(off_diagonal) // 2], off_diagonal[-1]
    assert (least, median, most) == (2, 13, 26)
    words = wordnet.describe_distance("hops", "min")
    assert words.startswith("edges in WordNet 3.0") and "2 to 26 apart, half of all pairs at most 13" in words
    assert "below 4" in (search.main.__doc__ or "") and wordnet.compute_distances("weighted", "mean").max() < 4
    assert "edges (2 to 26)" in (search.main.__doc__ or "")


# -- and by independent routes


@pytest.mark.parametrize("measure", ["hops", "weighted"])
@pytest.mark.parametrize("over", ["min", "mean"])
def test_tables_are_symmetric_and_zero_on_the_diagonal_alone(measure, over) -> None:
    table = wordnet.compute_distances(measure, over)
    assert table.shape == (1000, 1000) and table.dtype == np.float32
    assert (table == table.T).all()
    assert ((table == 0) == np.eye(1000, dtype=bool)).all()
    with pytest.raises(ValueError, match="read-only"):
        table[0, 0] = 1


def test_shortest_hops_equal_a_breadth_first_search(pairs) -> None:
    def climbs(synset: str) -> dict[str, int]:
        steps, queue = {synset: 0}, [synset]
        for node in queue:
            for hypernym in wordnet.read_synsets()[node].hypernyms:
                if hypernym not in steps:
                    steps[hypernym] = steps[node] + 1
                    queue.append(hypernym)
        return steps

    ups = [climbs(synset) for synset in imagenet.synsets()]
    for a, b in pairs:
        shortest = min(ups[a][node] + ups[b][node] for node in ups[a].keys() & ups[b].keys())
        assert wordnet.compute_distances("hops", "min")[a, b] == shortest


def test_all_tables_equal_a_plain_loop_over_paths(pairs) -> None:
    def hops(a_path: tuple[str, ...], b_path: tuple[str, ...]) -> float:
        common = [node for node in a_path if node in b_path][-1]
        return len(a_path) - a_path.index(common) + len(b_path) - b_path.index(common) - 2

    def weighted(a_path: tuple[str, ...], b_path: tuple[str, ...]) -> float:
        return sum(
            2.0 ** (1 - i) for p, q in ((a_path, b_path), (b_path, a_path)) for i, node in enumerate(p) if node not in q
        )

    for a, b in pairs:
        if a == b:
            continue
        paths = (wordnet.find_hypernym_paths(imagenet.synsets()[i]) for i in (a, b))
        combinations = list(itertools.product(*paths))
        for measure, between in (("hops", hops), ("weighted", weighted)):
            path_distances = [between(*paths_of_both) for paths_of_both in combinations]
            assert wordnet.compute_distances(measure, "min")[a, b] == min(path_distances)
            assert wordnet.compute_distances(measure, "mean")[a, b] == np.float32(np.mean(path_distances))


@pytest.mark.skipif(not wordnet.DEBIAN.is_file(), reason="Debian's wordnet-base is not installed")
def test_shortest_hops_equal_those_of_nltk(pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nltk
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

    corpus = tmp_path / "corpora" / "wordnet"
    corpus.mkdir(parents=True)
    for noun in ("index.noun", "data.noun", "noun.exc"):
        shutil.copy(wordnet.DEBIAN.parent / noun, corpus)
    # What else nltk wants to see, it does not need for the hypernyms of nouns.
    for kind in ("verb", "adj", "adv"):
        for other in (f"index.{kind}", f"data.{kind}", f"{kind}.exc", "index.sense"):
            (corpus / other).touch()
    (corpus / "lexnames").write_text("".join(f"{i:02d}\tfile{i}\t1\n" for i in range(45)))
    monkeypatch.setattr(nltk.data, "path", [*nltk.data.path, str(tmp_path)])
    with pytest.warns(UserWarning, match="multilingual"):
        reader = WordNetCorpusReader(str(corpus), None)
    nodes = [reader.synset_from_pos_and_offset("n", int(synset[1:])) for synset in imagenet.synsets()]
    for a, b in pairs[::10]:
        assert wordnet.compute_distances("hops", "min")[a, b] == nodes[a].shortest_path_distance(nodes[b])
