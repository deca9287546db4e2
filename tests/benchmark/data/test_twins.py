"""Images that stand twice, and the counts of a build: one's own data, and the authors' archives."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmark.core.errors import UserError
from benchmark.data.dataset import load
from tests.conftest import rows_of, write_split

GROUPS = {("890-430", "natural"): 4, ("17", "oil_painting"): 3}


def rows() -> tuple[list[dict], list[dict]]:
    return rows_of(GROUPS, seed=1), rows_of({(None, "locality"): 5}, seed=2)


def write(folder: Path, edit: list[dict], locality: list[dict], build: dict | None = None) -> str:
    write_split(folder / "data", "edit", edit)
    write_split(folder / "data", "locality", locality)
    if build is not None:
        (folder / "build.json").write_text(json.dumps(build))
    return str(folder)


def build_json(expected: tuple[int, int, int] = (4, 3, 5), partial: bool = True) -> dict:
    """A build of these counts, beside counts of the paper's."""
    groups = [
        {"id": id, "name": id, "subset": subset, "count": count, "expected": of_paper}
        for ((id, subset), count), of_paper in zip(GROUPS.items(), expected[:2], strict=True)
    ]
    locality = {"count": 5, "expected": expected[2]}
    return {"name": "x", "version": "1", "partial": partial, "groups": groups, "locality": locality}


def twin(edit: list[dict], locality: list[dict], case: str) -> None:
    """Let one image stand twice."""
    source, target = {
        "in a group": (edit[0], edit[2]),
        "in two groups": (edit[0], edit[5]),
        "in both splits": (edit[0], locality[1]),
        "in the locality set": (locality[0], locality[3]),
    }[case]
    target.update(image=source["image"], sha256=source["sha256"])


@pytest.mark.parametrize("case", ["in a group", "in two groups", "in both splits", "in the locality set"])
def test_an_image_that_stands_twice_is_refused_in_data_of_ones_own(tmp_path: Path, case: str) -> None:
    edit, locality = rows()
    load(write(tmp_path / "x", edit, locality))
    twin(edit, locality, case)
    with pytest.raises(UserError, match=r"1 images stand twice, .* leave one of each away"):
        load(write(tmp_path / "x", edit, locality))
    with pytest.raises(UserError, match="1 images stand twice"):
        load(write(tmp_path / "x", edit, locality, build_json((2354, 860, 2071))))
    assert load(write(tmp_path / "x", edit, locality, build_json())).members("890-430").size == 4, (
        "the authors' archives"
    )
    assert load(write(tmp_path / "x", edit, locality, build_json((9, 9, 9), partial=False))).members("17").size == 3


def test_a_build_has_the_rows_that_it_counts(tmp_path: Path) -> None:
    edit, locality = rows()
    load(write(tmp_path / "x", edit, locality, build_json()))
    for changed, problem in (
        ((edit[1:], locality), "3 images of 890-430, but build.json counts 4"),
        ((edit[:4], locality), "0 images of 17, but build.json counts 3"),
        ((edit, locality[:4]), "4 images of locality, but build.json counts 5"),
        (([*edit, *rows_of({("3-4", "mine"): 2}, seed=3)], locality), "2 images of 3-4, but build.json counts 0"),
    ):
        with pytest.raises(UserError, match=problem):
            load(write(tmp_path / "x", *changed))
    for groups in (7, [7], [{"id": "17"}], [{"id": "17", "count": "many", "expected": 3}]):
        with pytest.raises(UserError, match=r"build\.json: no counts"):
            load(write(tmp_path / "x", edit, locality, {**build_json(), "groups": groups}))
