"""Textual inversion on tiny parts: the new row alone learns."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from benchmark.core.errors import UserError
from generation import oil_painting
from generation.diffusion import learning
from generation.diffusion.batches import load_model
from generation.diffusion.tokens import find_tokens
from tests.generation.conftest import SIZE, WIDTH, save_pipeline


@pytest.fixture
def pipe(pipeline_folder: Path):
    return load_model(str(pipeline_folder)).pipe


@pytest.fixture
def images() -> list[Image.Image]:
    random = np.random.default_rng(0)
    return [Image.fromarray(random.integers(0, 256, (20, 24, 3), dtype=np.uint8)) for _ in range(2)]


def fixed(pipe, images: list[Image.Image]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Latents, noise and times that stay the same."""
    random = torch.Generator().manual_seed(5)
    pixels = torch.stack([learning._to_pixels(image, SIZE) for image in images]).repeat(8, 1, 1, 1)
    latents = learning.encode(pipe, pixels, random)
    return latents, torch.randn(latents.shape, generator=random), torch.randint(100, (16,), generator=random)


def test_only_the_new_row_changes_and_the_loss_falls(pipe, images: list[Image.Image]) -> None:
    before = {part: copy.deepcopy(getattr(pipe, part).state_dict()) for part in ("unet", "vae", "text_encoder")}
    old = pipe.text_encoder.get_input_embeddings().weight.detach().clone()
    start = old[pipe.tokenizer("corn", add_special_tokens=False).input_ids].mean(0)
    vector = learning.learn(pipe, images, "<it>", "corn", steps=40, rate=0.05, progress=False)

    weight = pipe.text_encoder.get_input_embeddings().weight
    assert weight.shape[0] == len(old) + 1 and torch.equal(weight[: len(old)], old)
    assert torch.equal(weight[-1], vector) and not torch.allclose(vector, start)
    assert torch.allclose(vector.norm(), start.norm()), "its norm stays"
    for part, state in before.items():
        trained = getattr(pipe, part).state_dict()
        assert all(torch.equal(trained[key], state[key]) for key in state if state[key].shape == trained[key].shape)

    learner = learning.Learner(pipe, "<other>", "corn")
    arguments = (*fixed(pipe, images), "a photo of a <other>")
    with torch.no_grad():
        worse = learner.loss(*arguments)
        learner.raw.data = vector.clone()
        better = learner.loss(*arguments)
    assert better < worse


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_loss_and_gradient_are_those_of_a_plain_forward(
    tmp_path: Path, images: list[Image.Image], prediction: str
) -> None:
    """The vector written into the embedding, the schedule written out, the gradient from the embedding's own row."""
    pipe = load_model(str(save_pipeline(tmp_path / "sd", prediction))).pipe
    learner = learning.Learner(pipe, "<it>", "corn")
    latents, noise, times = fixed(pipe, images)
    loss = learner.loss(latents, noise, times, "a photo of a <it>")
    loss.backward()

    embedding = pipe.text_encoder.get_input_embeddings()
    embedding.weight.requires_grad_()
    ids = pipe.tokenizer(["a photo of a <it>"] * 16, padding="max_length", max_length=40, return_tensors="pt").input_ids
    assert (ids == learner.id).sum() == 16
    config = pipe.scheduler.config
    kept_signal = (1 - torch.linspace(config.beta_start, config.beta_end, 100)).cumprod(0)[times][:, None, None, None]
    signal, rest = kept_signal.sqrt(), (1 - kept_signal).sqrt()
    target = noise if prediction == "epsilon" else signal * noise - rest * latents
    predicted = pipe.unet(signal * latents + rest * noise, times, pipe.text_encoder(ids)[0]).sample
    plain = F.mse_loss(predicted, target)
    plain.backward()
    assert torch.allclose(loss, plain, rtol=1e-5)
    row, raw = embedding.weight.grad[learner.id], learner.raw.detach()
    along = raw / raw.norm()
    assert torch.allclose(learner.raw.grad, row - (row @ along) * along, atol=1e-7), "the norm is pinned"


def test_the_command_saves_a_token_that_the_pipeline_takes(
    pipeline_folder: Path, tmp_path: Path, images: list[Image.Image], capsys: pytest.CaptureFixture, caplog
) -> None:
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    for number, image in enumerate(images):
        image.save(photographs / f"{number}.png")
    (photographs / "broken.png").write_bytes(b"no image")
    options = {"classes": ("corn",), "model": str(pipeline_folder), "learn_token": photographs, "learn_steps": 2}
    oil_painting.main(tmp_path / "tokens", **options)
    assert "broken.png not an image; left out" in caplog.text and "--tokens" in capsys.readouterr().out
    token = find_tokens(str(tmp_path / "tokens"), [987], WIDTH)[987]
    pipe = load_model(str(pipeline_folder)).pipe
    pipe.load_textual_inversion(str(tmp_path / "tokens"), weight_name="987.bin")
    added = pipe.text_encoder.get_input_embeddings().weight[pipe.tokenizer.convert_tokens_to_ids("<imagenet-987>")]
    assert torch.equal(added, token.embedding[0])
    with pytest.raises(UserError, match="must be one class"):
        oil_painting.main(tmp_path / "tokens", **{**options, "classes": ()})
    with pytest.raises(UserError, match="no such file or folder"):
        oil_painting.main(tmp_path / "tokens", **{**options, "learn_token": tmp_path / "nowhere"})


def test_there_are_27_templates_with_one_place_each() -> None:
    assert len(set(learning.TEMPLATES)) == 27
    assert all(template.count("{}") == 1 and template == template.strip() for template in learning.TEMPLATES)
