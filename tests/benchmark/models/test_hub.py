"""`vitb16` through the Hub's protocol: timm's repository of that name, its true shape, fetched by the real clients."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import timm
import torch

from benchmark import load_base
from benchmark.core.errors import UserError
from benchmark.models.hub import fetch_weights
from tests.hub_server import HubServer

REPOSITORY = "timm/vit_base_patch16_224.augreg_in21k_ft_in1k"


def write_sparse(folder: Path, name: str, values: dict[str, torch.Tensor]) -> None:
    """Write timm's model `name` as timm's own repository has it: in half precision, 0 but for `values`.

    The zeros are a hole in the file, so that 173 MB take no room.
    """
    with torch.device("meta"):
        model = timm.create_model(name, pretrained=False)
    header, offset = {}, 0
    for key, tensor in model.state_dict().items():
        end = offset + 2 * tensor.numel()
        header[key] = {"dtype": "F16", "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    folder.mkdir()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for key, tensor in values.items():
            file.seek(8 + len(text) + header[key]["data_offsets"][0])
            file.write(tensor.half().numpy().tobytes())
        file.truncate(8 + len(text) + offset)
    config = {"architecture": name.partition(".")[0], "num_classes": 1000, "pretrained_cfg": model.pretrained_cfg}
    (folder / "config.json").write_text(json.dumps(config))


def test_vitb16_comes_from_timms_repository_once(hub: HubServer, tmp_path: Path) -> None:
    bias = torch.linspace(-1, 1, 1000).half().float()
    write_sparse(tmp_path / "vitb16", REPOSITORY.partition("/")[2], {"head.bias": bias})
    hub.add("models", REPOSITORY, tmp_path / "vitb16")
    base = load_base("vitb16")
    assert base.name == "vitb16" and base.loading.startswith("weights from model.safetensors")
    with torch.no_grad():
        assert torch.equal(base.module(torch.zeros(1, 3, 224, 224))[0], bias), "all else is 0"
    assert sum(parameter.numel() for parameter in base.module.parameters()) == 86_567_656
    sent = [path for method, path in hub.requests if path.startswith("/lfs/")]
    assert len(sent) == 1
    hub.broken = True
    assert fetch_weights("vitb16", REPOSITORY.partition("/")[2]), "from the cache"
    assert [path for method, path in hub.requests if path.startswith("/lfs/")] == sent


def test_an_older_repository_has_a_pickle_alone(hub: HubServer, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "pytorch_model.bin").write_bytes(b"weights")
    hub.add("models", REPOSITORY, tmp_path / "old")
    path = fetch_weights("vitb16", REPOSITORY.partition("/")[2])
    assert path is not None and path.name == "pytorch_model.bin" and path.read_bytes() == b"weights"


def test_weights_that_are_not_there_are_one_line(hub: HubServer) -> None:
    with pytest.raises(UserError, match=r"weights of vits16 .* \(the Hub has nothing of that name.*vits16=FILE"):
        load_base("vits16")
