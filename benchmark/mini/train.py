"""Train the two embedded base models, `mini` and `mini-strong`, from the emoji drawings.

`make` is what `benchmark.rebuild models` calls. Both models are the same standard timm VisionTransformer (12 blocks,
width 96, linear patch embedding, class token). `mini` sees three styles. `mini-strong` sees all ten, the shift styles
among them: it is an oracle-like reference that stands for the stronger model *and* for the two people who verify
labels, not an example of better generalisation. Its training views are drawn from another random stream than the
data's.

What made so small a ViT learn from so few drawings: plain views first and wide ones later, Xavier
initialisation with halved residual projections, a wide position embedding, and Muon on the block matrices.
"""

from __future__ import annotations

import json
import logging
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.core.files import cache_folder, write_bytes, write_text
from benchmark.mini.config import timm_config

if TYPE_CHECKING:
    import torch
    from torch import nn

log = logging.getLogger(__name__)

MODEL = "vit_tiny_patch16_224"
MODEL_ARGS: dict[str, Any] = {"img_size": 64, "patch_size": 16, "embed_dim": 96, "depth": 12, "num_heads": 6}
MEAN = STD = (0.5, 0.5, 0.5)
CONFIG = timm_config(MODEL, MODEL_ARGS["embed_dim"], MODEL_ARGS, MEAN, STD, "cc-by-sa-4.0")


@dataclass(frozen=True)
class MiniRecipe:
    """All settings that decide the weights. Training ends by steps, so that the same seed gives the same model."""

    styles: tuple[str, ...]
    steps: int
    seed: int
    batch: int = 128
    muon_lr: float = 0.02
    adamw_lr: float = 2e-3
    weight_decay: float = 0.02
    warmup: float = 0.03  # share of the steps
    decay: float = 0.5  # share of the steps, at the end, over which the learning rate falls to zero
    plain_only: float = 0.4  # share of the steps before the first wide view
    wide_share: float = 0.5  # of each batch, from then on


def recipes() -> dict[str, MiniRecipe]:
    """The recipes of the two shipped models."""
    from benchmark.mini.emoji import BASE_STYLES, STYLES

    return {
        "mini": MiniRecipe(BASE_STYLES, steps=800, seed=1),
        "mini-strong": MiniRecipe(tuple(STYLES), steps=2000, seed=2),
    }


def new_model(seed: int) -> nn.Module:
    """The untrained network, initialised by the recipe."""
    import timm
    import torch
    from torch import nn

    torch.manual_seed(seed)
    model: Any = timm.create_model(MODEL, num_classes=1000, **MODEL_ARGS)
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and name != "head":
            gain = 0.5 if name.endswith(("attn.proj", "mlp.fc2")) else 1.0
            nn.init.xavier_uniform_(module.weight, gain)
    nn.init.xavier_uniform_(model.patch_embed.proj.weight.view(model.embed_dim, -1))
    nn.init.normal_(model.pos_embed, std=0.3)
    return model


def train(recipe: MiniRecipe, pixels: torch.Tensor, labels: torch.Tensor, device: str = "cpu") -> nn.Module:
    """Train a new model on random views.

    Args:
        recipe: steps, seed, learning rates.
        pixels: (n, 4, s, s) float32, the drawings, premultiplied.
        labels: (n,) int64.
        device: where the network is; views are made on the CPU, so that all devices see the same.
    """
    import torch
    import torch.nn.functional as F

    from benchmark.mini.views import PLAIN, WIDE, make_views, normalise

    model = new_model(recipe.seed).to(device).train()
    matrices = [p for n, p in model.named_parameters() if n.startswith("blocks.") and p.ndim == 2]
    matrix_ids = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in matrix_ids]
    optimisers = [
        torch.optim.Muon(matrices, lr=recipe.muon_lr, weight_decay=recipe.weight_decay),
        torch.optim.AdamW(rest, lr=recipe.adamw_lr, weight_decay=recipe.weight_decay, betas=(0.9, 0.98)),
    ]
    random = torch.Generator().manual_seed(recipe.seed)
    start, shown, order = time.monotonic(), 0.0, torch.empty(0, dtype=torch.int64)
    for step in range(recipe.steps):
        progress = step / recipe.steps
        factor = min(1.0, (progress + 1e-3) / recipe.warmup, (1 - progress) / recipe.decay)
        for optimiser in optimisers:
            for group in optimiser.param_groups:
                group["lr"] = optimiser.defaults["lr"] * factor
        while len(order) < recipe.batch:
            order = torch.cat([order, torch.randperm(len(pixels), generator=random)])
        chosen, order = order[: recipe.batch], order[recipe.batch :]
        n_wide = int(recipe.batch * recipe.wide_share) if progress >= recipe.plain_only else 0
        views = torch.cat(
            [make_views(pixels[i], r, random) for i, r in ((chosen[:n_wide], WIDE), (chosen[n_wide:], PLAIN)) if len(i)]
        )
        loss = F.cross_entropy(model(normalise(views, MEAN, STD).to(device)), labels[chosen].to(device))
        loss.backward()
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad()
        seconds = time.monotonic() - start
        if seconds - shown > 20 or step + 1 == recipe.steps:
            shown, left = seconds, seconds / (step + 1) * (recipe.steps - step - 1)
            log.info("step %d/%d, loss %.3f, %.0f s left", step + 1, recipe.steps, loss.item(), left)
    return model.eval()


def measure_accuracy(model: nn.Module, pixels: torch.Tensor, labels: torch.Tensor, regime: str, seed: int) -> float:
    """Share of new views, two of each drawing, that the model gets right."""
    import torch

    from benchmark.mini.views import REGIMES, make_views, normalise

    device = next(model.parameters()).device
    random = torch.Generator().manual_seed(seed)
    n_right = 0
    with torch.no_grad():
        for rows in torch.arange(len(pixels)).repeat(2).split(256):
            views = make_views(pixels[rows], REGIMES[regime], random)
            n_right += int((model(normalise(views, MEAN, STD).to(device)).argmax(1).cpu() == labels[rows]).sum())
    return n_right / (2 * len(pixels))


def save(model: nn.Module, record: dict, folder: Path) -> None:
    """Write timm's own local-dir format (config.json, model.safetensors) and training.json, atomically."""
    from safetensors.torch import save as to_bytes

    weights = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    write_bytes(folder / "model.safetensors", to_bytes(weights, {"format": "pt"}))
    write_text(folder / "config.json", json.dumps(CONFIG, indent=2) + "\n")
    write_text(folder / "training.json", json.dumps(record, indent=2) + "\n")


def make(name: str, out: Path, steps: int | None, device: str, threads: int) -> dict[str, Any]:
    """Train one of the shipped models and write it as a timm folder.

    Args:
        name: a name of `recipes`.
        out: the folder for config.json, model.safetensors and training.json.
        steps: optimiser steps instead of the recipe's.
        device: where to train; only the CPU repeats the shipped weights, and only with one thread.
        threads: CPU threads.

    Returns:
        Accuracy on new views, by regime and style.
    """
    from dataclasses import replace

    import timm
    import torch

    from benchmark.mini.emoji import STYLES, render
    from benchmark.mini.views import premultiply

    torch.set_num_threads(threads)
    recipe = recipes()[name]
    recipe = replace(recipe, steps=steps) if steps else recipe
    drawings, straight = render(cache_folder() / "emoji")
    pixels, labels = premultiply(straight), torch.tensor([d.label for d in drawings])
    positions = {s: torch.tensor([i for i, d in enumerate(drawings) if d.style == s]) for s in STYLES}
    own = torch.cat([positions[s] for s in recipe.styles])
    log.info("%s: %d drawings, %d classes, %d steps", name, len(own), len(labels[own].unique()), recipe.steps)
    start = time.monotonic()
    model = train(recipe, pixels[own], labels[own], device)
    seconds = time.monotonic() - start
    scores = {
        regime: {
            s: round(measure_accuracy(model, pixels[i], labels[i], regime, seed=1000), 4) for s, i in positions.items()
        }
        for regime in ("plain", "wide")
    }
    record = {
        "model": name,
        "recipe": asdict(recipe),
        "drawings": len(own),
        "seconds": round(seconds),
        "device": device,
        "threads": threads,
        "processor": platform.machine(),
        "versions": {"torch": torch.__version__, "timm": timm.__version__, "python": platform.python_version()},
        "accuracy_on_new_views": scores,
    }
    save(model.cpu(), record, out)
    return scores
