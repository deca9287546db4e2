"""A slow, independent reference: one sample at a time, full forwards, torch.func.functional_call, plain autograd.

`released_targets` transcribes the released code's recipe item by item, constants included.
"""

from __future__ import annotations

import torch
from torch.func import functional_call


def kl(model, weights, image, clean, temperature):
    """temperature^2 * KL(p(.|x') || p(.|x)) at `weights`, written out."""
    with torch.no_grad():
        soft = (model(clean[None])[0] / temperature).softmax(-1)
    mine = (functional_call(model, weights, (image[None],))[0] / temperature).softmax(-1)
    return temperature**2 * (soft * (soft.log() - mine.log())).sum()


def spread(mask, names, model):
    """Unit masks (layers, N_m) as full matrices: row i of fc1, column i of fc2."""
    full = {}
    for layer, name in enumerate(names):
        rows, columns = model.get_parameter(name).shape
        if "fc1" in name:
            full[name] = mask[layer].reshape(rows, 1).repeat(1, columns)
        else:
            full[name] = mask[layer].reshape(1, columns).repeat(rows, 1)
    return full


def inner(model, names, image, clean, mask, steps, lr, temperature, second_order=False):
    """phi_T and Delta_T of Algorithm 1, lines 6-10."""
    base = {name: model.get_parameter(name).detach().clone() for name in names}
    masks = spread(mask, names, model)
    delta = {name: torch.zeros_like(weight) for name, weight in base.items()}
    for _ in range(steps):
        weights = {name: base[name] + masks[name] * delta[name] for name in names}
        for name, weight in weights.items():
            if not weight.requires_grad:
                weights[name] = weight.requires_grad_()
        loss = kl(model, weights, image, clean, temperature)
        gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=second_order)
        for name, gradient in zip(names, gradients, strict=True):
            delta[name] = delta[name] - lr * (gradient if second_order else gradient.detach())
    if not second_order:
        delta = {name: value.detach() for name, value in delta.items()}
    return {name: base[name] + masks[name] * delta[name] for name in names}, delta


def released_targets(model, names, image, clean, start):
    """m~ after the released code's ten outer steps for one sample of a batch of eight."""
    scores = torch.nn.Parameter(start.clone())
    optimizer = torch.optim.RMSprop([scores], lr=0.1)
    for _ in range(10):
        mask = torch.sigmoid(10 * scores)
        weights, _ = inner(model, names, image, clean, mask, steps=5, lr=0.001, temperature=5)
        # KL summed over the batch + 1.0 * the mask's mean over batch (8) and positions: this sample's share of it
        loss = kl(model, weights, image, clean, temperature=5) + 1.0 * mask.sum() / (8 * mask.numel())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return scores.detach()
