"""The family of a model is that of its type; whatever has none is refused where it is first asked for."""

from __future__ import annotations

import pytest
import timm
import torch

from benchmark.core.errors import UserError
from benchmark.models.checks import check_supported
from benchmark.models.family import family_of
from benchmark.models.vit import Cut, forward_tail
from tests.conftest import small_vit


def test_a_type_without_a_family_is_refused_with_its_name() -> None:
    with pytest.raises(UserError, match="it is a ResNet"):
        forward_tail(timm.create_model("resnet10t"), torch.zeros(1, 5, 24), Cut(0), {})


def test_a_derived_type_computes_as_its_family_does_and_is_not_supported_as_one() -> None:
    """A parametrised model has a type of its own; another architecture's may forward in another way."""
    model = small_vit()
    derived = small_vit()
    derived.__class__ = type("Derived", (type(model),), {})
    assert family_of(derived) is family_of(model)
    check_supported(model)
    with pytest.raises(UserError, match="it is a Derived"):
        check_supported(derived)
