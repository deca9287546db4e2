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
from benchmark.data.scored import EDIT, FAR, LOCALITY, TAKEN
from benchmark.labels.columns import UNKNOWN
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
from leaderboard.records.columns import PREDICTIONS
from leaderboard.scores import metrics

KNOWN = 0.5  # least share of D_l that a base must get right for its LR to say something
NOISE = 0.01  # most flips under no edit at all

log = logging.getLogger(__name__)


class Place(NamedTuple):
    """Images that are computed together: a whole split, a group of the editing samples, or a class of those taken."""

    split: str
    part: str | int | None = None
    """The group's id, or the class; None for the whole split."""


class Prediction(NamedTuple):
    """The classes that one edited model predicts, int16, -1 of a failed edit, and its forward path in outcomes.

    group: (|S|,), locality: (|D_l|,). path: "tail", "full" (every block again), "called" (a module) or "editor" (its
    own process answered). taken: of the class that the base took its sample for in `locality_taken`, (n,). far: of
    `locality_far`, (n,). Both are None in a benchmark without these splits.
    """

    group: np.ndarray
    locality: np.ndarray
    path: str
    taken: np.ndarray | None = None
    far: np.ndarray | None = None

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """The predictions by the columns of outcomes."""
        values = (self.group, self.locality, self.taken, self.far)
        columns = zip(PREDICTIONS.values(), values, strict=True)
        return {column: classes for column, classes in columns if classes is not None}


class Judge:
    """A base model and the images its edits are judged on, with the caches that make it fast.

    The editing samples are those that this base gets wrong (paper, A.3). Memory: decoded images and prefix tokens of
    D_l and `locality_far`, of one group at a time and of the classes that its samples were taken for. With
    `two_pass`, edits are judged that way.
    """

    def __init__(
        self, base: BaseModel, benchmark: Benchmark, score_batch: int = SCORE_BATCH, two_pass: TwoPass | None = None
    ) -> None:
        self.base = base
        self.score_batch = score_batch
        self.two_pass = two_pass
        self._chunks = Chunks(score_batch)
        self._group = ""
        self._images: dict[Place, Tensor] = {}
        self._tokens: dict[tuple[Place, Cut, bool], Tensor] = {}
        check_supported(base.module)
        self.benchmark, self.base_edit, self.base_locality = filter_benchmark(base, benchmark, score_batch)
        accuracy = metrics.accuracy(self.base_locality, self.benchmark.locality.labels)
        if accuracy is not None and accuracy < KNOWN:
            log.warning(
                "%s gets %.0f %% of D_l right before any edit, and an edit can hardly break what is wrong already: "
                "its LR says little; read LR agreement",
                *(base.name, 100 * accuracy),
            )

    def predict(self, edit: Edit, group_id: str, taken_for: int = UNKNOWN, in_one_pass: bool = False) -> Prediction:
        """Predictions of one edited model, whose sample the base takes for the class `taken_for`.

        `in_one_pass`: in float32 alone, even where the judge has two.
        """
        (prediction,) = self.predict_many([edit], group_id, [taken_for], in_one_pass)
        return prediction

    def predict_many(
        self, edits: Sequence[Edit], group_id: str, taken_for: Sequence[int] = (), in_one_pass: bool = False
    ) -> list[Prediction]:
        """Predictions of one edited model, or of several at once: of edits that `likeness` finds alike."""
        self._enter(group_id)
        taken_for = taken_for or [UNKNOWN] * len(edits)
        path, two_pass = path_of(self.base.module, edits), None if in_one_pass else self.two_pass
        if isinstance(path.forward, Kept):
            classes = {split: [own] for split, own in self._run_mixed(path, group_id, taken_for[0]).items()}
            name = "editor"
        else:
            shared, name = [place for place in self._places(group_id, UNKNOWN) if place.split != TAKEN], path.name
            classes = {place.split: [*self._run(path, place, two_pass)] for place in shared}
            if self.benchmark.locality_taken is not None:
                classes[TAKEN] = self._run_taken(edits, taken_for, two_pass)
        none = [None] * len(edits)
        by_edit = zip(
            classes[EDIT], classes[LOCALITY], classes.get(TAKEN) or none, classes.get(FAR) or none, strict=True
        )
        return [Prediction(group, locality, name, taken, far) for group, locality, taken, far in by_edit]

    def likeness(self, edit: Edit) -> Likeness:
        """Names and shapes that edits judged at once share; empty of one judged alone, as all are in two passes."""
        return frozenset() if self.two_pass else likeness(self.base.module, edit)

    @torch.no_grad()
    @exact_float32()
    def logits(self, edit: Edit, images: Tensor) -> Tensor | None:
        """Logits (n, classes) that an edited model gives for preprocessed images; None of a failed edit."""
        path = path_of(self.base.module, [edit])
        if path.forward is None:
            return None
        inputs = images if path.cut is None else self._tokens_at(path.cut, path.both_sides, images)
        return self._logits(path, inputs)

    def noise_floor(self) -> tuple[int, int]:
        """Flips between the full forward and the tail under equal copies of the six matrices; and the number of images.

        Over all that the first edit is judged on, with the cut of an FFN edit. Raises `UserError` if more than `NOISE`
        of them flip: the tail then computes another model than the base, and no score of it means anything.
        """
        model, first = self.base.module, self.benchmark.groups[0]
        same = WeightEdit({name: model.get_parameter(name).detach().clone() for name in ffn_matrices(model)})
        base_group = self.base_edit[self.benchmark.members(first)]
        predictions = self.predict(same, first, int(base_group[0]), True).columns
        expected = {PREDICTIONS[EDIT]: base_group, PREDICTIONS[LOCALITY]: self.base_locality}
        for split, rows in ((TAKEN, self.benchmark.taken_rows(int(base_group[0]))), (FAR, slice(None))):
            if images := self.benchmark.splits.get(split):
                expected[PREDICTIONS[split]] = images.labels[rows]
        count = sum(map(len, expected.values()))
        flips = sum(int((predictions[column] != classes).sum()) for column, classes in expected.items())
        if flips > NOISE * count:
            raise UserError(
                f"{self.base.name}: {flips} of {count} predictions differ between its own forward and the tail "
                f"without any edit, and at most {NOISE:.0%} may; its forward is not the one that is edited here, so no "
                "score would mean anything; take a plain timm ViT"
            )
        return flips, count

    def _places(self, group_id: str, taken_for: int) -> list[Place]:
        """The images that an edit is judged on, one place a split."""
        parts: dict[str, str | int] = {EDIT: group_id, TAKEN: taken_for}
        return [Place(split, parts.get(split)) for split in self.benchmark.splits]

    def _rows(self, place: Place) -> np.ndarray:
        if place.split == EDIT:
            return self.benchmark.members(str(place.part))
        if isinstance(place.part, int):
            return self.benchmark.taken_rows(place.part)
        return np.arange(len(self.benchmark.splits[place.split]))

    def _enter(self, group_id: str) -> None:
        """Forget the images of the last group, and of the classes that its samples were taken for."""
        if group_id == self._group:
            return
        self._group = group_id
        self._images = {place: value for place, value in self._images.items() if place.part is None}
        self._tokens = {key: value for key, value in self._tokens.items() if key[0].part is None}

    def weights_sha256(self) -> str:
        """The base's hash as it is now."""
        return hash_weights(self.base.module)

    @torch.no_grad()
    @exact_float32()
    def _run(self, path: Path, place: Place, two_pass: TwoPass | None) -> np.ndarray:
        """Predictions (m, n) of m edits for the images of one place."""
        count = len(self._rows(place))
        if path.forward is None or not count:
            return np.full((*(path.axes or (1,)), count), NOWHERE, np.int16)
        inputs = self._decoded(place) if path.cut is None else self._prefix(place, path.cut, path.both_sides)

        def logits_of(rows: Tensor) -> Tensor:
            chunks = self._chunks.run(lambda part: self._logits(path, rows[part]), len(rows))
            return torch.cat(chunks, dim=-2)

        classes = two_pass.classes(logits_of, inputs) if two_pass else top1(logits_of(inputs))
        return np.atleast_2d(_as_outcomes(classes))

    def _run_taken(self, edits: Sequence[Edit], taken_for: Sequence[int], two_pass: TwoPass | None) -> list[np.ndarray]:
        """Predictions (n,) of each edit for the images of its own class; those of one class at once."""
        predictions = [np.empty(0, np.int16)] * len(edits)
        for label in dict.fromkeys(taken_for):
            own = [number for number, other in enumerate(taken_for) if other == label]
            path = path_of(self.base.module, [edits[number] for number in own])
            for number, classes in zip(own, self._run(path, Place(TAKEN, label), two_pass), strict=True):
                predictions[number] = classes
        return predictions

    @torch.no_grad()
    @exact_float32()
    def _run_mixed(self, path: Path, group_id: str, taken_for: int) -> dict[str, np.ndarray]:
        """Ask for all images together, in an order that says nothing of which image is which; predictions by split."""
        places = [place for place in self._places(group_id, taken_for) if len(self._rows(place))]
        parts = [self._decoded(place) if path.cut is None else self._prefix(place, path.cut) for place in places]
        inputs = torch.cat(parts)
        named = " ".join(str(place.part) for place in places if place.part is not None)
        seed = int(hashlib.sha256(f"{self.benchmark.fingerprint} {named}".encode()).hexdigest()[:8], 16)
        order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(seed)).to(inputs.device)
        logits = torch.cat([self._logits(path, inputs[rows]) for rows in order.split(self.score_batch)])
        classes = top1(logits[order.argsort()]).split([len(part) for part in parts])
        none = dict.fromkeys(self.benchmark.splits, np.empty(0, np.int16))
        return none | {place.split: _as_outcomes(own) for place, own in zip(places, classes, strict=True)}

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

    def _decoded(self, place: Place) -> Tensor:
        if place not in self._images:
            rows = None if place.part is None else self._rows(place).tolist()
            images = self.benchmark.splits[place.split].images(self.base.preprocessing, rows)
            self._images[place] = images.to(self.base.device, next(self.base.module.parameters()).dtype)
        return self._images[place]

    def _prefix(self, place: Place, cut: Cut, both_sides: bool = False) -> Tensor:
        """Tokens (n, T, N) at the cut, or (n, 2, T, N): behind the base's FFN there, too."""
        key = (place, cut, both_sides)
        if key not in self._tokens:
            for stale in [other for other in self._tokens if other[1:] != key[1:]]:
                del self._tokens[stale]
            images = self._decoded(place)
            parts = self._chunks.run(lambda part: self._tokens_at(cut, both_sides, images[part]), len(images))
            self._tokens[key] = torch.cat(parts)
        return self._tokens[key]

    def _tokens_at(self, cut: Cut, both_sides: bool, images: Tensor) -> Tensor:
        model = self.base.module
        tokens = forward_prefix(model, images, cut)
        if not both_sides:
            return tokens
        hidden = hidden_activations(model, tokens, cut.block)
        return torch.stack([tokens, tokens_after_ffn(model, tokens, hidden, cut.block)], dim=1)


def _as_outcomes(classes: Tensor) -> np.ndarray:
    return classes.to(torch.int16).cpu().numpy()
