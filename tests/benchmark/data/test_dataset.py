"""Reading a benchmark, filtering it for a base, and what is said of a folder that is none."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.core.errors import UserError
from benchmark.data.dataset import Benchmark, load, read_split
from benchmark.data.groups import PAPER_LOCALITY
from benchmark.images.decode import decode
from benchmark.labels.imagenet import names
from benchmark.subsets.subset import paper_groups
from tests.conftest import PREPROCESSING, rows_of, write_split


def test_the_papers_counts() -> None:
    """SPEC, 2: 18 groups; 2,354 + 1,952 = 4,306 editing samples; 2,071 locality images; labels from the ids."""
    natural = [group for group in paper_groups() if group.subset == "natural"]
    assert len(paper_groups()) == 18 and len(natural) == 16
    assert sum(group.count for group in natural) == 2354
    assert sum(group.count for group in paper_groups()) == 4306
    assert PAPER_LOCALITY == 2071
    for group in natural:
        strong, base = map(int, group.id.split("-"))
        assert group.label == strong
        assert f"{names()[strong]}-{names()[base]}" == group.name


def test_groups_images_and_labels(small_benchmark: Benchmark) -> None:
    assert small_benchmark.groups == ["1-2", "3-4", "5-6", "line"]
    assert small_benchmark.members("3-4").tolist() == [4, 5, 6]
    images = small_benchmark.edit.images(PREPROCESSING, [6, 0])
    assert images.shape == (2, 3, 32, 32) and images.dtype == torch.float32
    by_hand = PREPROCESSING(decode(small_benchmark.edit.image_bytes(6)))
    torch.testing.assert_close(images[0], by_hand)


def test_only_what_the_base_gets_wrong_is_kept(small_benchmark: Benchmark) -> None:
    """Paper, A.3: for every base. D_l stays."""
    predictions = small_benchmark.edit.labels.copy()
    predictions[[1, 2, 9]] += 1
    filtered = small_benchmark.filter_for("small", predictions)
    assert filtered.edit.table["sha256"].tolist() == small_benchmark.edit.table["sha256"].iloc[[1, 2, 9]].tolist()
    assert [filtered.edit.image_bytes(i) for i in range(3)] == [small_benchmark.edit.image_bytes(i) for i in (1, 2, 9)]
    assert filtered.kept_counts == "pairs 2 of 8 (25%), line_drawing 1 of 5 (20%)"
    assert filtered.locality is small_benchmark.locality
    with pytest.raises(UserError, match="nothing to edit"):
        small_benchmark.filter_for("small", small_benchmark.edit.labels)


def test_the_fingerprint_sees_labels_groups_and_bytes(small_benchmark: Benchmark, tmp_path: Path) -> None:
    def written(change) -> str:
        rows = rows_of({("1-2", "pairs"): 3}, seed=1)
        change(rows)
        write_split(tmp_path / "x" / "data", "edit", rows)
        write_split(tmp_path / "x" / "data", "locality", rows_of({(None, "locality"): 2}, seed=2))
        return load(str(tmp_path / "x")).fingerprint

    other = rows_of({("1-2", "pairs"): 1}, seed=4)[0]
    prints = {
        written(lambda rows: None),
        written(lambda rows: rows[0].update(label=999)),
        written(lambda rows: rows[0].update(group_id="7-8")),
        written(lambda rows: rows[0].update({key: other[key] for key in ("image", "sha256")})),
        written(lambda rows: rows.reverse()),
    }
    assert len(prints) == 5
    assert written(lambda rows: rows[0].update(drawing="other")) in prints


def test_what_is_no_benchmark_says_so(tmp_path: Path, small_data: Path) -> None:
    with pytest.raises(UserError, match='did you mean "mini"'):
        load("minni")
    with pytest.raises(UserError, match="no train2-"):
        read_split(small_data / "data", "train2")
    (small_data / "data" / "locality-00000-of-00001.parquet").write_bytes(b"PAR1 cut off")
    with pytest.raises(UserError, match=r"locality-00000-of-00001\.parquet: not a parquet file"):
        load(str(small_data))
    write_split(small_data / "data", "locality", [{"label": 3}])
    with pytest.raises(UserError, match="lacks the column"):
        load(str(small_data))


def test_an_image_that_does_not_decode_is_named(tmp_path: Path) -> None:
    rows = rows_of({("1-2", "pairs"): 2}, seed=1)
    rows[1]["image"]["bytes"] = b"<html>"
    rows[1]["sha256"] = hashlib.sha256(b"<html>").hexdigest()
    write_split(tmp_path / "data", "edit", rows)
    samples = read_split(tmp_path / "data", "edit")
    assert samples.images(PREPROCESSING, [0]).shape[0] == 1
    with pytest.raises(UserError, match=rows[1]["sha256"][:12]):
        samples.images(PREPROCESSING)


def test_empty_selections_have_the_right_shape(small_benchmark: Benchmark) -> None:
    assert small_benchmark.edit.images(PREPROCESSING, []).shape == (0, 3, 32, 32)
    assert len(small_benchmark.edit.take(np.array([], int))) == 0
