"""The loss of KE's network: many edits at once, each judged on its own image, another view, and other images."""

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
class KEEpisodes:
    """m editing samples as the loss needs them."""

    tokens: Tensor
    """Tokens of x at the cut before the edited FFNs, (m, T, N)."""
    views: Tensor
    """Tokens of x', the same."""
    logits: Tensor
    """Logits of the unedited base for x, (m, classes)."""
    targets: Tensor
    """The class that x is to get, (m,)."""
    conditions: Tensor
    """The network's input, (m, 3 N)."""

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True)
class KEEffect:
    """The effect of m edits."""

    cross_entropy: Tensor
    """Cross-entropy of the target class, the mean of x and x', (m,)."""
    kl: Tensor
    """Mean KL on the other images, (m,)."""
    logits: Tensor
    """Logits of the edited models, (m, 2 + others, classes): of x, x', and the other images."""
    unrelated: Tensor
    """Numbers of the episodes whose x are the other images, (m, others)."""


@torch.no_grad()
def prepare(model: Model, samples: EditingSamples) -> KEEpisodes:
    """Episodes from editing samples, where the model lies."""
    like, cut = next(model.parameters()), cut_of(model)
    tokens, views = forward_prefix(model, torch.cat([samples.images, samples.views]).to(like), cut).chunk(2)
    features, classifier = features_at(model, tokens, cut), model.get_classifier()
    logits = classifier(features)
    ranked = logits.topk(int(samples.ranks.max()) + 1).indices
    targets = ranked.gather(1, samples.ranks.to(ranked)[:, None])[:, 0]
    return KEEpisodes(tokens, views, logits, targets, conditions(features, classifier.weight, ranked[:, 0], targets))


def base_gradients(model: Model, tokens: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Gradient of the target class's cross-entropy at the base, by each matrix, (m, R, C); tokens (m, T, N)."""
    weights = {
        name: model.get_parameter(name).detach().expand(len(tokens), -1, -1).requires_grad_()
        for name in last_ffn_matrices(model)
    }
    with torch.enable_grad():
        logits = forward_tail(model, tokens[:, None], cut_of(model), weights)
        loss = F.cross_entropy(logits[:, 0], targets, reduction="sum")
    return dict(zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True))


def apply_edit(model: Model, network: KnowledgeNetwork, episodes: KEEpisodes, rows: Tensor, others: int) -> KEEffect:
    """Effect of one application of the network to the episodes `rows` (m,); differentiable in the network.

    Each edit's other images are the x of the episodes that follow it, from the last on to the first. KL has the base
    in front, KL(base || edited), as in the article (section 4) and its code.
    """
    gradients = base_gradients(model, episodes.tokens[rows], episodes.targets[rows])
    factors = network(episodes.conditions[rows].to(network.alpha))
    weights = {
        name: factor.change(model.get_parameter(name), gradient)
        for factor, (name, gradient) in zip(factors, gradients.items(), strict=True)
    }
    unrelated = (rows[:, None] + torch.arange(1, others + 1, device=rows.device)) % len(episodes)
    own = torch.stack([episodes.tokens[rows], episodes.views[rows]], dim=1)
    logits = forward_tail(model, torch.cat([own, episodes.tokens[unrelated]], dim=1), cut_of(model), weights)
    targets = episodes.targets[rows][:, None].expand(-1, 2)
    cross_entropy = F.cross_entropy(logits[:, :2].mT, targets, reduction="none").mean(1)
    kl = divergence(logits[:, 2:], episodes.logits[unrelated]).mean(1)
    return KEEffect(cross_entropy, kl, logits, unrelated)
