"""The speed benchmark's own parts: counted operations, and a comparison that finds edits that differ."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmark.models import vit
from benchmark.models.load import BaseModel
from editors import bench
from editors.core import flops
from editors.methods.finetune import FineTune, FineTuneConfig
from tests.conftest import small_vit


def counted(work) -> int:
    """FLOPs of the matrix products that torch itself saw; the fused attention kernels are counted otherwise."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


@pytest.mark.parametrize("depth", [3, 6, 12])
def test_counted_flops_are_those_that_torch_counts(depth: int) -> None:
    model = small_vit(depth=depth)
    image = torch.randn(1, 3, 32, 32)
    names = vit.ffn_matrices(model)
    cut = vit.cut_for(model, names)
    tokens = vit.forward_prefix(model, image, cut)

    def step(plain: bool) -> None:
        weights = {name: model.get_parameter(name).clone().requires_grad_() for name in names}
        logits = vit.forward(model, image, weights) if plain else vit.forward_tail(model, tokens, cut, weights)
        torch.autograd.grad(logits.sum(), list(weights.values()))

    assert flops.forward_flops(model) == counted(lambda: model(image))
    assert flops.tail_flops(model, cut) == counted(lambda: vit.forward_tail(model, tokens, cut, {}))
    assert flops.step_flops(model) == counted(lambda: step(plain=False))
    assert flops.step_flops(model, plain=True) == counted(lambda: step(plain=True))


def test_the_stop_rule_check_passes_and_means_something() -> None:
    found = bench.stop_rule_check()
    assert found.weights < bench.FLOAT64_DISTANCE and len(set(found.steps)) > 1


def test_edits_that_differ_are_found() -> None:
    model = small_vit(dtype=torch.float64)
    images, labels = bench.failures(model, 2)
    edits = FineTune(FineTuneConfig(1e-3, 3)).edit_many(model, images[:, None], labels[:, None], [0, 0])
    plain = [bench.plain_edit(model, images[i : i + 1], labels[i : i + 1], 1e-3, 3) for i in range(2)]
    assert bench.compare(model, edits, plain, 1e-9).change < 1e-9
    with pytest.raises(AssertionError, match="steps"):
        bench.compare(model, edits, [plain[0], replace(plain[1], steps=2)], 1e-9)
    with pytest.raises(AssertionError, match="differ"):
        bench.compare(model, edits, plain[::-1], 1e-9)
    with pytest.raises(AssertionError, match="not finite"):
        bench.compare(model, [replace(edits[0], failure="not finite"), edits[1]], plain, 1e-9)


def test_the_command_prints_a_ratio_and_keeps_the_numbers(
    base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "random_base", lambda *_, **__: base)
    monkeypatch.setattr(bench, "stop_rule_check", lambda: bench.Distances(0.0, 0.0, (1, 2)))
    monkeypatch.setattr(bench, "matmul_ceiling", lambda _: 1e9)
    bench.main("mini", quick=True, json=tmp_path / "speed.json")
    assert "edit: " in capsys.readouterr().out
    kept = json.loads((tmp_path / "speed.json").read_text())
    assert kept["at_once"] == 32 and kept["float32"]["steps"] == [5] * 32 and kept["speed"]["ours"]["median"] > 0
