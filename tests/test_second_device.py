"""All that computes does so on any device (`tests.second_device`), and copies to the host only where this page says."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmark import locality
from benchmark.core import devices
from benchmark.data.dataset import load
from benchmark.images.decode import decode
from benchmark.images.open import open_images
from benchmark.models import load as loading
from benchmark.models.identity import hash_weights
from benchmark.models.load import BaseModel
from benchmark.models.vit import cut_for, ffn_matrices, forward_tail
from benchmark.predict.engine import predict
from editors import fix
from editors.core import statistics
from editors.core.edit import Edit, FailedEdit, ModuleEdit, TailEdit, WeightEdit
from editors.core.modules import to_edit
from editors.core.registry import built_in, choose
from editors.methods import finetune, lora
from editors.methods.hypernetwork import fit as hypernetwork_fit
from editors.methods.hypernetwork.bank import BankOptions
from editors.methods.ke import fit as ke_fit
from editors.methods.mend import fit as mend_fit
from editors.methods.mend import samples as mend_samples
from leaderboard.judging.at_once import time_at_once
from leaderboard.judging.judge import Judge
from tests.conftest import PREPROCESSING, png, rows_of, small_vit, write_split
from tests.editors.conftest import add_untrained, training_pool
from tests.editors.methods.hypernetwork.conftest import quick
from tests.editors.methods.ke.conftest import QUICK as KE_QUICK
from tests.editors.methods.mend.conftest import QUICK as MEND_QUICK
from tests.second_device import DEVICE, NAME, SecondDevice, TwoDevices, Unsupported, forbid_cuda, plant

MAY_COPY_TO_HOST = {
    "benchmark/models/identity.py:hash_tensors": "a hash is over bytes; once a model, not once an edit",
    "benchmark/models/identity.py:probe_logits": "ten numbers for the record, once a run",
    "benchmark/predict/engine.py:_join": "predictions go to disk, once a shard",
    "editors/core/descent.py:descend": "which failures are done, a byte each: the rest go on, so each step must know",
    "editors/training/repeat.py:until_right": "the same",
    "editors/core/saving.py:save": "the edited model goes to disk",
    "editors/methods/mend/samples.py:batch": "each sample draws its target from its own generator, which is the CPU's",
    "editors/methods/hypernetwork/bank.py:_part": "targets go to disk, a part of the bank at a time",
    "editors/core/statistics.py:_compute": "the vectors go to disk, once a batch of images",
    "editors/training/checkpoint.py:save": "a checkpoint goes to disk",
    "leaderboard/judging/judge.py:_as_outcomes": "outcomes are numpy's: two bytes an image, once an edit",
}
WITHOUT_FLOAT64 = {"benchmark/core/devices.py:in_float64": "what must be float64 is computed on the CPU"}


def base_on(device: str, depth: int = 2) -> BaseModel:
    """A random base on a device."""
    model = small_vit(depth=depth)
    return BaseModel("small", model.to(device), PREPROCESSING, hash_weights(model))


# ------------------------------------------------------------------------------------------ all that computes


def edits_of(name: str, device: str, tmp_path: Path, patch: pytest.MonkeyPatch) -> list[Edit]:
    """The edits that an editor makes of two failures after `fit`."""
    base = base_on(device, depth=3)
    add_untrained(base, tmp_path, patch)
    choice = choose(name, "small")
    fields = {field.name for field in dataclasses.fields(choice.config)}
    few = {key: value for key, value in {"lr": 0.002, "max_steps": 2}.items() if key in fields}
    editor = dataclasses.replace(choice, config=dataclasses.replace(choice.config, **few)).make()
    torch.manual_seed(0)
    editor.fit(base.module, dataclasses.replace(training_pool(base.preprocessing), device=base.device))
    random = torch.Generator().manual_seed(4)
    images = torch.randn(2, 1, 3, 32, 32, generator=random).to(device)
    labels = torch.randint(0, 1000, (2, 1), generator=random).to(device)
    edits = editor.edit_many(base.module, images, labels, [11, 12])
    edits = [to_edit(base.module, edit, image) for edit, image in zip(edits, images, strict=True)]
    learned = editor.state_dict().values()
    assert {tensor.device for tensor in learned if tensor.dtype == torch.float32} <= {base.device}
    for edit in edits:
        assert not isinstance(edit, WeightEdit) or {value.device for value in edit.overrides.values()} == {base.device}
    return edits


def run_editor(name: str, tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
    """The edits are those that are made on the CPU."""
    edits = edits_of(name, DEVICE, tmp_path / "second", patch)
    for edit, expected in zip(edits, edits_of(name, "cpu", tmp_path / "cpu", patch), strict=True):
        assert type(edit) is type(expected) and edit.steps == expected.steps
        for parameter, value in getattr(edit, "overrides", {}).items():
            torch.testing.assert_close(value.raw, expected.overrides[parameter])


def training_source(tmp_path: Path) -> Any:
    """Eight images of two classes."""
    random = np.random.default_rng(0)
    for number in range(8):
        path = tmp_path / "images" / ("cat" if number % 2 else "dog") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(random))
    return open_images(str(tmp_path / "images"))


def run_hypernetwork(form: str, tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(hypernetwork_fit, "HELD_OUT", hypernetwork_fit.HELD_OUT[:4])
    recipe, bank = quick(form=form, iterations=2), BankOptions(bank_size=8)
    source, out = training_source(tmp_path), tmp_path / "trained.safetensors"
    hypernetwork_fit.train(base_on(DEVICE), source, recipe, bank, out, progress=False)


def run_ke(tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
    recipe, out, source = KE_QUICK.but(iterations=2), tmp_path / "trained.safetensors", training_source(tmp_path)
    ke_fit.train(base_on(DEVICE), source, recipe, out, progress=False)
    ke_fit.train(base_on(DEVICE), source, recipe, out, progress=False)  # its state is read back


def run_mend(tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(mend_fit, "HELD_OUT", mend_fit.HELD_OUT[:4])
    recipe, out, source = MEND_QUICK.but(iterations=2), tmp_path / "trained.safetensors", training_source(tmp_path)
    mend_fit.train(base_on(DEVICE), source, recipe, out, progress=False)
    mend_fit.train(base_on(DEVICE), source, recipe, out, progress=False)


def run_judge(tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
    """Every kind of edit, and every path to its logits."""
    write_split(tmp_path / "data", "edit", rows_of({("1-2", "pairs"): 3}, seed=1))
    write_split(tmp_path / "data", "locality", rows_of({(None, "locality"): 5}, seed=2))
    base = base_on(DEVICE, depth=6)
    judge, model = Judge(base, load(str(tmp_path))), base.module
    judge.noise_floor()
    names, patches = ffn_matrices(model), "patch_embed.proj.weight"
    dense = {name: model.get_parameter(name) * 1.5 for name in names}
    sparse = {name: model.get_parameter(name).clone() for name in names}
    for name, value in sparse.items():
        (value[:3] if ".fc1." in name else value[:, :3]).mul_(2)
    cut = cut_for(model, names)
    edits: list[Edit] = [
        WeightEdit(dense),
        WeightEdit(sparse),
        WeightEdit({patches: model.get_parameter(patches) * 1.1}),
        TailEdit(lambda tokens: forward_tail(model, tokens, cut, dense), cut),
        ModuleEdit(model),
        FailedEdit("no reason"),
    ]
    paths = [judge.predict(edit, judge.benchmark.groups[0])[2] for edit in edits]
    assert paths == ["tail", "tail", "full", "tail", "called", "tail"]
    for edit in edits[:2]:
        assert min(time_at_once(judge, [edit] * 3, judge.benchmark.groups[0])) > 0
    base.probe()


def run_prediction(tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
    source = training_source(tmp_path)
    here, there = (predict([base_on(device)], source, progress=False) for device in ("cpu", DEVICE))
    assert here["small_label"].tolist() == there["small_label"].tolist()


def run_locality(tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
    base, random = base_on(DEVICE), np.random.default_rng(0)
    patch.setattr(loading, "load_base", lambda *_, **__: base)
    data = png(random)
    label = int(base.module(PREPROCESSING(decode(data))[None].to(DEVICE)).argmax())
    (tmp_path / "val" / str(label)).mkdir(parents=True)
    (tmp_path / "val" / str(label) / "x.png").write_bytes(data)
    locality.main(imagenet=str(tmp_path / "val"), margin=1.0, out=tmp_path / "out")


def run_fix(tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
    base = base_on(DEVICE, depth=3)
    patch.setattr(fix, "load_base", lambda *_, **__: base)
    Image.new("RGB", (32, 32), "red").save(tmp_path / "x.png")
    fix.main(tmp_path / "x.png", label="7", editor="ft:lr=0.01", out=tmp_path / "out")


Scenario = Callable[[Path, pytest.MonkeyPatch], None]
SCENARIOS: dict[str, Scenario] = {
    **{name: partial(run_editor, name) for name in built_in()},
    "hypernetwork's loop": partial(run_hypernetwork, "standard"),
    "hypernetwork's loop over a bank": partial(run_hypernetwork, "decoupled"),
    "ke's loop": run_ke,
    "mend's loop": run_mend,
    "judge": run_judge,
    "prediction": run_prediction,
    "locality": run_locality,
    "fix": run_fix,
}


@pytest.mark.parametrize("has_float64", [True, False], ids=["as CUDA", "as MPS"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_it_runs_where_the_base_lies(
    scenario: str, has_float64: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As MPS: without float64, and without a call of `torch.cuda`."""
    allowed = set(MAY_COPY_TO_HOST)
    if not has_float64:
        forbid_cuda(monkeypatch)
        monkeypatch.setattr(devices, "NO_FLOAT64", (NAME,))
        allowed |= set(WITHOUT_FLOAT64)
    with SecondDevice(float64=has_float64) as second:
        SCENARIOS[scenario](tmp_path, monkeypatch)
    assert set(second.to_host) <= allowed


# ------------------------------------------------------------------------------------------ planted faults

JUDGE, HYPERNETWORK, KE, MEND = "judge", "hypernetwork's loop over a bank", "ke's loop", "mend's loop"
FAULTS: list[tuple[str, Any, str, str, str]] = [  # scenario, function, what stands there, the fault
    ("rome", statistics, "collect", "tokens.to(weight.device)", "tokens.to(weight.device).cpu().to(weight.device)"),
    ("rome", statistics, "_compute", "cut)[:, 0]", "cut)[:, torch.tensor([0])][:, 0]"),
    ("rome", statistics, "collect", "tokens.to(weight.device)", "tokens"),
    ("ft", finetune.FineTune, "edit_many", "images.shape[:2])", "images.shape[:2]).cpu().to(images.device)"),
    ("ft", finetune.FineTune, "edit_many", "images.flatten(0, 1)", "images.flatten(0, 1)[torch.arange(len(images))]"),
    ("lora", lora.LoRA, "edit_many", ".to(tokens)", ""),
    (JUDGE, Judge, "_tokens_at", "return tokens\n", "return tokens.cpu().to(tokens.device)\n"),
    (JUDGE, Judge, "_prefix", "images[part]", "images[torch.arange(len(images))[part]]"),
    (JUDGE, Judge, "_decoded", "images.to(self.base.device, next(self.base.module.parameters()).dtype)", "images"),
    (HYPERNETWORK, hypernetwork_fit, "fit_loss", "scores)", "scores.cpu().to(scores.device))"),
    (HYPERNETWORK, hypernetwork_fit, "fit_loss", "targets)", "targets[torch.arange(len(targets))])"),
    (HYPERNETWORK, hypernetwork_fit, "from_bank", "features[rows].to(device)", "features[rows]"),
    (KE, ke_fit, "apply_edit", "episodes.targets[rows])", "episodes.targets[rows].cpu().to(rows.device))"),
    (KE, ke_fit, "apply_edit", "episodes.views[rows]", "episodes.views[torch.arange(len(rows))]"),
    (KE, ke_fit, "update", ", device=network.alpha.device", ""),
    (
        MEND,
        mend_fit,
        "_step",
        "factors(model, episodes.edited,",
        "factors(model, episodes.edited.cpu().to(samples.base.device),",
    ),
    (MEND, mend_fit, "losses", "episodes.targets[:, 0]", "episodes.targets[torch.arange(len(episodes)), 0]"),
    (MEND, mend_samples.EditingSamples, "batch", ", device=like.device", ""),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault[0]}-{fault[2]}-{fault[4][:40]}")
def test_a_planted_fault_is_found(
    fault: tuple[str, Any, str, str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy to the host and back, an index on the CPU, and a missing ``.to``, in each."""
    scenario, owner, name, old, new = fault
    plant(monkeypatch, owner, name, old, new)
    with SecondDevice() as second:
        try:
            SCENARIOS[scenario](tmp_path, monkeypatch)
        except TwoDevices as error:
            assert ".py:" in str(error), "our own line is named"
        else:
            assert set(second.to_host) - set(MAY_COPY_TO_HOST)


def test_the_stand_in_for_mps_has_no_float64_and_no_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_cuda(monkeypatch)
    monkeypatch.setattr(devices, "NO_FLOAT64", ())
    with SecondDevice(float64=False), pytest.raises(Unsupported, match=r"float64, at benchmark/core/devices.py:in_fl"):
        devices.in_float64(torch.zeros(2, device=DEVICE))
    with pytest.raises(Unsupported, match=r"torch.cuda.synchronize is called at benchmark/core/devices.py"):
        devices.wait(torch.device("cuda"))
