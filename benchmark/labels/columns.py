"""Labels of a table's column, as classes of ImageNet-1k: the label space is read, never assumed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from benchmark.core.errors import LONGEST, UserError
from benchmark.labels.imagenet import CLASSES
from benchmark.labels.names import class_index, classes_called, known_class

if TYPE_CHECKING:
    import numpy as np

UNKNOWN = -1  # stands for the label of an image for which nobody recorded one
KNOWN_SHARE = 0.9  # least share of 1,000 names that name one class each, for the others to go by their place


def read_labels(values: Sequence[Any], where: str, names: Sequence[str] | None = None) -> np.ndarray:
    """ImageNet-1k class indices of a column's cells, int64 (n,); `UNKNOWN` for null and for the number -1.

    Args:
        values: the cells. A whole number is a class index; text names a class, as `class_index` reads it.
        where: a name of the column's place, for messages.
        names: the classes of a ``ClassLabel``, which then says what a whole number means (`read_names`).

    Raises:
        UserError: for a cell that is no class: a number out of range or with a fraction, NaN, truth values, lists.
    """
    import numpy as np

    plain = (int, float, str, type(None))
    strange = next((value for value in values if isinstance(value, bool) or not isinstance(value, plain)), None)
    if strange is not None:
        raise _no_class(strange, where)
    classes = range(CLASSES) if names is None else read_names(names, where)
    label_of: dict[Any, int] = {}
    for value in dict.fromkeys(values):
        if value is None or value == UNKNOWN:
            label_of[value] = UNKNOWN
        elif isinstance(value, str):
            label_of[value] = known_class(value, where)
        elif value not in range(len(classes)):  # NaN and fractions are in no range
            raise _no_class(value, where)
        else:
            label = classes[int(value)]
            label_of[value] = known_class(names[int(value)], where) if names and label is None else int(label or 0)
    return np.array([label_of[value] for value in values], np.int64)


def read_names(names: Sequence[str], where: str) -> list[int | None]:
    """The ImageNet-1k class of each name of a ``ClassLabel``, None where its name alone does not say it.

    Two classes are called "crane": of 1,000 names such a one goes by its place if all that name one class stand at
    theirs. Raises `UserError` for numbers of another label space, such as 1 to 1000.
    """
    classes = [_single_class(name) for name in names]
    if None in classes and all(name.strip().isdigit() for name in names):
        raise _no_class(names[classes.index(None)], where)
    known = [(place, index) for place, index in enumerate(classes) if index is not None]
    if len(names) == CLASSES and len(known) >= KNOWN_SHARE * CLASSES and all(place == index for place, index in known):
        return list(range(CLASSES))
    return classes


def _single_class(name: str) -> int | None:
    """The one class that a name means; of "134: crane" and "n02012849 crane" both parts must agree."""
    both = re.fullmatch(r"(\d+|n\d{8})[\s:,._-]+(.+)", name.strip())
    if both is not None and (index := class_index(both[1])) is not None:
        return index if index in classes_called(both[2]) else None
    try:
        return class_index(name)
    except UserError:  # the name of several classes
        return None


def _no_class(value: object, where: str) -> UserError:
    return UserError(
        f"{where}: the label {repr(value)[:LONGEST]} is no class of ImageNet-1k; labels must be whole numbers from 0 "
        f"to {CLASSES - 1}, synset ids or class names"
    )
