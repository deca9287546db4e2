"""The training loop of every trained editor, with checkpoints from which a killed run continues, bit by bit."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from benchmark.core import options
from benchmark.core.arrays import load_pickled
from benchmark.core.devices import pick
from benchmark.core.errors import UserError, message_line
from benchmark.core.files import cannot_write, write_bytes
from benchmark.core.locks import locked
from benchmark.core.ranges import Count
from benchmark.core.readers import Unreadable, parse_json
from benchmark.core.stopping import ANEW, going_on
from benchmark.core.text import printable
from benchmark.core.workdir import refuse_other
from benchmark.images.source import ImageSource
from benchmark.models.checks import check_supported
from benchmark.models.load import BaseModel, load_base
from editors.training import curves
from editors.training.checkpoint import CheckpointStore
from editors.training.images import open_training_images

DAMAGED = "delete it to start anew"
POINTS = 100  # on a training curve


@dataclass(frozen=True)
class TrainingRun:
    """The base and the images to train on, and the checkpoint to write; the same command continues a stopped run."""

    base: options.Base
    images: options.Images
    out: options.Out
    seed: options.Seed = 0
    device: options.Device = "auto"
    checkpoint_every: Count = 500
    """Iterations between two checkpoints."""

    def __post_init__(self) -> None:
        if self.out.suffix != ".safetensors":
            raise UserError(f"--out must end in .safetensors, not {self.out.suffix or 'in nothing'}: {self.out}")

    def open(self) -> tuple[BaseModel, ImageSource]:
        """The base model and the training images. Raises `UserError` for a base that no editor supports."""
        base = load_base(self.base, device=pick(self.device))
        check_supported(base.module)
        return base, open_training_images(self.images)


@dataclass
class TrainingLoop:
    """The loop of one run, its network and optimiser.

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
    metadata: dict[str, str]
    store: CheckpointStore
    iteration: int = 0
    saved: int = 0
    """The iteration of the state on disk."""
    curve: list[dict[str, float]] = field(default_factory=list)

    def run(self, out: Path, checkpoint_every: int, progress: bool = True) -> None:
        """Train, and write the network to `out`; its curves (csv, png) and its state go beside it.

        Goes on from the state beside `out`, if there is one. Raises `UserError` if it was made with other settings, or
        another process trains for `out`.
        """
        with cannot_write(out):
            out.parent.mkdir(parents=True, exist_ok=True)
        with locked(out.with_name(f".{out.name}.lock"), out), going_on(self._how_to_go_on):
            self._run(out, checkpoint_every, progress)

    def _how_to_go_on(self) -> str:
        return f"the same command goes on from iteration {self.saved:,}" if self.saved else ANEW

    def _run(self, out: Path, checkpoint_every: int, progress: bool) -> None:
        self._restore(state_path(out))
        if self.iteration == self.iterations and not out.is_file():  # only the checkpoint was deleted
            self._save(out)
        every = max(1, self.iterations // POINTS)
        with tqdm(
            total=self.iterations, initial=self.iteration, unit="it", desc=printable(out.stem), disable=not progress
        ) as bar:
            while self.iteration < self.iterations:
                loss = self.step(self.iteration)
                self.iteration += 1
                bar.update()
                if self.iteration % every == 0 or self.iteration in (1, self.iterations):
                    self.curve.append({"iteration": self.iteration, "loss": loss, **self.measure()})
                    bar.set_postfix({name: f"{x:.3f}" for name, x in self.curve[-1].items() if name != "iteration"})
                if self.iteration % checkpoint_every == 0 or self.iteration == self.iterations:
                    self._save(out)

    def _save(self, out: Path) -> None:
        """Write checkpoint, curves and state; the state last, so that it never runs ahead of the checkpoint."""
        self.store.save(out, self.network, self.metadata, self.iteration)
        curves.write(self.curve, out, self.panels)
        state = {
            "facts": self.metadata,
            "iteration": self.iteration,
            "curve": self.curve,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_bytes(state_path(out), buffer.getvalue())
        self.saved = self.iteration

    def _restore(self, path: Path) -> None:
        if not path.is_file():
            return
        state = load_pickled(path, path, DAMAGED)  # on the CPU: each value goes where it belongs
        try:
            notes = (state["facts"], self.metadata)
            old, new = ({**parse_json(note["recipe"], path), **note, "recipe": ""} for note in notes)
        except (KeyError, TypeError, Unreadable) as error:
            raise Unreadable(path, "is no state of a training run", DAMAGED) from error
        refuse_other(path, "training run", old, new)
        try:
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.iteration = self.saved = int(state["iteration"])
            self.curve = list(state["curve"])
        except Exception as error:  # of another writer, with values that no network or optimiser takes
            raise Unreadable(path, f"is no state of this training run ({message_line(error)})", DAMAGED) from error
        if not 0 <= self.iteration <= self.iterations:
            raise Unreadable(path, f"was written at iteration {self.iteration:,} of {self.iterations:,}", DAMAGED)


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
    """The file beside `out` from which a run goes on."""
    return out.with_suffix(".state.pt")
