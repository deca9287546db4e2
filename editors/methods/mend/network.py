"""MEND's editor network: from the factors of a gradient to those of a better one (Mitchell et al., 2022, section 3).

For each token the pair (x, d) is normalised, concatenated and sent through two low-rank residual layers, eq. (5);
the results x~ and d~ are the factors of the new gradient, and W~ = W - alpha sum_t outer(d~_t, x~_t), algorithm 1.
Layers of one shape share all weights but a scale and a shift of their own. (MEND's code adds the product and leaves it
to training to turn its sign; here, as in its algorithm 1, an untrained network already goes down the gradient.)
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark.core.devices import in_float64
from benchmark.core.readers import parse_json
from benchmark.models.vit import Model, Taps, last_ffn_matrices
from editors.methods.mend.recipe import MENDRecipe

EPSILON = 1e-7  # added to standard deviations (MEND's code)


@dataclass(frozen=True)
class MENDShape:
    """Sizes of the network's tensors: widths (in, out) of each edited layer in order, rank; the first step size."""

    widths: tuple[tuple[int, int], ...]
    rank: int
    step_size: float

    @classmethod
    def of(cls, model: Model, recipe: MENDRecipe) -> MENDShape:
        """The network for this base: it edits `last_ffn_matrices`."""
        matrices = [model.get_parameter(name) for name in last_ffn_matrices(model)]
        return cls(tuple((w.shape[1], w.shape[0]) for w in matrices), recipe.rank, recipe.step_size)

    def to_json(self) -> str:
        """For a checkpoint."""
        return json.dumps({"widths": self.widths, "rank": self.rank, "step_size": self.step_size})

    @classmethod
    def from_json(cls, text: str) -> MENDShape:
        """The shape that a checkpoint carries."""
        items = parse_json(text, "its shape")
        return cls(tuple((inputs, outputs) for inputs, outputs in items["widths"]), items["rank"], items["step_size"])


class ResidualLayer(nn.Module):
    """z + relu(scale_l * (U V z + b) + shift_l), the identity at the start, for layers l = 0, 1, ... of one shape."""

    def __init__(self, width: int, rank: int, layers: int) -> None:
        super().__init__()
        rank = min(rank, width)
        self.u = nn.Parameter(torch.zeros(width, rank))
        self.v = nn.Parameter(torch.randn(rank, width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.scale = nn.Parameter(torch.ones(layers, width))
        self.shift = nn.Parameter(torch.zeros(layers, width))

    def forward(self, pairs: Tensor, layer: int) -> Tensor:
        """Of pairs (..., width)."""
        change = F.linear(F.linear(pairs, self.v), self.u, self.bias) * self.scale[layer] + self.shift[layer]
        # not relu or clamp, which in torch have no gradient at 0, where all of these start: U would never move
        return pairs + torch.where(change >= 0, change, 0)


class FactorEditor(nn.Module):
    """From (x, d) to (x~, d~) for the layers of one shape, normalised by the mean and deviation of all pairs seen.

    Buffers, in float64 so that long sums stay exact: `count` of pairs seen (1,), their `mean` and `squares`, the sum of
    squared distances from it, each (width,) with x first.
    """

    count: Tensor
    mean: Tensor
    squares: Tensor

    def __init__(self, inputs: int, outputs: int, rank: int, layers: int) -> None:
        super().__init__()
        self.widths = (inputs, outputs)
        width = inputs + outputs
        self.first, self.second = ResidualLayer(width, rank, layers), ResidualLayer(width, rank, layers)
        self.register_buffer("count", torch.zeros(1, dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(width, dtype=torch.float64))
        self.register_buffer("squares", torch.zeros(width, dtype=torch.float64))

    def observe(self, x: Tensor, d: Tensor) -> None:
        """Take pairs (..., in), (..., out) into mean and deviation; those without a gradient are left out.

        MEND's code takes them one at a time (Welford); many at once come to the same (Chan et al., 1983).
        """
        seen = in_float64(torch.cat([x, d], -1)[_kept(x, d)])
        if len(seen) == 0:
            return
        total, away = self.count + len(seen), seen.mean(0) - self.mean
        self.squares += (seen - seen.mean(0)).square().sum(0) + away.square() * (self.count * len(seen) / total)
        self.mean += away * (len(seen) / total)
        self.count += len(seen)

    def forward(self, x: Tensor, d: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """(x~, d~) of the same shapes; zero where the pair has no gradient, so that it adds nothing to the edit."""
        like = self.first.u
        deviation = (self.squares / (self.count - 1).clamp(min=1)).sqrt() + EPSILON
        pairs = (torch.cat([x, d], -1).to(like) - self.mean.to(like)) / deviation.to(like)
        edited = self.second(self.first(pairs, layer), layer) * _kept(x, d)[..., None]
        x_edited, d_edited = edited.split(self.widths, -1)
        return x_edited, d_edited


def _kept(x: Tensor, d: Tensor) -> Tensor:
    """True for the pairs (...,) that count: both sides have an entry that is not zero (MEND's code)."""
    return (x != 0).any(-1) & (d != 0).any(-1)


class EditorNetwork(nn.Module):
    """All of MEND that is trained: a `FactorEditor` a shape, and the step size alpha_l of each matrix, (layers,)."""

    def __init__(self, shape: MENDShape) -> None:
        super().__init__()
        shapes = list(dict.fromkeys(shape.widths))
        self.editors = nn.ModuleDict(
            {_key(widths): FactorEditor(*widths, shape.rank, shape.widths.count(widths)) for widths in shapes}
        )
        self.places = [(_key(width), shape.widths[:number].count(width)) for number, width in enumerate(shape.widths)]
        self.step_sizes = nn.Parameter(torch.full((len(shape.widths),), shape.step_size))

    def observe(self, pairs: Taps) -> None:
        """Take the pairs of every layer, (..., width), into the running mean and deviation of its shape."""
        for (key, _), (x, d) in zip(self.places, pairs.values(), strict=True):
            self._editor(key).observe(x, d)

    def forward(self, pairs: Taps) -> dict[str, Tensor]:
        """alpha_l times the new gradient of each matrix, (m, out, in), to be subtracted; pairs as in `MENDFactors`.

        Of several samples of a failure it is the mean. Each sample's pairs are changed by themselves, so that they have
        the size that they have in training. (MEND's code divides d by n before the network instead.)
        """
        steps = {}
        for number, ((key, layer), (name, pair)) in enumerate(zip(self.places, pairs.items(), strict=True)):
            x, d = self._editor(key)(*pair, layer)
            outer = torch.bmm(d.flatten(1, 2).mT, x.flatten(1, 2))
            steps[name] = (self.step_sizes[number] / x.shape[1] * outer).to(pair[0].dtype)
        return steps

    def _editor(self, key: str) -> FactorEditor:
        editor = self.editors[key]
        assert isinstance(editor, FactorEditor)  # for the type checker
        return editor


def _key(widths: Sequence[int]) -> str:
    return "x".join(map(str, widths))


def new_network(shape: MENDShape, seed: int) -> EditorNetwork:
    """An untrained network whose weights are drawn from the seed; the global random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return EditorNetwork(shape)


def stepped(weights: Mapping[str, Tensor], steps: Mapping[str, Tensor], scale: float = 1.0) -> dict[str, Tensor]:
    """W - scale * step for each matrix, (m, out, in); weights (out, in) or (m, out, in)."""
    return {name: weights[name] - scale * step for name, step in steps.items()}
