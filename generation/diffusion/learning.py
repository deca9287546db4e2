"""Textual inversion (Gal et al., ICLR 2023): learn one row of the text encoder's embedding from a few photographs.

The loop is that of diffusers' example with the settings of Dataset Interfaces' released code: 3,000 steps of AdamW at
5e-4 with one image a step, mirrored at random; the vector starts as the mean of the embeddings of the class's name, and
its norm stays what it was then. Nothing but the vector learns. The released code trains in half precision, this one
in float32.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from tqdm.auto import tqdm

from benchmark.core.errors import UserError
from benchmark.core.files import write_bytes
from benchmark.images.decode import BrokenImage
from benchmark.images.open import open_images
from benchmark.labels.imagenet import names
from generation.diffusion.batches import Model
from generation.diffusion.tokens import name_token

if TYPE_CHECKING:
    from PIL import Image

log = logging.getLogger(__name__)

RATE, DECAY = 5e-4, 1e-2  # of AdamW, as above
TEMPLATES = tuple(
    # "imagenet_templates_small" of the textual inversion article's code
    """a photo of a {}|a rendering of a {}|a cropped photo of the {}|the photo of a {}|a photo of a clean {}
a photo of a dirty {}|a dark photo of the {}|a photo of my {}|a photo of the cool {}|a close-up photo of a {}
a bright photo of the {}|a cropped photo of a {}|a photo of the {}|a good photo of the {}|a photo of one {}
a close-up photo of the {}|a rendition of the {}|a photo of the clean {}|a rendition of a {}|a photo of a nice {}
a good photo of a {}|a photo of the nice {}|a photo of the small {}|a photo of the weird {}|a photo of the large {}
a photo of a cool {}|a photo of a small {}""".replace("\n", "|").split("|")
)


class Learner:
    """A pipeline whose embedding has one more row, for the token `name`; only that row learns."""

    def __init__(self, pipe: Any, name: str, words: str) -> None:
        """Add `name` to the tokenizer, beginning as the mean of the embeddings of `words`."""
        from diffusers import DDPMScheduler

        self.pipe, self.schedule = pipe, DDPMScheduler.from_config(pipe.scheduler.config)
        embedding = pipe.text_encoder.get_input_embeddings()
        start = embedding.weight[pipe.tokenizer(words, add_special_tokens=False).input_ids].detach().float().mean(0)
        pipe.load_textual_inversion(start.cpu(), token=name)
        for part in (pipe.unet, pipe.vae, pipe.text_encoder):
            part.requires_grad_(False).eval()
        self.id = pipe.tokenizer.convert_tokens_to_ids(name)
        self.norm = start.norm()
        self.raw = start.clone().requires_grad_()

    @property
    def vector(self) -> torch.Tensor:
        """The token's embedding, (width,): of the norm that it began with."""
        return self.raw * self.norm / self.raw.norm()

    def loss(self, latents: torch.Tensor, noise: torch.Tensor, times: torch.Tensor, prompt: str) -> torch.Tensor:
        """Mean squared error of the denoiser: Gal et al., eq. 2; the target is noise or velocity, as the model has it.

        Args:
            latents: (n, c, h, w) of images, as the autoencoder scales them.
            noise: of the same shape, standard normal.
            times: (n,) int64 steps of the noise schedule.
            prompt: one text for all of them.
        """
        schedule, tokenizer = self.schedule, self.pipe.tokenizer
        ids = tokenizer(
            [prompt] * len(latents),
            padding="max_length",
            max_length=tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        ).input_ids.to(latents.device)
        embedding = self.pipe.text_encoder.get_input_embeddings()
        hook = embedding.register_forward_hook(
            lambda _, inputs, rows: torch.where((inputs[0] == self.id)[..., None], self.vector.to(rows), rows)
        )
        try:
            states = self.pipe.text_encoder(ids)[0]
        finally:
            hook.remove()
        predicted = self.pipe.unet(schedule.add_noise(latents, noise, times), times, states).sample
        target = noise if schedule.config.prediction_type == "epsilon" else schedule.get_velocity(latents, noise, times)
        return F.mse_loss(predicted.float(), target.float())

    def finish(self) -> torch.Tensor:
        """Write the vector into the pipeline's embedding, and return it, float32 (width,) on the CPU."""
        vector = self.vector.detach()
        weight = self.pipe.text_encoder.get_input_embeddings().weight
        weight.data[self.id] = vector.to(weight)
        return vector.cpu()


def learn(
    pipe: Any,
    images: Sequence[Image.Image],
    name: str,
    words: str,
    steps: int = 3000,
    rate: float = RATE,
    seed: int = 0,
    progress: bool = True,
) -> torch.Tensor:
    """Learn the token `name`, which begins as `words`, from RGB images; return its embedding, float32 (width,)."""
    learner = Learner(pipe, name, words)
    device = pipe.unet.device
    pixels = torch.stack([_to_pixels(image, pipe.unet.config.sample_size * pipe.vae_scale_factor) for image in images])
    optimizer = torch.optim.AdamW([learner.raw], lr=rate, weight_decay=DECAY)
    random = torch.Generator().manual_seed(seed)
    times = pipe.scheduler.config.num_train_timesteps
    bar = tqdm(range(steps), unit="step", desc=name, disable=not progress)
    for _ in bar:
        sample = pixels[torch.randint(len(pixels), (1,), generator=random)]
        if torch.rand((), generator=random) < 0.5:
            sample = sample.flip(-1)
        prompt = TEMPLATES[int(torch.randint(len(TEMPLATES), (), generator=random))].format(name)
        latents = encode(pipe, sample, random)
        noise = torch.randn(latents.shape, generator=random).to(device)
        loss = learner.loss(latents, noise, torch.randint(times, (1,), generator=random).to(device), prompt)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
    return learner.finish()


@torch.no_grad()
def encode(pipe: Any, pixels: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Images (n, 3, h, w) in -1..1 as latents, drawn from the autoencoder's distribution and scaled."""
    distribution = pipe.vae.encode(pixels.to(pipe.vae.device)).latent_dist
    mean, std = distribution.mean, distribution.std
    drawn = mean + std * torch.randn(mean.shape, generator=random).to(mean)
    return drawn * pipe.vae.config.scaling_factor


def learn_into(out: Path, photographs: Path, index: int, model: Model, steps: int) -> Path:
    """Learn the token of class `index` from a folder of photographs; save it as OUT/{index}.bin, as diffusers does.

    Raises:
        UserError: if no photograph decodes.
    """
    images = []
    source = open_images(photographs)
    for position, name in enumerate(source.ids):
        try:
            images.append(source.open(position))
        except BrokenImage as error:
            log.warning("%s %s; left out", photographs / name, error)
    if not images:
        raise UserError(f"{photographs}: must hold images to learn from, and none decodes; name another --learn-token")
    vector = learn(model.pipe, images, name_token(index), names()[index], steps)
    file = out / f"{index}.bin"
    buffer = io.BytesIO()
    torch.save({name_token(index): vector}, buffer)
    write_bytes(file, buffer.getvalue())
    return file


def _to_pixels(image: Image.Image, side: int) -> torch.Tensor:
    """The centre square of an image at the model's own size, (3, side, side) in -1..1."""
    from PIL import Image, ImageOps
    from torchvision.transforms.functional import to_tensor

    return to_tensor(ImageOps.fit(image, (side, side), Image.Resampling.BICUBIC)) * 2 - 1
