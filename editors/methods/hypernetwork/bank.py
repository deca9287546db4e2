"""The bank of targets that the decoupled form learns from: pairs of a feature e(x) and its optimised mask scores m~*.

The targets do not depend on the hypernetwork, so they are computed once, in batches as large as the device
likes; other seeds, block counts and learning rates only refit. Each pair is drawn from its own number. Parts
are written as they come, atomically; a bank that was interrupted, or is too small, is gone on with.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from tqdm.auto import tqdm

from benchmark.core import options
from benchmark.core.errors import UserError
from benchmark.core.ranges import SeedNumber
from benchmark.core.workdir import Kind, working
from benchmark.models.tensors import read_tensors, write_tensors
from benchmark.models.vit import edits_that_fit, ffn_matrices, hidden_width
from editors.methods.hypernetwork.meta import HypernetworkEpisodes, optimise_targets, prepare
from editors.methods.hypernetwork.pseudo import PseudoSamples
from editors.training.views import generator

PART = 64  # pairs a file
BANK = Kind("bank", "bank.json", fix="name another --bank, or delete it")


@dataclass(frozen=True)
class BankOptions:
    """The bank of targets that the decoupled form is fitted to; runs with other seeds, blocks or lr may share it."""

    bank: Path | None = None
    """Folder of the bank, FILE.bank beside --out if None; one that was interrupted or is too small is gone on with."""
    bank_size: options.OptionalBankSize = None
    bank_seed: SeedNumber = 0
    """Seed of the pseudo-samples and of the random masks that their targets start from."""


@dataclass(frozen=True)
class TargetBank:
    """n pairs, in order of their numbers, on the CPU.

    features: (n, N) float32.
    targets: m~* (n, layers, N_m), float16: at most 0.004 off, which is nothing to a sigmoid.
    """

    features: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.features)


def build(folder: Path, samples: PseudoSamples, size: int, progress: bool = True) -> TargetBank:
    """The first `size` pairs, read from `folder` as far as they are there, and computed and written there if not.

    Raises `UserError` if the folder holds a bank made with other settings, or a loss is not finite.
    """
    recipe, base = samples.recipe, samples.base
    settings = {
        **recipe.target_fields(),
        "base_weights_sha256": base.weights_sha256,
        "data": samples.source.signature,
        "bank_seed": samples.seed,
    }
    parts = []
    with (
        working(folder, BANK, settings),
        tqdm(total=size, unit="pair", desc="bank", disable=not progress, leave=False) as bar,
    ):
        for number in range(-(-size // PART)):
            path = folder / f"part-{number:06d}.safetensors"
            part = _read_part(path, samples)
            if part is None:
                part = _part(samples, range(PART * number, PART * (number + 1)))
                write_tensors(path, part)
            parts.append(part)
            bar.set_postfix(kl=f"{parts[-1]['kl'].mean():.3f}", sparsity=f"{parts[-1]['sparsity'].mean():.2f}")
            bar.update(min(PART, size - PART * number))
    return TargetBank(*(torch.cat([part[name] for part in parts])[:size] for name in ("features", "targets")))


def _read_part(path: Path, samples: PseudoSamples) -> dict[str, Tensor] | None:
    """The pairs of a part; None where they are to be made, or made again: no file, a damaged or a changed one."""
    part = read_tensors(path)
    if part is None:
        return None
    model = samples.base.module
    shapes = {
        "features": (PART, model.embed_dim),
        "targets": (PART, len(ffn_matrices(model)), hidden_width(model)),
        "kl": (PART,),
        "sparsity": (PART,),
    }
    is_finite = all(bool(tensor.isfinite().all()) for tensor in part.values())
    return part if is_finite and {name: (*t.shape,) for name, t in part.items()} == shapes else None


def optimised_pairs(samples: PseudoSamples, numbers: range) -> tuple[HypernetworkEpisodes, Tensor, Tensor]:
    """HypernetworkEpisodes of these pseudo-samples, their m~* (n, layers, N_m) and the KL (n,) it reaches.

    As many at once as the device likes. Raises `UserError` if something is not finite.
    """
    model, step = samples.base.module, edits_that_fit(samples.base.module, samples.base.device)
    batches = []
    for batch in (numbers[start : start + step] for start in range(0, len(numbers), step)):
        episodes = prepare(model, *samples.batch(batch))
        start = torch.stack([draw_start(samples, number) for number in batch]).to(episodes.tokens)
        targets, kl = optimise_targets(model, episodes, start, samples.recipe)
        broken = ~(kl.isfinite() & targets.flatten(1).isfinite().all(1))
        if broken.any():
            first, rate = batch[int(broken.nonzero()[0])], samples.recipe.inner_lr
            raise UserError(f"the loss of pseudo-sample {first} is not finite; lower --inner-lr ({rate})")
        batches.append((episodes.tokens, episodes.target_logits, episodes.features, targets, kl))
    *parts, targets, kl = (torch.cat(column) for column in zip(*batches, strict=True))
    return HypernetworkEpisodes(*parts), targets, kl


def draw_start(samples: PseudoSamples, number: int) -> Tensor:
    """The random m~ (layers, N_m) in -1..1 that the outer loop starts from."""
    model = samples.base.module
    shape = (len(ffn_matrices(model)), hidden_width(model))
    return 2 * torch.rand(shape, generator=generator(samples.seed, "start", number)) - 1


def _part(samples: PseudoSamples, numbers: range) -> dict[str, Tensor]:
    episodes, targets, kl = optimised_pairs(samples, numbers)
    sparsity = 1 - (samples.recipe.mask_slope * targets).sigmoid().flatten(1).mean(1)
    part = {"features": episodes.features.float(), "targets": targets.half(), "kl": kl.float(), "sparsity": sparsity}
    return {name: tensor.cpu() for name, tensor in part.items()}
