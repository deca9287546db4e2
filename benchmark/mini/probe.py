"""Linear probes on DINOv2's ViT-S/14: the heads of `dinov2-mini` and `dinov2-mini-strong`.

`make` is what `benchmark.probe` calls. Both heads are one multinomial logistic regression on the class token of the
frozen backbone, as it reaches a head in timm. `dinov2-mini` sees the three styles that `mini` sees. Its rival
`dinov2-mini-strong` sees all ten: like `mini-strong` it is an oracle-like reference, not an example of better
generalisation.

The styles, the views and the penalty below were fixed and committed before any image was mined with these models. The
penalty has the least cross-entropy, of 1e-5, 1e-4 and 1e-3, on one of the three styles when it learns the other two.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.core.errors import UserError
from benchmark.core.files import cache_folder, like, write_bytes, write_text
from benchmark.mini.config import timm_config
from benchmark.mini.emoji import BASE_STYLES, STYLES, render
from benchmark.mini.views import REGIMES, make_views, normalise
from benchmark.models.names import BACKBONE

if TYPE_CHECKING:
    import torch
    from torch import nn

log = logging.getLogger(__name__)

ARCHITECTURE = BACKBONE.partition(".")[0]
SIDE = 98  # pixels of an image: 7 x 7 patches of 14, and a token of the class
DRAWN = 120  # pixels of a rendered drawing
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # DINOv2's
CONFIG = timm_config(ARCHITECTURE, 384, {"img_size": SIDE}, MEAN, STD, "apache-2.0")


@dataclass(frozen=True)
class ProbeRecipe:
    """All that decides a head."""

    styles: tuple[str, ...]
    seed: int = 1000  # of the views; the data are drawn from other streams
    plain_views: int = 8  # of each drawing
    wide_views: int = 4
    decay: float = 1e-4  # the mean cross-entropy is minimised plus half of this times the squared norm of the head
    iterations: int = 300  # of L-BFGS, at most


RECIPES = {"dinov2-mini": ProbeRecipe(BASE_STYLES), "dinov2-mini-strong": ProbeRecipe(tuple(STYLES))}


def fit_head(
    features: torch.Tensor, labels: torch.Tensor, classes: int, decay: float, iterations: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The head (classes, d) and its bias (classes,) of the least mean cross-entropy + decay / 2 * squared norm.

    The bias is in the norm, too, so that classes without an example have a finite one. `features` are (n, d).
    """
    import torch
    import torch.nn.functional as F

    inputs = torch.cat([features, features.new_ones(len(features), 1)], 1)
    head = inputs.new_zeros(classes, inputs.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [head], max_iter=iterations, history_size=20, line_search_fn="strong_wolfe", tolerance_grad=1e-7
    )

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(inputs @ head.T, labels) + decay / 2 * head.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    log.info("loss %.4f after %d evaluations", float(loss().detach()), optimizer.state[head]["func_evals"])
    return head.detach()[:, :-1].contiguous(), head.detach()[:, -1].contiguous()


def load_backbone(file: Path | None) -> tuple[nn.Module, str]:
    """The frozen backbone at `SIDE` pixels, and the hash of its tensors; by default of the cached file or the Hub's."""
    import timm

    from benchmark.models.probes import find_backbone, hash_backbone
    from benchmark.models.weights import read_weights

    if file is not None and not file.is_file():
        raise UserError(f"{file}: no such file of weights{like(file)}; benchmark.fetch dinov2-mini brings one")
    tensors = read_weights(file or find_backbone(BACKBONE, "dinov2-mini")).tensors
    overlay = {"source": "", "state_dict": dict(tensors)}
    module: Any = timm.create_model(
        ARCHITECTURE, pretrained=True, num_classes=0, img_size=SIDE, pretrained_cfg_overlay=overlay
    )
    return module.eval().requires_grad_(False), hash_backbone(tensors)


def compute_features(module: nn.Module, key: str, pixels: torch.Tensor, recipe: ProbeRecipe) -> torch.Tensor:
    """The inputs of a head for all views of these drawings, (views, n, 384), from the cache where they lie there.

    Args:
        module: the backbone.
        key: of the drawings and the backbone, for the cache.
        pixels: (n, 4, s, s) float32, premultiplied.
        recipe: the number of views, and their seed.
    """
    import torch
    from safetensors.torch import save

    from benchmark.core.arrays import read_safetensors

    views = [*["plain"] * recipe.plain_views, *["wide"] * recipe.wide_views]
    file = cache_folder() / "features" / f"{key}-{SIDE}-{recipe.seed}-{'-'.join(views)}.safetensors"
    if file.is_file():
        return read_safetensors(file, "delete it, and repeat the command")[0]["features"]
    random = torch.Generator().manual_seed(recipe.seed)
    features = []
    with torch.inference_mode():
        for regime in views:
            batches = [make_views(batch, REGIMES[regime], random, SIDE) for batch in pixels.split(64)]
            features.append(torch.cat([module(normalise(batch, MEAN, STD)) for batch in batches]))
    made = torch.stack(features).clone()
    write_bytes(file, save({"features": made}))
    return made


def make(name: str, out: Path, backbone: Path | None, threads: int) -> dict[str, float]:
    """Train one of the shipped heads and write it as a probe's folder: config.json, head.safetensors, training.json.

    Args:
        name: a name of `RECIPES`.
        out: the folder.
        backbone: the file of its weights, unless the cached one or the Hub's is taken.
        threads: CPU threads.

    Returns:
        Accuracy on new views by style, half of them plain and half wide.
    """
    import timm
    import torch
    from safetensors.torch import save

    from benchmark.mini.views import premultiply
    from benchmark.models.probes import HEAD

    torch.set_num_threads(threads)
    recipe, start = RECIPES[name], time.monotonic()
    module, digest = load_backbone(backbone)
    drawings, straight = render(cache_folder() / "emoji", side=DRAWN)
    rows = {style: torch.tensor([i for i, d in enumerate(drawings) if d.style == style]) for style in STYLES}
    labels = torch.tensor([drawing.label for drawing in drawings])
    check = ProbeRecipe(tuple(STYLES), seed=recipe.seed + 1, plain_views=1, wide_views=1)

    def features_of(style: str, recipe: ProbeRecipe) -> torch.Tensor:
        log.info("%s: %d views of each of %d drawings", style, recipe.plain_views + recipe.wide_views, len(rows[style]))
        key = f"{style}-{STYLES[style].version}-{digest[:16]}"
        return compute_features(module, key, premultiply(straight[rows[style].numpy()]), recipe)

    own = {style: features_of(style, recipe) for style in recipe.styles}
    weight, bias = fit_head(
        torch.cat([features.flatten(0, 1) for features in own.values()]),
        torch.cat([labels[rows[style]].repeat(len(features)) for style, features in own.items()]),
        CONFIG["num_classes"],
        recipe.decay,
        recipe.iterations,
    )
    head = {"head.weight": weight.half(), "head.bias": bias.half()}
    accuracy = {}
    for style in STYLES:
        logits = features_of(style, check) @ head["head.weight"].float().T + head["head.bias"].float()
        accuracy[style] = round(float((logits.argmax(-1) == labels[rows[style]]).float().mean()), 4)
    tensors = {**head, "pos_embed": module.state_dict()["pos_embed"].contiguous()}
    record = {
        "model": name,
        "recipe": asdict(recipe),
        "drawings": sum(len(rows[style]) for style in recipe.styles),
        "seconds": round(time.monotonic() - start),
        "threads": threads,
        "versions": {"torch": torch.__version__, "timm": timm.__version__},
        "accuracy_on_new_views": accuracy,
    }
    write_bytes(out / HEAD, save(tensors, {"format": "pt", "backbone": BACKBONE, "backbone_sha256": digest}))
    write_text(out / "config.json", json.dumps(CONFIG, indent=2) + "\n")
    write_text(out / "training.json", json.dumps(record, indent=2) + "\n")
    return accuracy
