"""Real components of Stable Diffusion and of CLIP, tiny and random: the pipeline's classes are the real ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from generation.measures.networks import TINY, make_random_pipeline

WIDTH, SIZE = 16, 16  # of the text encoder; pixels a side of what the pipeline makes
WORDS = "an oil painting of a photo the under stage light stingray bullfrog corn rendering cropped good clean"


def save_pipeline(folder: Path, prediction: str = "epsilon") -> Path:
    """Write a Stable Diffusion pipeline with random weights into `folder`, in diffusers' layout."""
    from diffusers import EulerDiscreteScheduler

    pipe = make_random_pipeline(TINY, torch.device("cpu"))
    pipe.scheduler = EulerDiscreteScheduler(num_train_timesteps=100, prediction_type=prediction, steps_offset=1)
    pipe.save_pretrained(folder)
    return folder


def break_pipeline(folder: Path, cause: str) -> None:
    """Make a saved pipeline show nothing: by a safety checker that refuses all, NaN, or a decoder of one colour."""
    from diffusers import StableDiffusionPipeline
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPConfig, CLIPImageProcessor

    pipe = StableDiffusionPipeline.from_pretrained(folder)
    if cause == "safety checker":
        side = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
        vision = {**side, "image_size": SIZE, "patch_size": 8}
        checker = StableDiffusionSafetyChecker(CLIPConfig(text_config=side, vision_config=vision, projection_dim=4))
        checker.concept_embeds_weights.data.fill_(-1)
        square = {"height": SIZE, "width": SIZE}
        extractor = CLIPImageProcessor(size={"shortest_edge": SIZE}, crop_size=square)
        pipe.register_modules(safety_checker=checker, feature_extractor=extractor)
        pipe.register_to_config(requires_safety_checker=True)
    else:
        last = pipe.vae.decoder.conv_out
        last.weight.data.fill_(float("nan") if cause == "overflow" else 0.0)
    pipe.save_pretrained(folder)


@pytest.fixture(scope="session")
def pipeline_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pipeline(tmp_path_factory.mktemp("tiny-sd"))


@pytest.fixture(scope="session")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tokens for classes 6 (a bare tensor, as released) and 987 (as diffusers writes them)."""
    folder = tmp_path_factory.mktemp("tokens")
    random = torch.Generator().manual_seed(1)
    torch.save(torch.nn.Parameter(torch.randn(WIDTH, generator=random)), folder / "6.bin")
    torch.save({"<corn>": torch.randn(WIDTH, generator=random)}, folder / "987.bin")
    return folder


@pytest.fixture
def pictures() -> Callable[[Path, dict[str, int]], Path]:
    """Make a folder by class of so many pictures of coloured noise."""

    def make(folder: Path, counts: dict[str, int], seed: int = 0) -> Path:
        random = np.random.default_rng(seed)
        for name, count in counts.items():
            (folder / name).mkdir(parents=True)
            for number in range(count):
                coarse = random.integers(0, 256, (4, 4, 3), dtype=np.uint8)
                Image.fromarray(coarse).resize((40, 36)).save(folder / name / f"{number}.png")
        return folder

    return make


@pytest.fixture
def tiny_clip(tmp_path: Path) -> tuple[str, str]:
    """Name of an open_clip model with a configuration of its own, and the file of its random weights."""
    import open_clip

    config = tmp_path / "clip" / "tiny-clip.json"
    config.parent.mkdir()
    tower = {"layers": 1, "width": 32}
    text = {**tower, "context_length": 20, "vocab_size": 49408, "heads": 2}
    vision = {**tower, "image_size": 16, "patch_size": 8, "head_width": 16}
    config.write_text(json.dumps({"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}))
    open_clip.add_model_config(config)
    torch.manual_seed(3)
    weights = tmp_path / "clip" / "weights.pt"
    torch.save(open_clip.create_model("tiny-clip").state_dict(), weights)
    return "tiny-clip", str(weights)
