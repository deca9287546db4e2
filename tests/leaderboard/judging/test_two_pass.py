"""Two passes give float32's verdicts: with TF32 imitated, with planted flips, and after a stop."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from benchmark.core.devices import float32_settings
from benchmark.core.readers import Unreadable
from benchmark.data import dataset
from benchmark.data.dataset import Benchmark
from benchmark.models.load import BaseModel, load_base
from editors.core.registry import choose
from leaderboard.judging.evaluate import evaluate
from leaderboard.judging.judge import Judge
from leaderboard.judging.sampling import Settings
from leaderboard.judging.two_pass import FACTOR, MEASURED, Tally, TwoPass, add_up, tf32
from leaderboard.measures.two_pass import imitated_tf32
from leaderboard.records import outcomes, record
from leaderboard.scores import tables

CLASSES, IMAGES = 5, 400


class Planted:
    """Logits that differ by `error` at most while `fast` is in force; those of `liars` then name another class."""

    def __init__(self, error: float, liars: tuple[int, ...] = ()) -> None:
        generator = torch.Generator().manual_seed(1)
        self.exact = torch.randn(IMAGES, CLASSES, generator=generator)
        self.rounded = self.exact + error * (2 * torch.rand(IMAGES, CLASSES, generator=generator) - 1)
        for image in liars:
            self.rounded[image] = self.exact[image].roll(1)
        self.is_fast = False
        self.asked: list[int] = []

    @contextmanager
    def fast(self) -> Iterator[None]:
        self.is_fast = True
        yield
        self.is_fast = False

    def logits_of(self, rows: torch.Tensor) -> torch.Tensor:
        if not self.is_fast:
            self.asked.append(len(rows))
        return (self.rounded if self.is_fast else self.exact)[rows]


def measured(planted: Planted, rows: torch.Tensor) -> TwoPass:
    two_pass = TwoPass(planted.fast)
    for _ in range(MEASURED):
        assert torch.equal(two_pass.classes(planted.logits_of, rows), planted.exact[rows].argmax(-1))
    return two_pass


def test_the_bound_is_four_times_the_largest_error_and_only_images_below_it_are_scored_again() -> None:
    planted, rows = Planted(0.01), torch.arange(IMAGES)
    two_pass = measured(planted, rows)
    largest = (planted.rounded - planted.exact).abs().max().item()
    assert two_pass.bound == pytest.approx(FACTOR * largest)
    planted.asked.clear()
    assert torch.equal(two_pass.classes(planted.logits_of, rows), planted.exact.argmax(-1))
    first, second = planted.rounded.topk(2).values.unbind(-1)
    tally = two_pass.take_tally()
    assert tally.again == int((first - second < two_pass.bound).sum()) > 0
    assert planted.asked == [tally.again + tally.checked] and tally.images == IMAGES
    assert 0 < tally.checked < IMAGES / 10 and tally.disagreements == 0
    assert two_pass.take_tally() == Tally()


def test_a_flip_that_the_check_finds_raises_the_bound_and_its_images_are_scored_again() -> None:
    planted = Planted(0.0, liars=tuple(range(200, IMAGES)))
    two_pass = measured(planted, torch.arange(200))  # the error looks like nothing
    assert two_pass.bound == 0
    rows = torch.arange(IMAGES)
    assert torch.equal(two_pass.classes(planted.logits_of, rows), planted.exact.argmax(-1))
    tally = two_pass.take_tally()
    assert tally.disagreements > 0 and tally.images >= 2 * IMAGES and two_pass.bound > 0


def test_an_image_without_finite_logits_in_the_first_pass_is_scored_again() -> None:
    planted, rows = Planted(0.0), torch.arange(IMAGES)
    two_pass = measured(planted, rows)
    planted.rounded[7] = torch.inf
    assert torch.equal(two_pass.classes(planted.logits_of, rows), planted.exact.argmax(-1))
    assert two_pass.take_tally().again == 1


def test_tallies_add_up() -> None:
    first, second = Tally(0.5, 10, 2, 1, 0), Tally(0.25, 20, 3, 2, 1)
    assert add_up([asdict(first), asdict(second)]) == Tally(0.5, 30, 5, 3, 1)
    assert add_up([]) == Tally()


def test_tf32_is_allowed_inside_and_forbidden_again_after() -> None:
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    with tf32():
        assert torch.get_float32_matmul_precision() == "high" and torch.backends.cudnn.allow_tf32
        assert float32_settings()["cuda.matmul"] == "tf32"
    assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == before


def test_ten_bits_are_kept() -> None:
    with imitated_tf32():
        product = torch.tensor([[1 + 2**-11 + 2**-20]]) @ torch.tensor([[1.0]])
        kept = torch.tensor([[1 + 2**-10]]) @ torch.tensor([[1.0]])
    assert (product.item(), kept.item()) == (1 + 2**-10, 1 + 2**-10)


def test_a_run_in_two_passes_on_the_mini_has_the_outcomes_of_one_pass(tmp_path: Path) -> None:
    base, benchmark, settings = load_base("mini"), dataset.load("mini"), Settings(limit=8)
    chosen = choose("random-mask", "mini")
    exact = evaluate(chosen, Judge(base, benchmark), settings, tmp_path / "one", progress=False)
    twice = Judge(base, benchmark, two_pass=TwoPass(imitated_tf32))
    result = evaluate(chosen, twice, settings, tmp_path / "two", progress=False)
    in_one, in_two = (outcomes.read(tmp_path / name) for name in ("one", "two"))
    assert outcomes.digest(in_one) == outcomes.digest(in_two)
    assert result.two_pass is not None and exact.two_pass is None
    assert 0 < result.two_pass.again < 0.1 * result.two_pass.images and result.two_pass.disagreements == 0
    assert result.protocol.precision == "two-pass" and result.key != exact.key
    assert result.comparable_key() == exact.comparable_key()
    assert "two passes" in tables.editor_cell(result) and "float32" in tables.heading(result)
    doubted = result.model_copy(update={"two_pass": result.two_pass.model_copy(update={"disagreements": 1})})
    assert doubted.comparable_key() != exact.comparable_key()


def test_counts_survive_a_stop(
    base: BaseModel, small_benchmark: Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen, settings = choose("random-mask:lr=0.01,max_steps=2", "small"), Settings(limit=8, edit_batch=2)

    def run(folder: Path) -> record.Record:
        judge = Judge(base, small_benchmark, two_pass=TwoPass(imitated_tf32))
        return evaluate(chosen, judge, settings, folder, progress=False)

    write = outcomes.write_part

    def stop_later(folder: Path, number: int, part: outcomes.Part) -> None:
        write(folder, number, part)
        if number == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(outcomes, "write_part", stop_later)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "stopped")
    stopped, whole = run(tmp_path / "stopped"), run(tmp_path / "whole")
    assert outcomes.digest(outcomes.read(tmp_path / "stopped")) == outcomes.digest(outcomes.read(tmp_path / "whole"))
    assert stopped.two_pass is not None and whole.two_pass is not None
    first = outcomes.read_passes(tmp_path / "stopped")
    joined = tmp_path / "stopped" / "outcomes.parquet"
    table = pq.read_table(joined)
    for written in (b"[]", b'{"edits": [{"bound": -1}]}', b'{"edits": 3}', b"noise"):
        pq.write_table(table.replace_schema_metadata({b"two_pass": written}), joined)
        with pytest.raises(Unreadable, match=r"outcomes\.parquet"):
            outcomes.read_passes(tmp_path / "stopped")
    assert len(first) == 8 and stopped.two_pass.images == sum(passes["images"] for passes in first)
    assert stopped.two_pass.images <= whole.two_pass.images  # what came after the stop was measured again first
    assert np.isfinite(stopped.two_pass.bound) and json.loads((tmp_path / "stopped" / "record.json").read_text())
