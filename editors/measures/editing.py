"""Time of the edit loop, ours and the plain one, and whether both make the same edits.

Random weights, random images. *Ours* is `ft` as the harness calls it. *Plain* works as the released
code does: copy the model, one sample at a time, full forwards, torch's RMSprop. Both take a fixed number of steps.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.core.devices import device_name, matmul_ceiling, pick
from benchmark.core.timing import Comparison, interleaved
from benchmark.models.checks import check_supported
from benchmark.models.load import noise_images, random_base
from benchmark.models.vit import Model, edits_at_once, ffn_matrices
from editors.core.descent import LOSS_BELOW, DescentConfig
from editors.core.edit import Edit, WeightEdit
from editors.core.flops import step_flops
from editors.methods.finetune import FineTune, FineTuneConfig

LR = 1e-4  # the paper's for ViT-S/16
FLOAT32_DISTANCE = 1e-3  # relative, Frobenius: RMSProp makes full steps of gradients that are mere rounding
FLOAT64_DISTANCE = 1e-9


class FixedSteps(FineTune):
    """`ft` that never stops early."""

    def descent_config(self) -> DescentConfig:
        """As `ft`, without its stop rule."""
        return replace(super().descent_config(), loss_below=0.0)


@dataclass(frozen=True)
class Distances:
    """Distances of our edits from the plain ones, the largest over the edits: relative, Frobenius norm."""

    weights: float
    """Of the edited weights."""
    change: float
    """Of the change that the edit made."""
    steps: tuple[int, ...]
    """Steps that each edit took."""


@dataclass(frozen=True)
class EditSpeed:
    """Speed of `at_once` edits together, with `steps` each."""

    base: str
    device: str
    at_once: int
    steps: int
    float32: Distances
    float64: Distances
    speed: Comparison


def plain_edit(
    model: Model, image: Tensor, label: Tensor, lr: float, max_steps: int, loss_below: float = LOSS_BELOW
) -> WeightEdit:
    """Fine-tune a copy of `model` on one image (1, 3, H, W) with label (1,): the plain reference."""
    edited = copy.deepcopy(model)
    weights = {name: edited.get_parameter(name).requires_grad_() for name in ffn_matrices(model)}
    first, rmsprop = torch.optim.SGD(weights.values(), lr=lr), torch.optim.RMSprop(weights.values(), lr=lr)
    for step in range(max_steps):
        logits = edited(image)
        loss = F.cross_entropy(logits, label)
        if logits.argmax(-1) == label and loss < loss_below:
            break
        rmsprop.zero_grad()
        loss.backward()
        (rmsprop if step else first).step()
    else:
        step = max_steps
    return WeightEdit({name: weight.detach() for name, weight in weights.items()}, steps=step)


def measure_editing(base: str, device: str = "cpu", quick: bool = False) -> EditSpeed:
    """Check equality, then time as many edits as the harness makes at once, in float32.

    Raises `AssertionError` if the edits differ.
    """
    torch_device = pick(device)
    model: Model = random_base(base, device=device).module
    check_supported(model)
    steps, count = 5 if quick else 20, edits_at_once(model, torch_device)
    images, labels = failures(model, count)
    config = FineTuneConfig(LR, steps)

    def ours() -> list[Edit]:
        return FixedSteps(config).edit_many(model, images[:, None], labels[:, None], [0] * count)

    def plain() -> list[WeightEdit]:
        pairs = zip(images.split(1), labels.split(1), strict=True)
        return [plain_edit(model, image, label, LR, steps, 0.0) for image, label in pairs]

    float32 = compare(model, ours(), plain(), FLOAT32_DISTANCE)
    float64 = stop_rule_check()
    timing = interleaved({"ours": ours, "plain": plain}, 2 if quick else 5, torch_device)
    speed = Comparison(
        "edits", count, timing["ours"], timing["plain"],
        count * steps * step_flops(model), count * steps * step_flops(model, plain=True), matmul_ceiling(torch_device),
    )  # fmt: skip
    return EditSpeed(base, device_name(torch_device), count, steps, float32, float64, speed)


def stop_rule_check(count: int = 4) -> Distances:
    """In float64, under the real stop rule, on the mini: all at once and one at a time against plainly.

    Raises `AssertionError` if the edits differ, or if they all stop together, which would check nothing.
    """
    model: Model = random_base("mini", dtype=torch.float64).module
    torch.nn.init.normal_(model.head.weight, std=0.2)  # logits large enough to become sure within a few steps
    images, labels = failures(model, count)
    editor = FineTune(FineTuneConfig(LR))
    together = editor.edit_many(model, images[:, None], labels[:, None], [0] * count)
    pairs = list(zip(images.split(1), labels.split(1), strict=True))
    alone = [editor.edit(model, *pair) for pair in pairs]
    plain = [plain_edit(model, *pair, LR, editor.config.max_steps) for pair in pairs]
    assert len({edit.steps for edit in plain}) > 1, "all edits take as many steps: the stop rule is not checked"
    compare(model, alone, plain, FLOAT64_DISTANCE)
    return compare(model, together, plain, FLOAT64_DISTANCE)


def failures(model: Model, count: int) -> tuple[Tensor, Tensor]:
    """Random images (count, 3, H, W) and labels (count,), as `model` takes them."""
    labels = torch.randint(0, model.num_classes, (count,), generator=torch.Generator().manual_seed(1))
    return noise_images(model, count), labels.to(next(model.parameters()).device)


def compare(model: Model, ours: list[Edit], plain: list[WeightEdit], bound: float) -> Distances:
    """Distances between our edits and the plain ones.

    Raises `AssertionError` for other step counts, or if the weights are further apart than `bound`.
    """
    start = _weights(model, WeightEdit({name: model.get_parameter(name) for name in ffn_matrices(model)}))
    weights, change = 0.0, 0.0
    for our_edit, plain_edited in zip(ours, plain, strict=True):
        assert isinstance(our_edit, WeightEdit), our_edit
        assert our_edit.steps == plain_edited.steps, f"{our_edit.steps} steps against {plain_edited.steps}"
        our_weights, plain_weights = _weights(model, our_edit), _weights(model, plain_edited)
        distance = (our_weights - plain_weights).norm()
        weights = max(weights, float(distance / plain_weights.norm()))
        change = max(change, float(distance / (plain_weights - start).norm()))
    assert weights <= bound, f"the edited weights differ by {weights:.2g} (relative, Frobenius), allowed {bound:.0e}"
    return Distances(weights, change, tuple(edit.steps for edit in ours))


def _weights(model: Model, edit: WeightEdit) -> Tensor:
    return torch.cat([edit.overrides[name].flatten() for name in ffn_matrices(model)])
