"""Scoring is measured: the same predictions both ways, and a check that finds other ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmark.images.decode import Preprocessing
from benchmark.models.load import BaseModel
from benchmark.models.vit import ffn_cut, forward_prefix
from leaderboard.judging.judge import Judge
from leaderboard.measures import scoring


def test_the_judge_and_the_plain_way_see_the_same_images_and_agree(base: BaseModel) -> None:
    pixels = scoring.noise_images(base.module, 20)
    edit = scoring.random_edit(base.module)
    judge = Judge(scoring.preprocessed(base), scoring.noise_benchmark(pixels, 4))
    group, locality, forward_path = judge.predict(edit, scoring.GROUP_ID)[:3]
    edited, unedited = scoring.plain_judge(base.module, edit, pixels)
    assert (len(group), len(locality), forward_path) == (4, 16, "tail")
    near, flips, changed = scoring.agreement(np.concatenate([group, locality]), edited, unedited)
    assert flips <= near
    assert 0 < changed == int((edited.argmax(-1) != unedited.argmax(-1)).sum())


def test_a_masked_edit_takes_the_short_tail_to_the_same_predictions_as_the_long_one(base: BaseModel) -> None:
    model = base.module
    pixels, edit = scoring.noise_images(model, 20), scoring.random_edit(model, sparsity=0.95)
    changed = [(value != model.get_parameter(name)).any() for name, value in edit.overrides.items()]
    judge = Judge(scoring.preprocessed(base), scoring.noise_benchmark(pixels, 4))
    ours = np.concatenate(judge.predict(edit, scoring.GROUP_ID)[:2])
    cut = ffn_cut(model, edit.overrides)
    long = scoring.long_tail(model, forward_prefix(model, pixels, cut), cut, edit)
    edited, unedited = scoring.plain_judge(model, edit, pixels)
    assert any(changed) and isinstance(model.blocks[5].attn.k_norm, torch.nn.Identity)
    torch.testing.assert_close(long, edited, rtol=0, atol=1e-3)
    assert scoring.agreement(ours, edited, unedited)[2] > 0


def test_a_prediction_that_differs_is_found_unless_it_is_near() -> None:
    sure, near = torch.tensor([[0.0, 1.0, 0.0]]), torch.tensor([[0.0, 1.0, 1.0 + 5e-5]])
    logits = torch.cat([sure, near])
    assert scoring.agreement(np.array([1, 1]), logits, logits) == (1, 1, 0)
    with pytest.raises(AssertionError, match="1 of 2"):
        scoring.agreement(np.array([0, 2]), logits, logits)


def test_decoding_is_measured() -> None:
    assert scoring.decoded_a_second(Preprocessing(32, 36, "bilinear", (0.5,) * 3, (0.5,) * 3), seconds=0.01) > 0
