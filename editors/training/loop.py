"""The training loop of every trained editor, with checkpoints that a killed run goes on from, bit by bit."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from benchmark.core.devices import pick
from benchmark.core.errors import UserError
from benchmark.core.files import replacing
from benchmark.models.checks import check_supported
from benchmark.models.load import BaseModel, load_base
from editors.training import curves
from editors.training.checkpoint import Store, refuse_other_settings
from editors.training.pictures import Pictures, open_pictures

POINTS = 100  # on a training curve


@dataclass
class Training:
    """One run: what is trained, how, and where it is kept.

    `step` takes one iteration, given its number, and returns its loss. Whatever it changes lies in `network`
    (parameters and buffers) or `optimizer`, and whatever it draws comes from the number, so that a run can go on
    as if it had never stopped. `measure` gives columns of the training curve, taken on images that no step sees.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    step: Callable[[int], float]
    measure: Callable[[], dict[str, float]]
    panels: Sequence[curves.Panel]
    iterations: int
    facts: dict[str, str]
    store: Store
    iteration: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)

    def run(self, out: Path, checkpoint_every: int, progress: bool = True) -> None:
        """Train, and write the network to `out`; its curves (csv, png) and its state go beside it.

        A state found there is gone on from. Raises `UserError` if it was made with other settings.
        """
        self._restore(state_path(out))
        every = max(1, self.iterations // POINTS)
        with tqdm(total=self.iterations, initial=self.iteration, unit="it", desc=out.stem, disable=not progress) as bar:
            while self.iteration < self.iterations:
                loss = self.step(self.iteration)
                self.iteration += 1
                bar.update()
                if self.iteration % every == 0 or self.iteration in (1, self.iterations):
                    self.curve.append({"iteration": self.iteration, "loss": loss, **self.measure()})
                    bar.set_postfix({name: f"{x:.3f}" for name, x in self.curve[-1].items() if name != "iteration"})
                if self.iteration % checkpoint_every == 0 or self.iteration == self.iterations:
                    self._keep(out)

    def _keep(self, out: Path) -> None:
        """Write checkpoint, curves and state; the state last, so that it never runs ahead of the checkpoint."""
        self.store.save(out, self.network, self.facts, self.iteration)
        curves.write(self.curve, out, self.panels)
        with replacing(state_path(out)) as temporary:
            torch.save(
                {
                    "facts": self.facts,
                    "iteration": self.iteration,
                    "curve": self.curve,
                    "network": self.network.state_dict(),
                    "optimizer": self.optimizer.state_dict(),
                },
                temporary,
            )

    def _restore(self, path: Path) -> None:
        if not path.is_file():
            return
        try:
            device = next(self.network.parameters()).device
            kept = torch.load(path, map_location=device, weights_only=True)
        except Exception as error:  # a file that is no state at all fails in many ways
            raise UserError(f"{path} cannot be read ({type(error).__name__}); delete it to start anew") from error
        found, wanted = ({**f, **json.loads(f["recipe"]), "recipe": ""} for f in (kept["facts"], self.facts))
        refuse_other_settings(path, found, wanted, "resume with those, or give another --out")
        self.network.load_state_dict(kept["network"])
        self.optimizer.load_state_dict(kept["optimizer"])
        self.iteration, self.curve = kept["iteration"], kept["curve"]


def step_down(optimizer: torch.optim.Optimizer, loss: Tensor, iteration: int, advice: str) -> float:
    """One optimiser step on `loss`; returns the loss before it.

    Raises `UserError` for a loss that is not finite, with `advice` on what to lower; nothing has moved then.
    """
    if not loss.isfinite():
        raise UserError(
            f"the loss is not finite at iteration {iteration}; lower {advice}. The last checkpoint is as it was"
        )
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def state_path(out: Path) -> Path:
    """Where a run to `out` keeps what it needs to go on."""
    return out.with_suffix(".state.pt")


def opening(
    base: str, data: str, out: Path, device: str, resume: bool, checkpoint_every: int
) -> tuple[BaseModel, Pictures]:
    """What every training command begins with: its checks, the base model and the images.

    Raises `UserError` for a checkpoint's name that is none, and for a run at `out` that nobody said to go on with.
    """
    if out.suffix != ".safetensors":
        raise UserError(f"{out}: a checkpoint's name ends in .safetensors")
    if state_path(out).is_file() and not resume:
        raise UserError(f"{state_path(out)} is there from an earlier run; add --resume to go on with it, or delete it")
    if checkpoint_every < 1:
        raise UserError("--checkpoint-every must be 1 or more")
    model = load_base(base, device=pick(device))
    check_supported(model.module)
    return model, open_pictures(data)
