"""The draw of the further images that must not change, on labels made up."""

from __future__ import annotations

import numpy as np

from benchmark.data.further import A_CLASS, choose_further


def test_ten_a_class_and_then_a_random_draw_of_new_images_that_the_base_gets_right() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 20, 2000)
    is_right = rng.random(2000) < 0.6
    is_right[labels == 3] = False
    is_right[np.flatnonzero(labels == 3)[:4]] = True
    twins = {row: row - 1 for row in range(1, 2000, 5)}  # one in five shows what the one before shows
    seen = {twins.get(row, row) for row in range(0, 2000, 7)}  # of another split
    asked = set(seen)

    def is_new(row: int) -> bool:
        image = twins.get(row, row)
        new = image not in asked
        asked.add(image)
        return new

    taken, far = choose_further(labels, is_right, [3, 5, 5, 11], is_new, rng, n_far=300)
    assert is_right[taken].all() and is_right[far].all() and len(far) == 300
    counts = {label: int((labels[taken] == label).sum()) for label in range(20)}
    assert counts.pop(3) <= 4 and {label for label, count in counts.items() if count} == {5, 11}
    assert counts[5] == counts[11] == A_CLASS
    images = [twins.get(row, row) for row in (*taken, *far)]
    assert len(set(images)) == len(images) and not seen & set(images)
    assert len(set(labels[far])) >= 19, "of any class"
