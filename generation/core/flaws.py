"""Pictures that show nothing: found in one place, thrown away, and made again from another seed.

A safety checker blackens what it refuses, half precision overflows to numbers that are none, and a network can settle
on one colour. None of these fails, so each picture is looked at before it is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

TRIES = 4  # seeds of one image; chosen here: at one flaw in five, two images of a thousand are missing in the end
FLAT = 2.0  # of 255 levels: less than a picture varies that shows anything (the mini's calmest has 12)

Make = Callable[[Sequence[int]], Sequence[np.ndarray]]


def find_flaw(pixels: np.ndarray) -> str:
    """The reason why a picture (h, w, c) shows nothing: "not finite", "black" or "of one colour"; else "".

    Pixels are levels of 0 to 255 (integers) or of 0 to 1 (floats).
    """
    if not np.isfinite(pixels).all():
        return "not finite"
    levels = pixels.astype(np.float64) * (255 if np.issubdtype(pixels.dtype, np.floating) else 1)
    if levels.std((0, 1)).max() >= FLAT:
        return ""
    return "black" if levels.mean() < FLAT else "of one colour"


@dataclass(frozen=True)
class Made:
    """The picture of the first seed that shows something, and the flaw of each seed before it.

    `pixels` (h, w, c) and `seed` are None where all seeds were tried in vain.
    """

    pixels: np.ndarray | None = None
    seed: int | None = None
    thrown_away: list[dict[str, Any]] = field(default_factory=list)

    @property
    def columns(self) -> dict[str, Any]:
        """The metadata of the picture: its seed, and the seed and flaw of each that was thrown away for it."""
        return {"seed": self.seed, "thrown_away": self.thrown_away}


def make_sound(seeds: Sequence[Sequence[int]], make: Make) -> list[Made]:
    """Make a picture of each list of seeds: of the first seed that shows something.

    The same seeds make the same pictures, whatever was thrown away: all first seeds are taken together, then the
    second ones of those that failed, and so on.

    Args:
        seeds: by picture, the seeds to try in turn.
        make: pictures (h, w, c) of some seeds.
    """
    results = [Made() for _ in seeds]
    failed = list(range(len(seeds)))
    for attempt in range(max(map(len, seeds), default=0)):
        failed = [position for position in failed if attempt < len(seeds[position])]
        if not failed:
            break
        tried = [seeds[position][attempt] for position in failed]
        for position, seed, pixels in zip(tuple(failed), tried, make(tried), strict=True):
            earlier = results[position].thrown_away
            if flaw := find_flaw(pixels):
                results[position] = Made(thrown_away=[*earlier, {"seed": seed, "flaw": flaw}])
            else:
                results[position] = Made(pixels, seed, earlier)
                failed.remove(position)
    return results


def describe_thrown_away(rows: Iterable[Mapping[str, Any]]) -> str:
    """The number of pictures that were thrown away for these rows of a table, in words, by flaw."""
    flaws = Counter(thrown["flaw"] for row in rows for thrown in row.get("thrown_away", ()))
    kinds = ", ".join(f"{count:,} {flaw}" for flaw, count in sorted(flaws.items()))
    return f"{flaws.total():,} thrown away" + (f" ({kinds})" if kinds else "")
