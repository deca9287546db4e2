"""Distances between ImageNet-1k classes in WordNet.

The measure of disagreement of the MAD competition (Wang et al., "I Am Going MAD: Maximum Discrepancy
Competition for Comparing Classifiers Adaptively", ICLR 2020, its distance over the WordNet hierarchy): two
top-1 predictions are compared along the hypernym paths of their synsets.

ImageNet's synset ids are noun offsets of WordNet **3.0**; other versions number their synsets anew. The
package carries the 1,000 synsets and all their ancestors; `python -m mad.rebuild wordnet` makes that extract again
from nltk's corpus or from Debian's `wordnet-base`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np

from benchmark.core.errors import UserError
from benchmark.core.files import write_text
from benchmark.core.readers import read_text

ASSETS = Path(__file__).parent / "assets"
EXTRACT = ASSETS / "wordnet30.json"
LICENCE = ASSETS / "WORDNET-LICENCE.txt"
DEBIAN = Path("/usr/share/wordnet/data.noun")

Measure = Literal["hops", "weighted"]
Over = Literal["min", "mean"]
UNITS: Mapping[Measure, str] = {"hops": "edges", "weighted": "weighted edges"}


@dataclass(frozen=True)
class Synset:
    """A noun synset: its lemmas (words, with spaces), and the ids of its direct (instance) hypernyms."""

    lemmas: tuple[str, ...]
    hypernyms: tuple[str, ...]


# ------------------------------------------------------------------------------------------- the graph


@cache
def read_synsets() -> Mapping[str, Synset]:
    """The packaged extract: id (`n04540053`) -> `Synset`, for the 1,000 classes and all their ancestors."""
    nodes = json.loads(EXTRACT.read_text(encoding="utf-8"))["synsets"]
    return {id: Synset(tuple(node["lemmas"]), tuple(node["hypernyms"])) for id, node in nodes.items()}


@cache
def find_hypernym_paths(synset: str) -> tuple[tuple[str, ...], ...]:
    """All paths from the root to `synset`, each from the root down, both ends included."""
    hypernyms = read_synsets()[synset].hypernyms
    paths = tuple((*path, synset) for hypernym in hypernyms for path in find_hypernym_paths(hypernym))
    return paths or ((synset,),)


# ------------------------------------------------------------------------------------------- distances


@cache
def compute_distances(measure: Measure = "hops", over: Over = "min") -> np.ndarray:
    """Distances between all pairs of ImageNet-1k classes.

    A class can have several hypernym paths (304 of the 1,000 have); each pair of paths gives one distance.

    Args:
        measure: `hops` counts the hypernym edges from one synset to the other through the lowest node that
            the two paths share. `weighted` lets a node that is on one path but not on the other cost
            2^(1-i), i its depth on its path with the root at 0: a split near the root costs most.
        over: `min` or `mean` over the pairs of paths. (The released code of MAD reverses the paths in place
            while it loops over the pairs, so that the depths of its weighted distance alternate between
            the two ends of a path, and its hops with `mean` are others, too. Here the root is always at 0.)

    Returns:
        (1000, 1000) float32, read-only, symmetric. The diagonal is zero by definition: models that agree
        are at no distance, also where the mean over the paths of one class would not be zero.
    """
    from benchmark.labels import imagenet

    paths = [path for synset in imagenet.synsets() for path in find_hypernym_paths(synset)]
    counts = np.array([len(find_hypernym_paths(synset)) for synset in imagenet.synsets()])
    starts = np.cumsum(counts) - counts

    between_paths = {"hops": _count_hops, "weighted": _sum_weights}[measure](paths)
    reduce = {"min": np.minimum, "mean": np.add}[over]
    table = reduce.reduceat(reduce.reduceat(between_paths, starts, axis=0), starts, axis=1)
    if over == "mean":
        table = table / np.outer(counts, counts)
    np.fill_diagonal(table, 0)
    table = table.astype(np.float32)
    table.setflags(write=False)
    return table


def describe_distance(measure: Measure, over: Over) -> str:
    """A distance in words, for people: its equation, source and range."""
    equation = {
        "hops": "the fewest edges from class a up to a common ancestor c and down to class b, "
        "d(a, b) = min over c of edges(a, c) + edges(b, c)",
        "weighted": "the sum of 2^(1 - depth) over the nodes that only one of the two classes has above it or is; "
        "the root has depth 0",
    }[measure]
    distances = compute_distances(measure, over)
    between = distances[~np.eye(len(distances), dtype=bool)]
    least, half, most = (f"{value:.2g}" for value in (between.min(), np.median(between), between.max()))
    return (
        f"{UNITS[measure]} in WordNet 3.0: {equation} ({'smallest' if over == 'min' else 'mean'} over the paths to the "
        f"root). Two classes are {least} to {most} apart, half of all pairs at most {half}. "
        f"Wang et al., Maximum Discrepancy Competition, ICLR 2020; docs/SPEC.md, 3"
    )


def _count_hops(paths: list[tuple[str, ...]]) -> np.ndarray:
    """(P, P) edges between the ends of each two paths, through their lowest common node."""
    columns = {node: j for j, node in enumerate(sorted({node for path in paths for node in path}))}
    longest = max(map(len, paths))
    nowhere = len(columns)  # a column of its own, for "above the root"
    above = np.full((len(paths), longest), nowhere)  # above[p, k]: the node k edges above the end of path p
    climb = np.full((len(paths), nowhere + 1), np.inf, dtype=np.float32)  # climb[p, node]: edges up to it
    for p, path in enumerate(paths):
        above[p, : len(path)] = [columns[node] for node in reversed(path)]
        climb[p, above[p, : len(path)]] = np.arange(len(path))

    # Of the nodes that two paths share, the lowest is the nearest to both ends, so the minimum finds it.
    shortest = np.full((len(paths), len(paths)), np.inf, dtype=np.float32)
    for k in range(longest):
        np.minimum(shortest, k + climb[:, above[:, k]].T, out=shortest)
    return shortest


def _sum_weights(paths: list[tuple[str, ...]]) -> np.ndarray:
    """(P, P) summed cost of the nodes that are on one path but not on the other."""
    columns = {node: j for j, node in enumerate(sorted({node for path in paths for node in path}))}
    cost = np.zeros((len(paths), len(columns)), dtype=np.float32)
    for p, path in enumerate(paths):
        cost[p, [columns[node] for node in path]] = 2.0 ** (1 - np.arange(len(path)))

    # Sums of powers of two from 2^-17 to 2 are exact in float32, in any order: the table is symmetric.
    shared = cost @ (cost > 0).astype(np.float32).T
    own = cost.sum(axis=1, keepdims=True)
    return (own - shared) + (own - shared).T


# ---------------------------------------------------------------------------------- making the extract


def parse_nouns(lines: Iterable[str]) -> dict[str, Synset]:
    """Read WordNet's `data.noun` (format: `man 5 wndb`): every noun synset by its id.

    Raises:
        UserError: if the file is not WordNet 3.0.
    """
    from benchmark.core.errors import UserError

    nouns: dict[str, Synset] = {}
    is_version_3_0 = False
    for line in lines:
        if line.startswith("  "):  # the licence, which names the version
            is_version_3_0 |= "WordNet 3.0 Copyright" in line
            continue
        if not is_version_3_0:
            raise UserError(
                "the nouns must be those of WordNet 3.0, whose offsets are ImageNet's synset ids, not of another "
                "version; name its data.noun with --nouns"
            )
        offset, _, _, word_count, *rest = line.split(" | ")[0].split()
        words, rest = rest[: 2 * int(word_count, 16)], rest[2 * int(word_count, 16) :]
        pointers = zip(rest[1::4], rest[2::4], strict=False)
        nouns[f"n{offset}"] = Synset(
            lemmas=tuple(word.replace("_", " ") for word in words[::2]),
            hypernyms=tuple(f"n{target}" for symbol, target in pointers if symbol in ("@", "@i")),
        )
    return nouns


def add_ancestors(nouns: Mapping[str, Synset], ids: Iterable[str]) -> dict[str, Synset]:
    """The synsets of `ids` and all their ancestors, sorted by id."""
    extract: dict[str, Synset] = {}
    queue = list(ids)
    while queue:
        id = queue.pop()
        if id not in extract:
            extract[id] = nouns[id]
            queue.extend(nouns[id].hypernyms)
    return dict(sorted(extract.items()))


def find_installed_nouns() -> Path | None:
    """Path of WordNet's nouns on this machine: nltk's corpus, else Debian's `wordnet-base`, else None."""
    import nltk

    try:
        return Path(str(nltk.data.find("corpora/wordnet/data.noun")))
    except LookupError:
        return DEBIAN if DEBIAN.is_file() else None


def read_nouns(path: Path | None = None) -> list[str]:
    """The lines of a data.noun of WordNet 3.0: that at `path`, else that of `find_installed_nouns`.

    Raises:
        UserError: if there is none.
    """
    source = path or find_installed_nouns()
    if source is None or not source.is_file():
        raise UserError(
            f"no WordNet 3.0 at {source or DEBIAN}: name its data.noun with --nouns, or install Debian's "
            "wordnet-base or nltk's corpus (python -m nltk.downloader wordnet, then unzip it)"
        )
    return read_text(source, fix="name another --nouns").splitlines()


def write_extract(nouns: Path | None, folder: Path) -> int:
    """Write the packaged files anew into `folder`: the extract, and WordNet's licence; return the number of synsets.

    Raises:
        UserError: if there is no WordNet at `nouns` (see `read_nouns`), or another version of it.
    """
    from benchmark.labels import imagenet

    lines = read_nouns(nouns)
    nodes = add_ancestors(parse_nouns(lines), imagenet.synsets())
    records = (f'  "{id}": {json.dumps(vars(node), ensure_ascii=False)}' for id, node in nodes.items())
    head = '{"version": "3.0", "synsets": {\n'
    write_text(folder / EXTRACT.name, head + ",\n".join(records) + "\n}}\n")
    licence = (line.strip().partition(" ")[2] for line in lines if line.startswith("  "))  # less line numbers
    write_text(folder / LICENCE.name, "\n".join(licence) + "\n")
    return len(nodes)
