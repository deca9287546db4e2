"""The seeds: for each format a folder of small, valid files, and the command that reads them."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from safetensors.torch import save_file

import leaderboard
from benchmark import inspect
from benchmark.core import cli
from benchmark.core.checksums import SUMS, write_checksums
from benchmark.core.cli import Command
from benchmark.core.errors import UserError
from benchmark.images.decode import SUFFIXES
from editors.core import registry
from editors.methods.hypernetwork import checkpoint
from generation.core.folder import GeneratedImages
from leaderboard import compare, submit, tables, verify
from leaderboard.board.entries import read_tables
from leaderboard.records.runs import find_newest
from leaderboard.submissions.card import CARD
from leaderboard.submissions.layout import LIMIT, RECORD, VERIFICATION
from mad import search
from mad.crawl import _open_index
from mad.crawling import removal
from mad.crawling.index import Index
from mad.review.__main__ import main as review
from mad.review.store import FILE, Answer, AnswerStore
from tests.conftest import copy_run, rows_of, small_vit, write_split
from tests.leaderboard.submissions.conftest import fill_card

MINE_PY = """from editors import Editor, WeightEdit


class Mine(Editor):
    def edit(self, model, images, labels):
        return WeightEdit({"head.bias": model.head.bias + 1})
"""
RUNS = Path(leaderboard.__file__).parent / "results" / "mini-1"
SHIPPED = Path(checkpoint.__file__).parent / "weights" / "mini.safetensors"


@dataclass(frozen=True)
class Seed:
    """Files of one format that `write` makes in a folder, those to change, and the command that reads them there."""

    name: str
    write: Callable[[Path], None]
    targets: tuple[str, ...]
    command: Command | dict[str, Command]
    arguments: tuple[str, ...]


def _run(folder: Path) -> None:
    for name in ("ft", "null-edit"):
        copy_run(RUNS / name, folder / "runs" / name)


def _model(folder: Path, suffix: str = ".safetensors") -> None:
    """Two folders in timm's layout, of a small ViT each, and two pictures; the weights of the first have `suffix`."""
    _vit(folder / "vit", 0, suffix)
    _vit(folder / "strong", 1, ".safetensors")
    _pictures(folder, 2)


def _vit(folder: Path, seed: int, suffix: str) -> None:
    model = small_vit(seed)
    folder.mkdir(parents=True)
    shape = {"img_size": 32, "patch_size": 16, "embed_dim": 24, "depth": 6, "num_heads": 3}
    config = {
        "architecture": "vit_tiny_patch16_224",
        "num_classes": 1000,
        "num_features": 24,
        "model_args": shape,
        "pretrained_cfg": {
            "input_size": [3, 32, 32],
            "crop_pct": 0.9,
            "crop_mode": "center",
            "interpolation": "bicubic",
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
            "num_classes": 1000,
            "first_conv": "patch_embed.proj",
            "classifier": "head",
        },
    }
    (folder / "config.json").write_text(json.dumps(config))
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    if suffix == ".safetensors":
        save_file(tensors, folder / "model.safetensors")
    else:
        torch.save({"epoch": 3, "state_dict": tensors}, folder / "model.pth")


def _pickled(folder: Path) -> None:
    _model(folder, ".pth")


def _pictures(folder: Path, count: int = 6) -> None:
    (folder / "pool").mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for number, suffix in zip(range(count), (".png", ".jpg", ".webp", ".gif", ".bmp", ".tif"), strict=False):
        assert suffix in SUFFIXES
        Image.fromarray(random.integers(0, 256, (24, 40, 3), np.uint8)).save(folder / "pool" / f"{number}{suffix}")


def _mined(folder: Path) -> None:
    _model(folder)
    _pictures(folder)


def _zipped(folder: Path) -> None:
    _model(folder)
    with zipfile.ZipFile(folder / "pool.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted((folder / "pool").iterdir()):
            archive.write(file, f"a/{file.name}")


def _pool_table(folder: Path) -> None:
    _model(folder)
    rows = [{"image": {"bytes": f.read_bytes(), "path": f.name}, "n": 1} for f in sorted((folder / "pool").iterdir())]
    write_split(folder, "pool", rows)


def _review(folder: Path) -> None:
    _pictures(folder)
    found = folder / "search"
    found.mkdir()
    groups = [{"group_id": "890-430", "group": "x", "size": 3, "strong_index": 890, "base_index": 430}]
    pd.DataFrame(groups).to_csv(found / "groups.csv", index=False)
    names = [f.name for f in sorted((folder / "pool").iterdir())]
    pd.DataFrame({"group_id": "890-430", "image": names}).to_csv(found / "membership.csv", index=False)
    note = {"command": {"pool": "pool", "pair": "mini,mini-strong"}, "pool": {"images": 6, "signature": "0"}}
    (found / "search.json").write_text(json.dumps(note))
    store = AnswerStore(found / FILE)
    for annotator in ("Ann", "Ben"):
        for number, name in enumerate(names):
            store.add(annotator, Answer("890-430", name, number % 2 == 0, "0" * 64))
    store.close()


def _data(folder: Path) -> None:
    write_split(folder / "set" / "data", "edit", rows_of({("1-2", "pairs"): 4}, seed=0))
    write_split(folder / "set" / "data", "locality", rows_of({(None, "locality"): 3}, seed=1))
    build = {
        "name": "x",
        "version": "1",
        "partial": True,
        "groups": [{"id": "1-2", "count": 4, "expected": None}],
        "locality": {"count": 3, "expected": 5},
    }
    (folder / "set" / "build.json").write_text(json.dumps(build))


def _crawl(folder: Path) -> None:
    index = Index(folder / "crawl")
    index.db.execute("INSERT INTO photo (photo_id, owner, class_index, state) VALUES ('1', 'a', 7, 'found')")
    index.db.commit()
    index.close()


def _takedown(folder: Path) -> None:
    (folder / "takedown.txt").write_text("# ours\n12345\n" + "a" * 64 + "\nhttps://www.flickr.com/photos/someone/77/\n")


def _generated(folder: Path) -> None:
    GeneratedImages(folder / "images", {"model": "x"})
    row = {"class_index": 3, "number": 0, "file": "3/00000.png", "sha256": "0" * 64, "seed": 1, "thrown_away": []}
    (folder / "images" / "metadata.jsonl").write_text(json.dumps(row) + "\n" + json.dumps({**row, "file": None}) + "\n")


def _checkpoint(folder: Path) -> None:
    shutil.copy(SHIPPED, folder / "network.safetensors")


def _spec(folder: Path) -> None:
    (folder / "spec.txt").write_text("ft-l2:c=0.01,lr=0.002")
    (folder / "mine.py").write_text(MINE_PY)


def _submission(folder: Path) -> None:
    """A submission of two edits on noise, verified, beside its base and benchmark."""
    _vit(folder / "base", 0, ".safetensors")
    write_split(folder / "noise" / "data", "edit", rows_of({("1-2", "pairs"): 4}, seed=1))
    write_split(folder / "noise" / "data", "locality", rows_of({(None, "locality"): 3}, seed=2))
    (folder / "mine.py").write_text(MINE_PY)
    before = Path.cwd()
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            cli.run(submit.main, ["mine.py:Mine", *ON_NOISE, "--out", "out", "--as", "submission"])
            fill_card(Path("submission"))
            cli.run(verify.main, ["submission", *ON_NOISE])
    finally:
        os.chdir(before)
    shutil.rmtree(folder / "out")


def open_crawl(folder: Path) -> None:
    """Open the index of a crawl, as `mad.crawl` does first."""
    with _open_index(folder) as index:
        index.count_by_state()


def read_takedown(file: Path) -> None:
    """Read a takedown list, as `mad.crawl --takedown` does."""
    removal.read_takedown(file)


def open_images(folder: Path) -> None:
    """Open a folder of generated images, as each command of `generation` does first."""
    GeneratedImages(folder, {"model": "x"})


def load_checkpoint(file: Path) -> None:
    """Load a checkpoint, as `hypernetwork:checkpoint=FILE` does."""
    metadata = checkpoint.STORE.read_metadata(SHIPPED)
    checkpoint.load(file, metadata["base_weights_sha256"])


def choose(file: Path) -> None:
    """Choose the editor that a text names, as every command with editors does."""
    from benchmark.core.readers import read_text

    registry.choose(read_text(file), "mini")


def verify_forged(folder: Path) -> None:
    """Verify a submission whose files were listed again after they were changed, as a forger would."""
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if _is_small_file(path)]
    with contextlib.suppress(UserError, OSError):
        write_checksums(folder, [name for name in names if name not in (CARD, VERIFICATION)])
    verify.main(folder, base="base", data="noise")


def _is_small_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and path.stat().st_size <= LIMIT


def show(folder: Path) -> None:
    """Read a submission as the board does: its record, outcomes, level and card."""
    read_tables(find_newest([folder]))


ON_NOISE = ("--base", "base", "--data", "noise")
MINE = ("--pair", "vit,strong", "--out", "out", "--pool")
RUN_FILES = ("runs/ft/record.json", "runs/ft/outcomes.parquet", "runs/ft/samples.parquet", "runs/null-edit/record.json")
REVIEWED = ("search/groups.csv", "search/membership.csv", "search/search.json", f"search/{FILE}")
PICTURES = tuple(f"pool/{name}" for name in ("0.png", "1.jpg", "2.webp", "3.gif", "5.tif"))
SUBMITTED = tuple(
    f"submission/{name}"
    for name in (CARD, VERIFICATION, RECORD, "run.json", "outcomes.parquet", "samples.parquet", "source/mine.py")
)
DATA = ("set/build.json", "set/data/edit-00000-of-00001.parquet", "set/data/locality-00000-of-00001.parquet")
SEEDS = (
    Seed("records", _run, RUN_FILES[:1] + RUN_FILES[3:], tables.main, ("runs",)),
    Seed("outcomes", _run, RUN_FILES, compare.main, ("runs/ft", "runs/null-edit")),
    Seed("weights", _model, ("vit/config.json", "vit/model.safetensors"), search.main, (*MINE, "pool")),
    Seed("pickle", _pickled, ("vit/model.pth",), search.main, (*MINE, "pool")),
    Seed("pictures", _mined, PICTURES, search.main, (*MINE, "pool")),
    Seed("archive", _zipped, ("pool.zip",), search.main, (*MINE, "pool.zip")),
    Seed("table", _pool_table, ("pool-00000-of-00001.parquet",), search.main, (*MINE, "pool-00000-of-00001.parquet")),
    Seed("status", _review, REVIEWED, review, ("status", "search")),
    Seed("export", _review, REVIEWED, review, ("export", "search", "--out", "verified")),
    Seed("data", _data, DATA, inspect.main, ("set", "--out", "sheets")),
    Seed("crawl", _crawl, ("crawl/index.sqlite",), open_crawl, ("--folder", "crawl")),
    Seed("takedown", _takedown, ("takedown.txt",), read_takedown, ("--file", "takedown.txt")),
    Seed("generated", _generated, ("images/metadata.jsonl", "images/run.json"), open_images, ("--folder", "images")),
    Seed("checkpoint", _checkpoint, ("network.safetensors",), load_checkpoint, ("--file", "network.safetensors")),
    Seed("submission", _submission, SUBMITTED, verify_forged, ("--folder", "submission")),
    Seed("checksums", _submission, (f"submission/{SUMS}",), verify.main, ("submission", *ON_NOISE)),
    Seed("board", _submission, SUBMITTED[:5], show, ("--folder", "submission")),
    Seed("spec", _spec, ("spec.txt", "mine.py"), choose, ("--file", "spec.txt")),
)  # fmt: skip
