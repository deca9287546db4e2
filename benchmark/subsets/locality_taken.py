"""Images of the classes that edits take from, by class: what `benchmark.locality` writes to ``OUT/taken``."""

from __future__ import annotations

from functools import partial

from benchmark.data.scored import TAKEN
from benchmark.subsets.locality import read_by_class
from benchmark.subsets.subset import Subset

SUBSET = Subset(
    name=TAKEN,
    option="Folder with one subfolder a class, such as OUT/taken of benchmark.locality.",
    origin="images that the base gets right, of classes that it wrongly predicts in the groups (`benchmark.locality`).",
    passed_on=False,
    read=partial(read_by_class, subset=TAKEN),
)
