"""The measurement of editing: its stop rule means something, and edits that differ are found."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from editors.core.edit import FailedEdit
from editors.measures import editing
from editors.methods.finetune import FineTune, FineTuneConfig
from tests.conftest import small_vit


def test_the_stop_rule_check_passes_and_means_something() -> None:
    distances = editing.stop_rule_check()
    assert distances.weights < editing.FLOAT64_DISTANCE and len(set(distances.steps)) > 1


def test_edits_that_differ_are_found() -> None:
    model = small_vit(dtype=torch.float64)
    images, labels = editing.failures(model, 2)
    edits = FineTune(FineTuneConfig(1e-3, 3)).edit_many(model, images[:, None], labels[:, None], [0, 0])
    plain = [editing.plain_edit(model, images[i : i + 1], labels[i : i + 1], 1e-3, 3) for i in range(2)]
    assert editing.compare(model, edits, plain, 1e-9).change < 1e-9
    with pytest.raises(AssertionError, match="steps"):
        editing.compare(model, edits, [plain[0], replace(plain[1], steps=2)], 1e-9)
    with pytest.raises(AssertionError, match="differ"):
        editing.compare(model, edits, plain[::-1], 1e-9)
    with pytest.raises(AssertionError, match="not finite"):
        editing.compare(model, [FailedEdit("not finite"), edits[1]], plain, 1e-9)
