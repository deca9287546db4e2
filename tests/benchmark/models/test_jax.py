"""A ViT as JAX saves it has the logits that timm's own reader of such a file gives it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch

from benchmark.core.arrays import read_npz
from benchmark.core.errors import UserError
from benchmark.core.readers import Unreadable
from benchmark.models.load import load_base
from tests.benchmark.models.test_weights import folder as folder  # a fixture
from tests.conftest import small_vit

WIDTH, HEADS, DEPTH, HIDDEN, CLASSES = 24, 3, 6, 96, 1000


def arrays(attention: int = 1, mlp: int = 3, norm: int = 2, stacked: bool = False) -> dict[str, np.ndarray]:
    """Random arrays of `small_vit` under JAX's names: AugReg's numbers of the parts of a block, or big_vision's."""
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    positions = "pos_embedding" if attention == 0 else "Transformer/posembed_input/pos_embedding"
    named = {
        "cls": draw(1, 1, WIDTH), positions: draw(1, 5, WIDTH),
        "embedding/kernel": draw(16, 16, 3, WIDTH), "embedding/bias": draw(WIDTH),
        "Transformer/encoder_norm/scale": draw(WIDTH), "Transformer/encoder_norm/bias": draw(WIDTH),
        "head/kernel": draw(WIDTH, CLASSES), "head/bias": draw(CLASSES),
    }  # fmt: skip
    lead = (DEPTH,) if stacked else ()
    for block in [""] if stacked else [f"_{number}" for number in range(DEPTH)]:
        prefix = f"Transformer/encoderblock{block}"
        heads = f"{prefix}/MultiHeadDotProductAttention_{attention}"
        for part in ("query", "key", "value"):
            named[f"{heads}/{part}/kernel"] = draw(*lead, WIDTH, HEADS, WIDTH // HEADS)
            named[f"{heads}/{part}/bias"] = draw(*lead, HEADS, WIDTH // HEADS)
        named[f"{heads}/out/kernel"], named[f"{heads}/out/bias"] = (
            draw(*lead, HEADS, WIDTH // HEADS, WIDTH),
            draw(*lead, WIDTH),
        )
        for number in (0, norm):
            for kind in ("scale", "bias"):
                named[f"{prefix}/LayerNorm_{number}/{kind}"] = draw(*lead, WIDTH)
        for number, shape in enumerate(((WIDTH, HIDDEN), (HIDDEN, WIDTH))):
            named[f"{prefix}/MlpBlock_{mlp}/Dense_{number}/kernel"] = draw(*lead, *shape)
            named[f"{prefix}/MlpBlock_{mlp}/Dense_{number}/bias"] = draw(*lead, shape[1])
    return named


BIG_VISION = {"attention": 0, "mlp": 0, "norm": 1}


@pytest.mark.parametrize(
    ("prefix", "layout"),
    [("", {}), ("opt/target/", {}), ("params/", BIG_VISION), ("params/", {**BIG_VISION, "stacked": True})],
)
def test_the_logits_are_those_of_timms_reader(folder: Path, tmp_path: Path, prefix: str, layout: dict) -> None:
    file = tmp_path / "w.npz"
    state = {"opt/state/step": np.zeros((), np.int64)} if prefix.startswith("opt") else {}
    np.savez(file, **{f"{prefix}{name}": array for name, array in arrays(**layout).items()}, **state)
    by_timm = small_vit()
    by_timm.load_pretrained(str(file))
    base = load_base(f"{folder}={file}")
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        logits = by_timm(images)
        assert torch.equal(base.module(images), logits) and logits.std() > 1
    assert "converted from JAX's layout" in base.loading


def test_vitb16_takes_such_a_file_with_the_papers_preprocessing(tmp_path: Path, monkeypatch) -> None:
    """At the true shape of ViT-B/16, in 12 blocks of zeros but for what shows a wrong axis."""
    with torch.device("meta"):
        shapes = {name: tuple(t.shape) for name, t in timm.create_model("vit_base_patch16_224").state_dict().items()}
    width, heads = 768, 12
    bias = np.linspace(-1, 1, 1000, dtype=np.float32)
    named = {
        "cls": np.zeros((1, 1, width), np.float32), "head/bias": bias,
        "Transformer/posembed_input/pos_embedding": np.zeros((1, 197, width), np.float32),
        "embedding/kernel": np.zeros((16, 16, 3, width), np.float32), "embedding/bias": np.zeros(width, np.float32),
        "Transformer/encoder_norm/scale": np.zeros(width, np.float32), "head/kernel": np.zeros((width, 1000), np.half),
        "Transformer/encoder_norm/bias": np.zeros(width, np.float32),
    }  # fmt: skip
    for number in range(12):
        block = f"Transformer/encoderblock_{number}"
        attention = f"{block}/MultiHeadDotProductAttention_1"
        for part in ("query", "key", "value"):
            named[f"{attention}/{part}/kernel"] = np.zeros((width, heads, width // heads), np.half)
            named[f"{attention}/{part}/bias"] = np.zeros((heads, width // heads), np.half)
        named[f"{attention}/out/kernel"] = np.zeros((heads, width // heads, width), np.half)
        named[f"{attention}/out/bias"] = np.zeros(width, np.half)
        for part in ("LayerNorm_0", "LayerNorm_2"):
            named[f"{block}/{part}/scale"] = named[f"{block}/{part}/bias"] = np.zeros(width, np.half)
        for part, (rows, columns) in (("Dense_0", (width, 4 * width)), ("Dense_1", (4 * width, width))):
            named[f"{block}/MlpBlock_3/{part}/kernel"] = np.zeros((rows, columns), np.half)
            named[f"{block}/MlpBlock_3/{part}/bias"] = np.zeros(columns, np.half)
    assert sum(array.size for array in named.values()) == sum(int(np.prod(shape)) for shape in shapes.values())
    np.savez_compressed(tmp_path / "B_16.npz", **named)
    base = load_base(f"vitb16={tmp_path / 'B_16.npz'}")
    assert base.name == "vitb16" and "bilinear" in base.loading and "256" in base.loading
    with torch.no_grad():
        assert torch.equal(base.module(torch.zeros(1, 3, 224, 224))[0], torch.from_numpy(bias))


def without(name: str) -> dict[str, np.ndarray]:
    return {key: array for key, array in arrays().items() if not key.startswith(name)}


@pytest.mark.parametrize(
    ("named", "message"),
    [
        (without("head/"), "have no head"),
        ({**arrays(), "head/kernel": np.zeros((WIDTH, 21843), np.float32)}, "tells 21,843 classes apart"),
        (without("Transformer/encoderblock_5/"), "are missing"),
        ({**arrays(), "conv_root/kernel": np.zeros((7, 7, 3, 64), np.float32)}, r"of no use \(conv_root"),
        ({"embedding/kernel": np.zeros((16, 16, 3, 768), np.float32)}, "have no head|another architecture"),
        ({**arrays(), "cls": np.zeros((1, 1, WIDTH), "V2")}, "no plain numbers"),
        ({**arrays(), "cls": np.array([{}])}, "no plain numbers"),
    ],
)
def test_another_network_is_named(folder: Path, tmp_path: Path, named: dict, message: str) -> None:
    np.savez(tmp_path / "w.npz", **named)
    with pytest.raises(UserError, match=message):
        load_base(f"{folder}={tmp_path / 'w.npz'}")


def test_what_an_array_says_of_its_size_is_compared_with_its_bytes(tmp_path: Path) -> None:
    import io
    import zipfile

    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**9, 10**6)})
    with zipfile.ZipFile(tmp_path / "w.npz", "w") as archive:
        archive.writestr("a.npy", header.getvalue() + bytes(8))
    with pytest.raises(Unreadable, match="by its own account"):
        read_npz(tmp_path / "w.npz")


def test_arrays_are_as_numpy_reads_them(tmp_path: Path) -> None:
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.asfortranarray(np.eye(3, 4)), "c/d": np.array(7, ">i4")}
    np.savez(tmp_path / "w.npz", **arrays)
    read = read_npz(tmp_path / "w.npz")
    assert read.keys() == arrays.keys()
    assert all(read[name].dtype == array.dtype and (read[name] == array).all() for name, array in arrays.items())
