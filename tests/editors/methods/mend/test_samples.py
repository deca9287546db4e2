"""Editing samples: what is wanted of them, that they are drawn by number, and what they hold."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from benchmark.core.errors import UserError
from benchmark.images.source import ImageSource, Selected
from benchmark.models.load import BaseModel
from benchmark.models.vit import forward_prefix
from editors.methods.mend import samples as module
from editors.methods.mend.samples import EditingSamples
from tests.editors.methods.mend.conftest import QUICK

RECIPE = QUICK.but(others=2, top_k=4)


def test_a_batch_is_its_samples_one_by_one(tiny: BaseModel, source: ImageSource) -> None:
    samples = EditingSamples(tiny, source, RECIPE, seed=0)
    together, alone = samples.batch(range(5, 9)), samples.batch([7])
    assert torch.equal(together.targets[2:3], alone.targets)
    for name in ("edited", "eval_tokens", "target_logits"):
        in_batch, by_itself = getattr(together, name)[2:3], getattr(alone, name)
        torch.testing.assert_close(in_batch, by_itself, rtol=1e-4, atol=1e-4)
    assert together.edited.shape[:2] == (4, 1) and together.eval_tokens.shape[:2] == (4, 3)
    assert together.target_logits.shape == (4, 2, 1000)
    moved = EditingSamples(tiny, source, RECIPE, seed=1).batch(range(5, 9))
    assert not torch.equal(moved.eval_tokens, together.eval_tokens)


def test_what_a_sample_holds(tiny: BaseModel, source: ImageSource, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = EditingSamples(tiny, source, RECIPE, seed=0)
    seen: list[int] = []

    class Watched(Selected):
        def require(self, position: int, draft: int | None = None) -> Image.Image:
            seen.append(position)
            return super().require(position, draft)

    monkeypatch.setattr(samples, "source", Watched(source, range(len(source))))
    for number in range(2):  # an epoch deals 8 images out to 2 samples of 3
        episode = samples.batch([number])
        own, again, *unrelated = seen[-4:]
        assert own == again and len({own, *unrelated}) == 3
        image = tiny.preprocessing(source.open(own))[None]
        torch.testing.assert_close(episode.edited[0], forward_prefix(tiny.module, image, samples.cut))
        assert not torch.allclose(episode.eval_tokens[0, 0], episode.edited[0, 0], atol=1e-3), (
            "the other view is another"
        )
        target, logits = int(episode.targets), tiny.module(image)[0]
        assert 1 <= logits.argsort(descending=True).tolist().index(target) <= 3
    assert len(set(seen)) == 6


def test_wanted_classes_are_all_of_the_top_k_but_the_first(tiny: BaseModel, source: ImageSource) -> None:
    samples = EditingSamples(tiny, source, RECIPE, seed=0)
    logits = torch.arange(1000.0)
    drawn = [samples.draw_target(logits, number) for number in range(200)]
    counts = {target: drawn.count(target) for target in set(drawn)}
    assert set(counts) == {998, 997, 996} and min(counts.values()) > 40
    assert samples.draw_target(logits, 3) == drawn[3]


def test_what_the_base_says_before(tiny: BaseModel, source: ImageSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "view", lambda image, preprocessing, least, random: preprocessing(image))
    samples = EditingSamples(tiny, source, RECIPE, seed=0)
    order = module.epoch_order(len(source), 0, 0).tolist()
    images = torch.stack([tiny.preprocessing(source.open(index)) for index in order[1:3]])
    torch.testing.assert_close(samples.batch([0]).target_logits[0], tiny.module(images), rtol=1e-4, atol=1e-4)


def test_too_few_images_are_named(tiny: BaseModel, source: ImageSource) -> None:
    with pytest.raises(UserError, match="8 images are less than one sample of 1"):
        EditingSamples(tiny, source, RECIPE.but(others=8), seed=0)
