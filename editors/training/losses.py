"""The distance between two predictions, as every trained editor measures it."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def divergence(logits: Tensor, target_logits: Tensor, temperature: float = 1.0) -> Tensor:
    """KL(target || predicted) of each row, (...,), both sides at a temperature, times its square (paper, eq. 3).

    `logits`, `target_logits` (..., classes).
    """
    log_p, log_target = (logits / temperature).log_softmax(-1), (target_logits / temperature).log_softmax(-1)
    return temperature**2 * F.kl_div(log_p, log_target, reduction="none", log_target=True).sum(-1)
