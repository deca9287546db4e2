"""`t-patcher`: one new neuron in the last FFN, trained to fire on the editing sample and on nothing seen before.

Source: Huang et al. 2023, "Transformer-Patcher: One mistake worth one neuron", section 4; settings as in SPEC
5 and, where that is silent, as in their released code. The base's own weights stay as they are.

Two things of the released code are left out. It repeats the sample eight times in a batch: l_a and the cross-entropy
stay what they are, and the means over the top 1000 become means over the 125 highest memories. It halves the learning
rate after two looks in turn, one each 25 steps, at which the cross-entropy has not fallen by 5 % (`ReduceLROnPlateau`):
within 100 steps that can be once, after step 75.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmark.core.ranges import Count, NotNegative, Positive
from benchmark.models.vit import Model, forward_prefix, forward_tail
from editors.core.base import knob
from editors.core.descent import MAX_STEPS, DescentConfig, Trainable, descend, weight_edits
from editors.core.edit import Edit
from editors.core.registry import register_editor
from editors.core.statistics import StatisticsEditor, last_ffn

MULTIPLIER = 10.0  # of the value, to start with (paper, appendix; SPEC 5)
ACTIVATION_WEIGHT = 1.0  # of l_a (SPEC 5)
TOP_ACTIVATIONS = 5  # l_a is a mean over so many samples at most
TOP_MEMORIES = 1000  # l_m1 and l_m2 are means over so many pairs at most
CLIP_NORM = 5.0  # of the gradient of one edit, as in the released code; at a high learning rate it decides the result
WEIGHT_DECAY = 0.01  # of Adam, as in the released code
MARGIN = 3.0  # a seen image's activation is pushed so far below the sample's, and below zero


@dataclass(frozen=True)
class TPatcherConfig:
    """Settings of `t-patcher`; `memory_weight` weighs the losses that keep the neuron silent on seen images."""

    lr: Positive = 5e-3
    max_steps: Count = MAX_STEPS
    memory_weight: NotNegative = knob(5.0, sweep=(0.0, 0.001, 0.01, 0.1, 1.0, 5.0))


@register_editor("t-patcher")
class TPatcher(StatisticsEditor):
    """A key (N,), a bias, a value (N,) and a multiplier of the value (N,), trained with Adam.

    The multiplier has an entry for each of the value's, as in the released code: the source's text says
    neither this nor that. Several samples of one failure share the neuron; its key starts at their mean.
    """

    Config = TPatcherConfig

    def edit_many(self, model: nn.Module, images: Tensor, labels: Tensor, seeds: Sequence[int]) -> list[Edit]:
        """All failures in one descent; each value is drawn from the failure's own seed, on the CPU."""
        cut = last_ffn(model)
        with torch.no_grad():
            tokens = forward_prefix(model, images.flatten(0, 1), cut).unflatten(0, images.shape[:2])
            inputs = fc1_inputs(model, tokens[:, :, 0])
            memory = fc1_inputs(model, self.statistics.tokens)

        def penalty(neurons: Trainable, rows: Tensor) -> Tensor:
            return neuron_losses(neurons, inputs[rows], memory, self.config.memory_weight)

        def forward(neurons: Trainable, tokens: Tensor) -> Tensor:
            return forward_tail(model, tokens, cut, widened(model, neurons))

        config = DescentConfig(
            self.config.lr,
            "adam",
            max_steps=self.config.max_steps,
            clip_norm=CLIP_NORM,
            weight_decay=WEIGHT_DECAY,
        )
        descents = descend(forward, tokens, labels, new_neurons(inputs, seeds), config, penalty=penalty)
        return weight_edits(descents, lambda neurons: widened(model, neurons))


def fc1_inputs(model: Model, tokens: Tensor) -> Tensor:
    """The inputs of the last ``fc1``, (..., N), from tokens (..., N) between attention and FFN of the last block."""
    inputs: Tensor = model.blocks[-1].norm2(tokens)
    return inputs


def new_neurons(inputs: Tensor, seeds: Sequence[int]) -> dict[str, Tensor]:
    """Untrained neurons for m failures whose samples' ``fc1`` inputs are `inputs` (m, n, N).

    The key is x / norm(x)^2 and the bias 0, so that the pre-activation starts at 1 at x, the mean over samples.
    """
    mean = inputs.mean(1)
    drawn = [torch.randn(mean.shape[1:], generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return {
        "key": mean / mean.square().sum(1, keepdim=True),
        "bias": mean.new_zeros(len(mean), 1),
        "value": torch.stack(drawn).to(mean),
        "multiplier": torch.full_like(mean, MULTIPLIER),
    }


def widened(model: nn.Module, neurons: Trainable) -> dict[str, Tensor]:
    """Overrides of the last FFN with one neuron more: (m, N_m + 1, N), (m, N_m + 1) and (m, N, N_m + 1)."""
    mlp = f"blocks.{last_ffn(model).block}.mlp"
    value = neurons["value"] * neurons["multiplier"]
    added = {"fc1.weight": neurons["key"][:, None], "fc1.bias": neurons["bias"], "fc2.weight": value[..., None]}
    wide = {}
    for name, new in added.items():
        old = model.get_parameter(f"{mlp}.{name}")
        axis = -1 if name == "fc2.weight" else 1
        wide[f"{mlp}.{name}"] = torch.cat([old.expand(len(new), *old.shape), new], axis)
    return wide


def neuron_losses(neurons: Trainable, inputs: Tensor, memory: Tensor, memory_weight: float) -> Tensor:
    """l_a + memory_weight * (l_m1 + l_m2) for each of m failures, (m,) (Huang et al., section 4; SPEC 5).

    With a the neuron's pre-activations at the samples' `inputs` (m, n, N) and q those at the seen images'
    `memory` (M, N): l_a = mean of the top 5 exp(-a), l_m1 = mean of the top 1000 exp(q - a + 3) over all pairs
    of image and sample, l_m2 = mean of the top 1000 exp(q + 3); of all, where there are fewer.
    """
    key, bias = neurons["key"], neurons["bias"]
    at_samples = (inputs @ key[..., None]).squeeze(-1) + bias
    at_memory = key @ memory.T + bias
    apart = (at_memory[:, None, :] - at_samples[..., None]).flatten(1)
    active = _mean_top_exp(-at_samples, TOP_ACTIVATIONS)
    silent = _mean_top_exp(apart + MARGIN, TOP_MEMORIES) + _mean_top_exp(at_memory + MARGIN, TOP_MEMORIES)
    return ACTIVATION_WEIGHT * active + memory_weight * silent


def _mean_top_exp(exponents: Tensor, count: int) -> Tensor:
    """Mean of the `count` largest exp(.) of each row, (m,)."""
    return exponents.topk(min(count, exponents.shape[1]), dim=1).values.exp().mean(1)
