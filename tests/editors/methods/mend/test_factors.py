"""The factors multiply to autograd's gradients of the weights."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F

from benchmark.models.vit import last_ffn_matrices
from editors.methods.mend.factors import factors
from tests.conftest import small_vit
from tests.editors.conftest import failures
from tests.editors.methods.mend.conftest import CUT, MODEL, NAMES, tokens_of


def test_it_edits_the_last_three_ffns() -> None:
    blocks = [int(name.split(".")[1]) for name in NAMES]
    assert blocks == [3, 3, 4, 4, 5, 5] and CUT.block == 3 and CUT.ffn
    assert len(last_ffn_matrices(small_vit(depth=2))) == 4


def test_their_product_is_autograds_gradient_of_all_six_matrices() -> None:
    images, labels = failures(3, samples=2)
    result = factors(MODEL, tokens_of(images), labels, CUT, {})
    assert tuple(result.pairs) == NAMES
    for failure in range(3):
        for sample in range(2):
            plain = copy.deepcopy(MODEL)
            weights = [plain.get_parameter(name).requires_grad_() for name in NAMES]
            logits = plain(images[failure, sample : sample + 1])
            loss = F.cross_entropy(logits, labels[failure, sample : sample + 1])
            torch.testing.assert_close(result.logits[failure, sample], logits[0].detach())
            torch.testing.assert_close(result.loss[failure, sample], loss.detach())
            for name, gradient in zip(NAMES, torch.autograd.grad(loss, weights), strict=True):
                x, d = (side[failure, sample] for side in result.pairs[name])
                assert gradient.abs().max() > 1e-6
                torch.testing.assert_close(d.mT @ x, gradient, rtol=1e-9, atol=1e-12)
    assert result.pairs[NAMES[-1]][0].shape[2] == 1 < result.pairs[NAMES[0]][0].shape[2]


def test_under_overrides_each_failure_has_the_gradient_of_its_own_weights() -> None:
    images, labels = failures(2)
    generator = torch.Generator().manual_seed(0)
    base = {name: MODEL.get_parameter(name) for name in NAMES}
    own = {
        name: w + 0.1 * torch.randn(2, *w.shape, generator=generator, dtype=torch.float64) for name, w in base.items()
    }
    result = factors(MODEL, tokens_of(images), labels, CUT, own)
    for failure in range(2):
        plain = copy.deepcopy(MODEL)
        plain.load_state_dict({name: weight[failure] for name, weight in own.items()}, strict=False)
        weights = [plain.get_parameter(name).requires_grad_() for name in NAMES]
        loss = F.cross_entropy(plain(images[failure]), labels[failure])
        for name, gradient in zip(NAMES, torch.autograd.grad(loss, weights), strict=True):
            x, d = (side[failure, 0] for side in result.pairs[name])
            torch.testing.assert_close(d.mT @ x, gradient, rtol=1e-9, atol=1e-12)


def test_nothing_of_the_base_learns_of_it() -> None:
    images, labels = failures(1)
    result = factors(MODEL, tokens_of(images), labels, CUT, {})
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in MODEL.parameters())
    assert not any(side.requires_grad for pair in result.pairs.values() for side in pair)
