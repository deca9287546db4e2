"""A search's folder and its pool, small and made by hand: two groups of the paper, six pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mad.review.groups import Candidates, read_candidates
from mad.review.images import PoolImages, find_images
from mad.review.session import Session
from mad.review.store import FILE, AnswerStore

PAIRS = {"890-430": "volleyball-basketball", "134-517": "crane-crane"}
MEMBERS = {"890-430": ["a.jpg", "b.png", "c.webp", "more/d.jpg"], "134-517": ["e.png", "f.jpg"]}


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    """Pictures of noise, each another."""
    folder = tmp_path / "pool"
    (folder / "more").mkdir(parents=True)
    random = np.random.default_rng(0)
    for image in [image for images in MEMBERS.values() for image in images]:
        Image.fromarray(random.integers(0, 256, (24, 40, 3), dtype=np.uint8)).save(folder / image)
    return folder


@pytest.fixture
def write_search(tmp_path: Path, pool: Path) -> Callable[..., Path]:
    """Writes a search's folder, by default of `MEMBERS`."""

    def write(members: dict[str, list[str]] | None = None) -> Path:
        folder = tmp_path / "search"
        folder.mkdir(exist_ok=True)
        members = MEMBERS if members is None else members
        groups = [
            {
                "group_id": id,
                "group": PAIRS[id],
                "size": len(members[id]),
                "strong_index": id.split("-")[0],
                "base_index": id.split("-")[1],
            }
            for id in members
        ]
        columns = ["group_id", "group", "size", "strong_index", "base_index"]
        pd.DataFrame(groups, columns=columns).to_csv(folder / "groups.csv", index=False)
        rows = [(id, image, rank) for id, images in members.items() for rank, image in enumerate(images, 1)]
        membership = pd.DataFrame(rows, columns=["group_id", "image", "rank"])
        membership.to_csv(folder / "membership.csv", index=False)
        search = {"command": {"pool": str(pool)}, "pool": {"images": 6}}
        (folder / "search.json").write_text(json.dumps(search))
        return folder

    return write


@pytest.fixture
def search_folder(write_search) -> Path:
    return write_search()


@pytest.fixture
def candidates(search_folder: Path) -> Candidates:
    return read_candidates(search_folder)


@pytest.fixture
def pool_images(candidates: Candidates) -> PoolImages:
    return find_images(candidates)


@pytest.fixture
def store(search_folder: Path):
    store = AnswerStore(search_folder / FILE)
    yield store
    store.close()


@pytest.fixture
def session(candidates: Candidates, pool_images: PoolImages, store: AnswerStore) -> Callable[[str], Session]:
    """An annotator's session, by name; all answer into one file."""
    return lambda annotator: Session(candidates.images, pool_images, store, annotator)


@pytest.fixture
def answer_all(session) -> Callable[[str, str], None]:
    """Answers for an annotator, in order: "y" accepts, "n" rejects."""

    def answer(annotator: str, answers: str) -> None:
        own = session(annotator)
        for letter in answers:
            own.answer(own.view()["item"]["key"], letter == "y")

    return answer
