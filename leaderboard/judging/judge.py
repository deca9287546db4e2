"""Predictions of an edited model for the images it is judged on: computed fast, and exactly.

An edit touches blocks >= k. What lies below is computed once an image and cached; only the tail runs for
each edit. The base's own predictions are computed once.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmark.core.blame import defined_at, raised_at
from benchmark.core.chunks import Chunks
from benchmark.core.crash import is_out_of_memory
from benchmark.core.devices import exact_float32
from benchmark.core.errors import UserError, message_line
from benchmark.data.dataset import Benchmark
from benchmark.labels.imagenet import CLASSES
from benchmark.models.checks import check_supported
from benchmark.models.identity import hash_weights
from benchmark.models.load import BaseModel
from benchmark.models.vit import Cut, ffn_matrices, forward_prefix, hidden_activations, tokens_after_ffn
from benchmark.predict.benchmark import SCORE_BATCH, filter_benchmark
from benchmark.predict.engine import top1
from benchmark.predict.store import NOWHERE
from editors.core.edit import Edit, WeightEdit
from leaderboard.judging.paths import Likeness, Path, likeness, path_of
from leaderboard.judging.two_pass import TwoPass
from leaderboard.judging.wire import Kept
from leaderboard.scores import metrics

KNOWN = 0.5  # least share of D_l that a base must get right for its LR to say something
NOISE = 0.01  # most flips under no edit at all

log = logging.getLogger(__name__)


class Prediction(NamedTuple):
    """The classes that one edited model predicts, int16, -1 of a failed edit, and its forward path in outcomes.

    group: (|S|,), locality: (|D_l|,). path: "tail", "full" (every block again), "called" (a module) or "editor" (its
    own process answered).
    """

    group: np.ndarray
    locality: np.ndarray
    path: str


class Judge:
    """A base model and the images its edits are judged on, with the caches that make it fast.

    The editing samples are those that this base gets wrong (paper, A.3). Memory: decoded images and
    prefix tokens of D_l and of one group at a time. With `two_pass`, edits are judged that way.
    """

    def __init__(
        self, base: BaseModel, benchmark: Benchmark, score_batch: int = SCORE_BATCH, two_pass: TwoPass | None = None
    ) -> None:
        self.base = base
        self.score_batch = score_batch
        self.two_pass = two_pass
        self._chunks = Chunks(score_batch)
        self._images: dict[str, Tensor] = {}
        self._tokens: dict[tuple[str, Cut, bool], Tensor] = {}
        check_supported(base.module)
        self.benchmark, self.base_edit, self.base_locality = filter_benchmark(base, benchmark, score_batch)
        accuracy = metrics.accuracy(self.base_locality, self.benchmark.locality.labels)
        if accuracy is not None and accuracy < KNOWN:
            log.warning(
                "%s gets %.0f %% of D_l right before any edit, and an edit can hardly break what is wrong already: "
                "its LR says little; read LR agreement",
                *(base.name, 100 * accuracy),
            )

    def predict(self, edit: Edit, group_id: str, in_one_pass: bool = False) -> Prediction:
        """Predictions of one edited model. `in_one_pass`: in float32 alone, even where the judge has two."""
        (prediction,) = self.predict_many([edit], group_id, in_one_pass)
        return prediction

    def predict_many(self, edits: Sequence[Edit], group_id: str, in_one_pass: bool = False) -> list[Prediction]:
        """Predictions of one edited model, or of several at once: of edits that `likeness` finds alike."""
        path = path_of(self.base.module, edits)
        if isinstance(path.forward, Kept):
            return [Prediction(*self._run_mixed(path, group_id), "editor")]
        two_pass = None if in_one_pass else self.two_pass
        group, locality = (self._run(path, where, two_pass) for where in (group_id, ""))
        return [Prediction(*both, path.name) for both in zip(group, locality, strict=True)]

    def likeness(self, edit: Edit) -> Likeness:
        """Names and shapes that edits judged at once share; empty of one judged alone, as all are in two passes."""
        return frozenset() if self.two_pass else likeness(self.base.module, edit)

    def noise_floor(self) -> tuple[int, int]:
        """Flips between the full forward and the tail under equal copies of the six matrices; and the number of images.

        Over D_l and the first group, with the cut of an FFN edit. Raises `UserError` if more than `NOISE` of them flip:
        the tail then computes another model than the base, and no score of it means anything.
        """
        model = self.base.module
        same = WeightEdit({name: model.get_parameter(name).detach().clone() for name in ffn_matrices(model)})
        first = self.benchmark.groups[0]
        expected = np.concatenate([self.base_edit[self.benchmark.members(first)], self.base_locality])
        predictions = np.concatenate(self.predict(same, first, True)[:2])
        flips = int((predictions != expected).sum())
        if flips > NOISE * len(expected):
            raise UserError(
                f"{self.base.name}: {flips} of {len(expected)} predictions differ between its own forward and the tail "
                f"without any edit, and at most {NOISE:.0%} may; its forward is not the one that is edited here, so no "
                "score would mean anything; take a plain timm ViT"
            )
        return flips, len(expected)

    def weights_sha256(self) -> str:
        """The base's hash as it is now."""
        return hash_weights(self.base.module)

    @torch.no_grad()
    @exact_float32()
    def _run(self, path: Path, group_id: str, two_pass: TwoPass | None) -> np.ndarray:
        """Predictions (m, n) of m edits for the images of a group, or of D_l where `group_id` is empty."""
        if path.forward is None:
            count = len(self.benchmark.members(group_id)) if group_id else len(self.benchmark.locality)
            return np.full((1, count), NOWHERE, np.int16)
        inputs = self._decoded(group_id) if path.cut is None else self._prefix(group_id, path.cut, path.both_sides)

        def logits_of(rows: Tensor) -> Tensor:
            chunks = self._chunks.run(lambda part: self._logits(path, rows[part]), len(rows))
            return torch.cat(chunks, dim=-2)

        classes = two_pass.classes(logits_of, inputs) if two_pass else top1(logits_of(inputs))
        return np.atleast_2d(_as_outcomes(classes))

    @torch.no_grad()
    @exact_float32()
    def _run_mixed(self, path: Path, group_id: str) -> tuple[np.ndarray, np.ndarray]:
        """Ask for the group and D_l together, in an order that says nothing of which image is which."""
        group, locality = (
            self._decoded(where) if path.cut is None else self._prefix(where, path.cut) for where in (group_id, "")
        )
        inputs = torch.cat([group, locality])
        seed = int(hashlib.sha256(f"{self.benchmark.fingerprint} {group_id}".encode()).hexdigest()[:8], 16)
        order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(seed)).to(inputs.device)
        logits = torch.cat([self._logits(path, inputs[rows]) for rows in order.split(self.score_batch)])
        predictions = _as_outcomes(top1(logits[order.argsort()]))
        return predictions[: len(group)], predictions[len(group) :]

    def _logits(self, path: Path, batch: Tensor) -> Tensor:
        """The logits of one batch. Raises `UserError` where the edited model breaks or gives something else."""
        forward_fn = path.forward
        assert forward_fn is not None
        where = forward_fn.where if isinstance(forward_fn, Kept) else defined_at(forward_fn)
        try:
            logits = forward_fn(batch)
        except (Exception, SystemExit) as error:
            if isinstance(error, UserError) or is_out_of_memory(error):
                raise
            message = f"{type(error).__name__}: {message_line(error)}"
            where = raised_at(error) or where
            raise UserError(f"its edited model cannot be called as the base can ({message}){where}") from error
        weight, classes = next(self.base.module.parameters()), getattr(self.base.module, "num_classes", CLASSES)
        shape = (*path.axes, len(batch), classes)
        right = f"{weight.dtype} logits {shape} on {weight.device}"
        if not isinstance(logits, Tensor):
            raise UserError(f"its edited model must return {right}, not {type(logits).__name__}{where}")
        if (logits.shape, logits.dtype, logits.device) != (shape, weight.dtype, weight.device):
            shown = f"{logits.dtype} {tuple(logits.shape)} on {logits.device}"
            raise UserError(f"its edited model must return {right}, not {shown}{where}")
        return logits

    def _decoded(self, group_id: str) -> Tensor:
        if group_id not in self._images:
            for stale in [name for name in self._images if name]:  # one group at a time; D_l stays
                del self._images[stale]
            samples = self.benchmark.edit if group_id else self.benchmark.locality
            rows = self.benchmark.members(group_id).tolist() if group_id else None
            images = samples.images(self.base.preprocessing, rows)
            self._images[group_id] = images.to(self.base.device, next(self.base.module.parameters()).dtype)
        return self._images[group_id]

    def _prefix(self, group_id: str, cut: Cut, both_sides: bool = False) -> Tensor:
        """Tokens (n, T, N) at the cut, or (n, 2, T, N): behind the base's FFN there, too."""
        place = (group_id, cut, both_sides)
        if place not in self._tokens:
            for stale in [key for key in self._tokens if key[0] not in ("", group_id) or key[1:] != place[1:]]:
                del self._tokens[stale]
            model, images = self.base.module, self._decoded(group_id)

            def prefix(part: slice) -> Tensor:
                tokens = forward_prefix(model, images[part], cut)
                if not both_sides:
                    return tokens
                hidden = hidden_activations(model, tokens, cut.block)
                return torch.stack([tokens, tokens_after_ffn(model, tokens, hidden, cut.block)], dim=1)

            self._tokens[place] = torch.cat(self._chunks.run(prefix, len(images)))
        return self._tokens[place]


def _as_outcomes(classes: Tensor) -> np.ndarray:
    return classes.to(torch.int16).cpu().numpy()
