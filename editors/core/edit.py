"""An edit: one edited model, written as its difference from the base. It is one of four kinds, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from benchmark.models.vit import Cut


@dataclass(frozen=True)
class WeightEdit:
    """Other weights.

    overrides: from parameter names to the tensors that replace them, of any shape that
        `benchmark.models.vit.forward_tail` accepts. Without any, the edited model is the base.
    steps: gradient steps, or applications of a learned change, that the edit took.

    Raises `TypeError` for overrides that are no dict.
    """

    overrides: dict[str, Tensor]
    steps: int = 0

    def __post_init__(self) -> None:
        """Check the types: the fields come from third parties."""
        if not isinstance(self.overrides, Mapping):
            shown = type(self.overrides).__name__
            raise TypeError(f"the overrides of a WeightEdit must be a dict from names to tensors, not {shown}")

    def __repr__(self) -> str:
        shapes = (f"{name} {tuple(getattr(value, 'shape', ()))}" for name, value in self.overrides.items())
        return f"WeightEdit({', '.join(shapes) or 'no weight'}; {self.steps} steps)"


@dataclass(frozen=True)
class TailEdit:
    """Another computation behind a cut; no weight changes.

    tail: from the tokens (n, T, N) at `cut` to logits (n, classes).
    cut: the place up to which the base computes as ever.
    steps: as in `WeightEdit`.

    Raises `TypeError` without a cut: tokens of another place would be scored without a word.
    """

    tail: Callable[[Tensor], Tensor]
    cut: Cut
    steps: int = 0

    def __post_init__(self) -> None:
        """Check the types: the fields come from third parties."""
        if not isinstance(self.cut, Cut):
            raise TypeError(f"the cut of a TailEdit must be a Cut, not {self.cut!r}; write cut=Cut(block)")
        if not callable(self.tail):
            raise TypeError(f"the tail of a TailEdit must be callable, not {type(self.tail).__name__}")

    def __repr__(self) -> str:
        name = getattr(self.tail, "__qualname__", type(self.tail).__name__)
        return f"TailEdit({name} from {self.cut}; {self.steps} steps)"


@dataclass(frozen=True)
class ModuleEdit:
    """A whole model; it is called as it is, on whole images, which is slow.

    module: from preprocessed images (n, 3, H, W) to logits (n, classes).
    steps: as in `WeightEdit`.

    Raises `TypeError` for what is no module.
    """

    module: nn.Module
    steps: int = 0

    def __post_init__(self) -> None:
        """Check the types: the fields come from third parties."""
        if not isinstance(self.module, nn.Module):
            raise TypeError(f"the module of a ModuleEdit must be a torch.nn.Module, not {type(self.module).__name__}")

    def __repr__(self) -> str:
        return f"ModuleEdit({type(self.module).__name__}; {self.steps} steps)"


@dataclass(frozen=True)
class FailedEdit:
    """No edited model; it counts as wrong everywhere.

    reason: why there is none, in one line.
    steps: taken until then.
    """

    reason: str
    steps: int = 0


Edit = WeightEdit | TailEdit | ModuleEdit | FailedEdit
