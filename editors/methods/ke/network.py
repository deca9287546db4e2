"""KE's network: from the conditions of an edit to the factors that scale, gate and shift each matrix's gradient."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from benchmark.core.readers import parse_json
from benchmark.models.vit import Cut, Model, ffn_cut, forward_tail, last_ffn_matrices
from editors.methods.ke.recipe import KERecipe


def cut_of(model: Model) -> Cut:
    """The last cut before KE's matrices."""
    return ffn_cut(model, last_ffn_matrices(model))


def features_at(model: Model, tokens: Tensor, cut: Cut) -> Tensor:
    """The [cls] features (n, N) of the unedited base from its tokens (n, T, N) at a cut, by an identity for a head."""
    like = model.get_classifier().weight
    head = {"head.weight": torch.eye(like.shape[1]).to(like), "head.bias": like.new_zeros(like.shape[1])}
    return forward_tail(model, tokens, cut, head)


@dataclass(frozen=True)
class KEShape:
    """The sizes of the network's tensors: the base's width N, the recipe's widths, each matrix's rows and columns."""

    width: int
    condition: int
    hidden: int
    matrices: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, model: Model, recipe: KERecipe) -> KEShape:
        """The shape that fits a base."""
        sizes = (model.get_parameter(name).shape for name in last_ffn_matrices(model))
        return cls(model.embed_dim, recipe.condition, recipe.hidden, tuple((rows, columns) for rows, columns in sizes))

    def to_json(self) -> str:
        """All fields, for a checkpoint."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> KEShape:
        """The shape a checkpoint carries."""
        fields = parse_json(text, "its shape")
        return cls(**{**fields, "matrices": tuple((rows, columns) for rows, columns in fields["matrices"])})


@dataclass(frozen=True)
class KEFactors:
    """The change of one matrix [R, C] by m edits, given its gradient G: Delta = (r_a c_a^T) * G + r_b c_b^T.

    `rows_a`, `rows_b` (m, R) are softmaxes times the gate sigmoid(eta); `columns_a`, `columns_b` (m, C) any numbers.
    Article, section 4; which vector the softmax is of is taken from its code: that along the rows.
    """

    rows_a: Tensor
    columns_a: Tensor
    rows_b: Tensor
    columns_b: Tensor

    def __getitem__(self, edits: Tensor) -> KEFactors:
        """The factors of these edits."""
        return KEFactors(self.rows_a[edits], self.columns_a[edits], self.rows_b[edits], self.columns_b[edits])

    def scaled(self, scale: float) -> KEFactors:
        """The same for Delta times `scale`."""
        return dataclasses.replace(self, rows_a=scale * self.rows_a, rows_b=scale * self.rows_b)

    def change(self, weight: Tensor, gradient: Tensor) -> Tensor:
        """`weight` + Delta, (m, R, C), from a weight [R, C] or (m, R, C) and gradients (m, R, C).

        Built from two outer products and one product with the gradient, with nothing of that size in between.
        """
        shifted = torch.baddbmm(weight.expand_as(gradient), self.rows_b[:, :, None], self.columns_b[:, None])
        return torch.addcmul(shifted, gradient, self.rows_a[:, :, None] * self.columns_a[:, None])


def conditions(features: Tensor, class_rows: Tensor, predicted: Tensor, targets: Tensor) -> Tensor:
    """The network's input for an image, (..., 3 N): its feature, the predicted and the target class.

    `features` (..., N), the [cls] features; `class_rows` (classes, N), the base's classifier; `predicted`, `targets`
    (...), class indices. A class is given as its row of the classifier, fixed: a table of its own would be
    most of the network (its code starts such a table from the base's embeddings). Each of the three is brought to
    mean 0 and variance 1, so that no base's scale decides which counts.
    """
    parts = torch.stack([features, class_rows[predicted], class_rows[targets]], dim=-2)
    return F.layer_norm(parts, parts.shape[-1:]).flatten(-2)


class KnowledgeNetwork(nn.Module):
    """One shared layer, then two layers of its own for each matrix, weight-normalised as in the article's code.

    `alpha` (1,) is the multiplier of the training's constraint; it lies here so that a run can go on with it.
    """

    alpha: Tensor

    def __init__(self, shape: KEShape) -> None:
        super().__init__()
        self.shape = shape
        self.shared = nn.Sequential(nn.Linear(3 * shape.width, shape.condition), nn.Tanh())
        self.heads = nn.ModuleList(
            nn.Sequential(
                weight_norm(nn.Linear(shape.condition, shape.hidden)),
                nn.Tanh(),
                weight_norm(nn.Linear(shape.hidden, 2 * (rows + columns) + 1)),
            )
            for rows, columns in shape.matrices
        )
        self.register_buffer("alpha", torch.ones(1))

    def forward(self, inputs: Tensor) -> list[KEFactors]:
        """The factors of each matrix, in order, from conditions (m, 3 N)."""
        shared, factors = self.shared(inputs), []
        for head, (rows, columns) in zip(self.heads, self.shape.matrices, strict=True):
            column_a, row_a, column_b, row_b, eta = head(shared).split([columns, rows, columns, rows, 1], dim=-1)
            gate = eta.sigmoid()
            factors.append(KEFactors(gate * row_a.softmax(-1), column_a, gate * row_b.softmax(-1), column_b))
        return factors


def new_network(shape: KEShape, seed: int) -> KnowledgeNetwork:
    """An untrained network, its weights drawn from `seed` alone, on the CPU."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return KnowledgeNetwork(shape)
