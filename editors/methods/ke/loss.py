"""What KE's network is trained on: many edits at once, each judged on its own image, another view, and other images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.models.vit import Model, forward_prefix, forward_tail, last_ffn_matrices
from editors.methods.ke.network import KnowledgeNetwork, conditions, cut_of, features_at
from editors.methods.ke.samples import EditingSamples
from editors.training.losses import divergence


@dataclass(frozen=True)
class Episodes:
    """m editing samples as the loss needs them.

    tokens: of x at the cut before the edited FFNs, (m, T, N). views: the same of x'.
    logits: of the unedited base for x, (m, classes). wanted: the class x is to get, (m,).
    conditions: what the network is told, (m, 3 N).
    """

    tokens: Tensor
    views: Tensor
    logits: Tensor
    wanted: Tensor
    conditions: Tensor

    def __len__(self) -> int:
        return len(self.wanted)


@dataclass(frozen=True)
class Judged:
    """Some edits: cross-entropy of the wanted class, the mean of x and x', and KL on other images, each (m,).

    logits: of the edited models, (m, 2 + others, classes), x first, then x'. unrelated: which episodes the others
    are, (m, others).
    """

    cross_entropy: Tensor
    kl: Tensor
    logits: Tensor
    unrelated: Tensor


@torch.no_grad()
def prepare(model: Model, samples: EditingSamples) -> Episodes:
    """Episodes from editing samples, where the model lies."""
    like, cut = next(model.parameters()), cut_of(model)
    tokens, views = forward_prefix(model, torch.cat([samples.images, samples.views]).to(like), cut).chunk(2)
    features, classifier = features_at(model, tokens, cut), model.get_classifier()
    logits = classifier(features)
    ranked = logits.topk(int(samples.ranks.max()) + 1).indices
    wanted = ranked.gather(1, samples.ranks.to(ranked)[:, None])[:, 0]
    return Episodes(tokens, views, logits, wanted, conditions(features, classifier.weight, ranked[:, 0], wanted))


def base_gradients(model: Model, tokens: Tensor, wanted: Tensor) -> dict[str, Tensor]:
    """Gradient of the wanted class's cross-entropy at the base, by each matrix, (m, R, C); tokens (m, T, N)."""
    weights = {
        name: model.get_parameter(name).detach().expand(len(tokens), -1, -1).requires_grad_()
        for name in last_ffn_matrices(model)
    }
    with torch.enable_grad():
        logits = forward_tail(model, tokens[:, None], cut_of(model), weights)
        loss = F.cross_entropy(logits[:, 0], wanted, reduction="sum")
    return dict(zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True))


def judge(model: Model, network: KnowledgeNetwork, episodes: Episodes, rows: Tensor, others: int) -> Judged:
    """What one application of the network to the episodes `rows` (m,) does; differentiable in the network.

    Each edit's other images are the x of the episodes that follow it, from the last on to the first. KL has the base
    in front, KL(base || edited), as in the article (section 4) and its code.
    """
    gradients = base_gradients(model, episodes.tokens[rows], episodes.wanted[rows])
    factors = network(episodes.conditions[rows].to(network.alpha))
    weights = {
        name: factor.change(model.get_parameter(name), gradient)
        for factor, (name, gradient) in zip(factors, gradients.items(), strict=True)
    }
    unrelated = (rows[:, None] + torch.arange(1, others + 1, device=rows.device)) % len(episodes)
    own = torch.stack([episodes.tokens[rows], episodes.views[rows]], dim=1)
    logits = forward_tail(model, torch.cat([own, episodes.tokens[unrelated]], dim=1), cut_of(model), weights)
    wanted = episodes.wanted[rows][:, None].expand(-1, 2)
    cross_entropy = F.cross_entropy(logits[:, :2].mT, wanted, reduction="none").mean(1)
    kl = divergence(logits[:, 2:], episodes.logits[unrelated]).mean(1)
    return Judged(cross_entropy, kl, logits, unrelated)
