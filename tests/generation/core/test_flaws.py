"""Pictures that show nothing are found, and made again from the next seed."""

from __future__ import annotations

import numpy as np
import pytest

from generation.core.flaws import describe_thrown_away, find_flaw, make_sound

GRADIENT = np.linspace(0, 1, 64)[None, :, None].repeat(48, 0).repeat(3, 2)


def uniform(*colour: int) -> np.ndarray:
    return np.full((48, 64, 3), colour, np.uint8)


def with_value(value: float, place: tuple[int, ...] = (3, 5, 1)) -> np.ndarray:
    pixels = GRADIENT.copy()
    pixels[place] = value
    return pixels


NOISE = np.random.default_rng(0).integers(0, 3, (48, 64, 3))


@pytest.mark.parametrize(
    ("pixels", "flaw"),
    [
        (uniform(0, 0, 0), "black"),
        (NOISE.astype(np.uint8), "black"),
        (np.zeros((48, 64, 3), np.float32), "black"),
        (uniform(255, 255, 255), "of one colour"),
        (uniform(200, 30, 40), "of one colour"),
        ((uniform(90, 200, 30) + NOISE).astype(np.uint8), "of one colour"),
        (np.full((48, 64, 3), 0.5), "of one colour"),
        (with_value(np.nan), "not finite"),
        (with_value(np.inf), "not finite"),
        (with_value(np.nan, (slice(None),)), "not finite"),
        (GRADIENT, ""),
        (np.uint8(GRADIENT * 12), ""),  # a dark room
        (uniform(250, 250, 250) - np.uint8(GRADIENT * 12), ""),  # snow
        (uniform(0, 0, 0) + np.uint8([0, 0, 40]) * np.uint8(GRADIENT > 0.8), ""),  # in one channel alone
    ],
)
def test_a_picture_that_shows_nothing_is_told_why(pixels: np.ndarray, flaw: str) -> None:
    assert find_flaw(pixels) == flaw


def test_the_next_seed_is_tried_for_those_that_failed_and_for_no_others() -> None:
    """Seeds below 0 make black pictures: the first picture is sound at once, the second at last, the third never."""
    calls = []

    def make(seeds):
        calls.append(list(seeds))
        return [GRADIENT * seed if seed > 0 else GRADIENT * 0 for seed in seeds]

    first, second, third = make_sound([[1, 2, 3], [-1, -2, 4], [-5, -6, -7]], make)
    assert calls == [[1, -1, -5], [-2, -6], [4, -7]]
    assert first.columns == {"seed": 1, "thrown_away": []} and first.pixels is not None
    black = [{"seed": seed, "flaw": "black"} for seed in (-1, -2, -5, -6, -7)]
    assert second.columns == {"seed": 4, "thrown_away": black[:2]}
    assert np.array_equal(second.pixels, GRADIENT * 4)
    assert (third.pixels, third.columns) == (None, {"seed": None, "thrown_away": black[2:]})
    assert describe_thrown_away([made.columns for made in (first, second, third)]) == "5 thrown away (5 black)"
    assert describe_thrown_away([first.columns, {"file": "of an older table"}]) == "0 thrown away"
