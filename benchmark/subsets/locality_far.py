"""A random draw of what a base gets right, by class: what `benchmark.locality` writes to ``OUT/far``."""

from __future__ import annotations

from functools import partial

from benchmark.data.scored import FAR
from benchmark.subsets.locality import read_by_class
from benchmark.subsets.subset import Subset

SUBSET = Subset(
    name=FAR,
    option="Folder with one subfolder a class, such as OUT/far of benchmark.locality.",
    origin="a random draw of the images that the base gets right, whatever its margin (`benchmark.locality`).",
    passed_on=False,
    read=partial(read_by_class, subset=FAR),
)
