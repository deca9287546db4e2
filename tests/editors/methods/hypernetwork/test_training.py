"""Training in both forms: it learns, a killed run goes on bit by bit, and what cannot go on says so."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save

from benchmark.core.errors import UserError
from benchmark.images.source import ImageSource
from benchmark.models.load import BaseModel
from editors.methods.hypernetwork import bank as banks
from editors.methods.hypernetwork import fit
from editors.methods.hypernetwork.bank import TargetBank, build, draw_start
from editors.methods.hypernetwork.checkpoint import load
from editors.methods.hypernetwork.meta import optimise_targets, prepare
from editors.methods.hypernetwork.network import Hypernetwork
from editors.methods.hypernetwork.pseudo import PseudoSamples
from editors.training.loop import state_path
from tests.editors.methods.hypernetwork.conftest import metadata, quick


class Killed(BaseException):
    """Stands for a signal."""


def small_bank(samples: PseudoSamples, folder: Path, monkeypatch: pytest.MonkeyPatch, size: int = 16) -> TargetBank:
    monkeypatch.setattr(banks, "PART", 8)
    return build(folder, samples, size, progress=False)


def run(samples: PseudoSamples, bank: TargetBank | None, out: Path, seed: int = 0, every: int = 5) -> Hypernetwork:
    return fit.fit_network(samples, bank, out, seed, metadata(samples, seed), every, progress=False)


def curve(out: Path) -> list[dict[str, str]]:
    with out.with_suffix(".csv").open() as file:
        return list(csv.DictReader(file))


def test_the_bank_is_the_targets_one_by_one_and_goes_on_where_it_stopped(
    tiny: BaseModel, source: ImageSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = PseudoSamples(tiny, source, quick(), seed=0)
    whole = small_bank(samples, tmp_path / "whole", monkeypatch)
    episodes = prepare(tiny.module, *samples.batch([11]))
    target, _ = optimise_targets(tiny.module, episodes, draw_start(samples, 11)[None], samples.recipe)
    torch.testing.assert_close(whole.features[11], episodes.features[0], rtol=1e-5, atol=1e-5)
    assert (whole.targets[11].float() - target[0]).abs().lt(0.01).float().mean() > 0.99

    small_bank(samples, tmp_path / "parts", monkeypatch, size=8)
    first = tmp_path / "parts" / "part-000000.safetensors"
    before = first.stat().st_mtime_ns
    grown = small_bank(samples, tmp_path / "parts", monkeypatch)
    assert first.stat().st_mtime_ns == before
    assert torch.equal(grown.targets, whole.targets) and torch.equal(grown.features, whole.features)
    first.write_bytes(first.read_bytes()[:-1])
    mended = small_bank(samples, tmp_path / "parts", monkeypatch)
    assert torch.equal(mended.targets, whole.targets), "a damaged part is made again"
    refit = PseudoSamples(tiny, source, quick(blocks=2, lr=1e-3, batch_size=2), seed=0)
    assert torch.equal(small_bank(refit, tmp_path / "whole", monkeypatch).targets, whole.targets)
    other = PseudoSamples(tiny, source, quick(inner_lr=0.1), seed=0)
    with pytest.raises(UserError, match=r"its inner_lr is 0\.001, yours is 0\.1.*--bank"):
        small_bank(other, tmp_path / "whole", monkeypatch)


def test_a_part_of_the_bank_that_is_damaged_or_changed_is_made_again(
    tiny: BaseModel, source: ImageSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = PseudoSamples(tiny, source, quick(), seed=0)
    whole = small_bank(samples, tmp_path / "bank", monkeypatch, size=8)
    part = tmp_path / "bank" / "part-000000.safetensors"
    data, tensors = part.read_bytes(), load_file(part)
    lies = {**tensors, "targets": -tensors["targets"]}
    for damage in (data[:100], data[:-1], b"", save(lies, metadata={"sha256": "0" * 64}), save({"kl": tensors["kl"]})):
        part.write_bytes(damage)
        again = small_bank(samples, tmp_path / "bank", monkeypatch, size=8)
        assert torch.equal(again.targets, whole.targets) and torch.equal(again.features, whole.features)


@pytest.mark.parametrize(
    "recipe",
    [quick(), quick("paper"), quick("paper", form="standard")],
    ids=lambda recipe: f"{recipe.recipe}-{recipe.form}",
)
def test_a_killed_run_goes_on_to_the_same_weights_and_curve(
    tiny: BaseModel, source: ImageSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe
) -> None:
    samples = PseudoSamples(tiny, source, recipe, seed=0)
    bank = small_bank(samples, tmp_path / "bank", monkeypatch) if recipe.form == "decoupled" else None
    straight, killed = tmp_path / "straight.safetensors", tmp_path / "killed.safetensors"
    run(samples, bank, straight)

    real = fit.learning_rate

    def dies(recipe, iteration):
        if iteration == 8:  # after the checkpoint of iteration 5
            raise Killed
        return real(recipe, iteration)

    monkeypatch.setattr(fit, "learning_rate", dies)
    with pytest.raises(Killed):
        run(samples, bank, killed)
    assert load(killed, tiny.weights_sha256).metadata["iteration"] == "5"
    monkeypatch.setattr(fit, "learning_rate", real)
    run(samples, bank, killed)
    resumed, uninterrupted = (load(path, tiny.weights_sha256) for path in (killed, straight))
    assert resumed.metadata == uninterrupted.metadata and resumed.metadata["iteration"] == str(recipe.iterations)
    for name, tensor in resumed.network.state_dict().items():
        assert torch.equal(tensor, uninterrupted.network.state_dict()[name]), name
    assert curve(killed) == curve(straight) and len(curve(killed)) == recipe.iterations
    assert killed.with_suffix(".png").stat().st_size > 5000
    assert {"iteration", "kl", "sparsity", "loss"} <= set(curve(killed)[0])
    assert not list(tmp_path.glob(".*")), "a temporary file was left behind"


def test_a_run_with_other_settings_is_not_gone_on_with(
    tiny: BaseModel, source: ImageSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = PseudoSamples(tiny, source, quick(), seed=0)
    bank = small_bank(samples, tmp_path / "bank", monkeypatch)
    out = tmp_path / "hn.safetensors"
    run(samples, bank, out)
    other = PseudoSamples(tiny, source, quick(lr=0.01), seed=0)
    with pytest.raises(UserError, match=r"its lr is 0\.0001, yours is 0\.01"):
        run(other, bank, out)
    with pytest.raises(UserError, match=r"its seed is 0, yours is 3"):
        run(samples, bank, out, seed=3)
    state_path(out).write_bytes(b"nonsense")
    with pytest.raises(UserError, match="delete it to start anew"):
        run(samples, bank, out)


def test_the_decoupled_form_learns_its_bank(
    tiny: BaseModel, source: ImageSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = PseudoSamples(tiny, source, quick(iterations=60, lr=1e-3, outer_steps=5), seed=0)
    bank = small_bank(samples, tmp_path / "bank", monkeypatch)
    run(samples, bank, tmp_path / "hn.safetensors")
    rows = curve(tmp_path / "hn.safetensors")
    assert float(rows[-1]["loss"]) < 0.8 * float(rows[0]["loss"])


def test_the_standard_form_learns_to_be_sparse(tiny: BaseModel, source: ImageSource, tmp_path: Path) -> None:
    recipe = quick(form="standard", iterations=30, lr=3e-3, sparsity_weight=50.0)
    run(PseudoSamples(tiny, source, recipe, seed=0), None, tmp_path / "hn.safetensors")
    rows = curve(tmp_path / "hn.safetensors")
    assert float(rows[-1]["sparsity"]) > float(rows[0]["sparsity"]) + 0.2


def test_a_loss_that_is_not_finite_leaves_the_last_checkpoint_whole(
    tiny: BaseModel, source: ImageSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = PseudoSamples(tiny, source, quick(), seed=0)
    bank = small_bank(samples, tmp_path / "bank", monkeypatch)
    out = tmp_path / "hn.safetensors"
    with pytest.raises(UserError, match=r"not finite at iteration 0; lower --lr"):
        run(samples, replace(bank, features=bank.features * torch.nan), out)
    assert not out.exists() and not state_path(out).exists()
    broken = PseudoSamples(tiny, source, quick(inner_lr=1e30), seed=0)
    with pytest.raises(UserError, match=r"pseudo-sample 0 is not finite; lower --inner-lr"):
        small_bank(broken, tmp_path / "other", monkeypatch)
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["bank.json"]
