"""The label space of a table is read by name, or refused: a place in a list of names says nothing by itself."""

from __future__ import annotations

import random

import pytest

from benchmark.core.errors import UserError
from benchmark.labels.columns import UNKNOWN, read_labels
from benchmark.labels.imagenet import full_names, names, synsets

TRUE = [0, 2, 10, 134, 517, 890, 999]  # 134 and 517 are both called "crane"
NUMBERS = [str(index) for index in range(1000)]


def test_a_number_without_names_is_a_class_index() -> None:
    assert read_labels([999, 0, 890.0, None, UNKNOWN], "here").tolist() == [999, 0, 890, UNKNOWN, UNKNOWN]


@pytest.mark.parametrize("label", [1000, -7, -2, 5000, 1.5, float("nan"), float("inf"), 10**30, True, b"890", [3], {}])
def test_what_is_no_class_is_refused_and_named(label: object) -> None:
    with pytest.raises(UserError, match=r"here: the label .* is no class of ImageNet-1k") as error:
        read_labels([label], "here")
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


def test_text_is_read_by_name() -> None:
    assert read_labels(["n04540053", "volleyball", "890", "tench, Tinca tinca"], "here").tolist() == [890, 890, 890, 0]
    for text, problem in (
        ("crane", "classes 134 and 517"),
        ("n00000890", "no ImageNet class"),
        ("1000", "no ImageNet"),
    ):
        with pytest.raises(UserError, match=problem):
            read_labels([text], "here")


@pytest.mark.parametrize("words", [NUMBERS, synsets(), full_names(), names()], ids=["numbers", "ids", "full", "short"])
def test_names_in_imagenets_order_mean_their_place(words: list[str]) -> None:
    assert read_labels(TRUE, "here", words).tolist() == TRUE


@pytest.mark.parametrize("words", [NUMBERS, synsets(), full_names(), names()], ids=["numbers", "ids", "full", "short"])
@pytest.mark.parametrize("order", ["sorted", "reversed", "shuffled", "swapped"])
def test_names_in_another_order_mean_themselves(words: list[str], order: str) -> None:
    """ImageNetV2's folders are numbers, which `datasets` sorts as strings: "10" is the third."""
    places = list(range(1000))
    if order == "sorted":
        places.sort(key=lambda index: words[index])
    elif order == "swapped":
        places[3], places[4] = 4, 3
    else:
        places = places[::-1] if order == "reversed" else random.Random(0).sample(places, 1000)
    shown = [words[index] for index in places]
    distinct = [index for index in TRUE if words.count(words[index]) == 1]
    assert read_labels([places.index(index) for index in distinct], "here", shown).tolist() == distinct
    if "crane" in words:
        with pytest.raises(UserError, match="classes 134 and 517"):
            read_labels([places.index(134)], "here", shown)


def test_a_name_that_is_none_goes_by_its_place_among_imagenets() -> None:
    """The Hub's ImageNet calls the second crane "crane2", since names of a ClassLabel are distinct."""
    words = ["crane2" if index == 517 else name for index, name in enumerate(full_names())]
    assert read_labels(TRUE, "here", words).tolist() == TRUE
    with pytest.raises(UserError, match=r"crane2|did you mean"):
        read_labels([words[::-1].index("crane2")], "here", words[::-1])


def test_a_name_behind_a_number_or_an_id_must_agree_with_it() -> None:
    for words in (["134: crane", "517 crane"], ["n02012849 crane", "n03126707, crane"], ["134_crane", "517. crane"]):
        assert read_labels([0, 1], "here", words).tolist() == [134, 517]
        with pytest.raises(UserError):
            read_labels([0], "here", [words[0].replace("crane", "tench"), words[1]])


def test_names_of_another_label_space_are_refused() -> None:
    for words in ([str(index) for index in range(1, 1001)], ["airplane", "automobile", "bird"], ["truck", "5000"]):
        with pytest.raises(UserError):
            read_labels([0], "here", words)
    with pytest.raises(UserError, match="label 3 is no class"):
        read_labels([3], "here", ["0", "1", "2"])


def test_a_few_names_of_imagenet_are_read_by_name() -> None:
    assert read_labels([1, 0, UNKNOWN], "here", ["volleyball", "n01440764"]).tolist() == [0, 890, UNKNOWN]
