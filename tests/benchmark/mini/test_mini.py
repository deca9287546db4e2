"""The embedded mini benchmark agrees with its card and with the rules of its builder."""

from __future__ import annotations

import hashlib
import json
import subprocess
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from benchmark.core.errors import UserError
from benchmark.data.dataset import LabelledImages, read_split
from benchmark.data.packaged import MINI
from benchmark.labels import imagenet
from benchmark.mini import emoji, selection
from benchmark.mini.emoji import ASSETS, BASE_STYLES, SHIFT_STYLES, STYLES
from benchmark.models.load import load_base
from benchmark.predict.engine import top2

ROOT = Path(__file__).parents[3]
APART = ("edit", "dev_edit", "locality", "dev_locality", "train", "locality_taken", "locality_far")
SPLITS = (*APART, "pool")
SCORED = ("edit", "locality", "locality_taken", "locality_far")
FROZEN = {  # SHA-256 of the files of mini-1 before it had `locality_taken` and `locality_far`
    "dev_edit": "185050a92d400024135b875cd89aee0aa86ee99786af2d186010ae5e62667282",
    "dev_locality": "bd58f6c2f967cb407cc94e5d8960cb9e3714be349a909805b1bf77e89f62f531",
    "edit": "513bdd73cbe9eb67a60e904682ffd2953bfacb346484c345fd20791c319b839b",
    "locality": "adc29b8924a00a54564c1b895a9bf46c58877af1f261b273ce49529e88497712",
    "pool": "ebcd6ac2b0a6bdc1beb6a3d225995d87819a8db09567c47d34ddc83c1cedbd4c",
    "train": "47f0c0ed16661fcc87173e8eed57e6bec6420e7c38fca74a3295340fc507bca3",
}


@lru_cache
def split(name: str) -> LabelledImages:
    return read_split(MINI, name)


@lru_cache
def predict(model: str, name: str, limit: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Top-1 classes and margins of a shipped model on (the head of) a split, float32, in batches of 64."""
    base, samples = load_base(model), split(name)
    images = samples.images(base.preprocessing, range(min(limit or len(samples), len(samples))))
    top = [top2(base.module, batch) for batch in images.split(64)]
    labels, _, margins = (torch.cat(batches).numpy() for batches in zip(*top, strict=True))
    return labels, margins


def accuracy(model: str, name: str, limit: int = 250) -> float:
    label, _ = predict(model, name, limit)
    return float((label == split(name).labels[:limit]).mean())


# ---------------------------------------------------------------------------------------------- the data


def test_sixteen_pair_groups_and_two_by_style() -> None:
    table = split("edit").table
    groups = table.groupby("group_id", sort=False)
    subset = groups["subset"].first()
    assert subset.value_counts().to_dict() == {"pairs": 16, "line_drawing": 1, "three_d": 1}
    assert (groups.size() >= 8).all()
    assert (groups["drawing"].nunique() >= 2).all()
    assert (groups.size()[subset != "pairs"] >= 60).all()
    assert (groups["label"].nunique()[subset != "pairs"] >= 20).all()
    assert (groups["group_id"].count() == groups["group"].count()).all()
    assert table["group_id"].eq(table["group_id"].shift()).sum() == len(table) - 18, "a group's rows lie together"


@pytest.mark.parametrize("name", ["edit", "dev_edit"])
def test_pair_groups_are_what_their_names_say(name: str) -> None:
    table = split(name).table
    pairs = table[table["subset"] == "pairs"]
    ids = pairs["label"].astype(str) + "-" + pairs["base_prediction"].astype(str)
    assert (pairs["group_id"] == ids).all()
    names = pd.Series(imagenet.names())
    strong, base = (pairs[column].astype(int).map(names) for column in ("label", "base_prediction"))
    assert (pairs["group"] == strong + "-" + base).all()
    assert (table["strong_prediction"] == table["label"]).all()
    assert (table["base_prediction"] != table["label"]).all()


def test_locality_and_dev_are_large_enough() -> None:
    assert len(split("locality")) >= 300
    assert len(split("dev_locality")) >= 100
    assert len(split("train")) >= 1500
    dev = split("dev_edit").table.groupby("group_id")
    assert len(dev) >= 8
    assert (dev.size() >= 8).all()
    assert (dev["drawing"].nunique() >= 2).all()
    for name in ("locality", "dev_locality"):
        table = split(name).table
        assert (table["base_prediction"] == table["label"]).all()
        assert (table["margin"] < 0.05).all()


@pytest.mark.parametrize("name", FROZEN)
def test_the_splits_that_were_there_before_are_byte_for_byte_what_they_were(name: str) -> None:
    (file,) = MINI.glob(f"{name}-*.parquet")
    assert hashlib.sha256(file.read_bytes()).hexdigest() == FROZEN[name]


def test_ten_images_of_each_class_that_edits_take_from_and_a_random_draw() -> None:
    taken_from = set(split("edit").table["base_prediction"])
    taken, far = split("locality_taken").table, split("locality_far").table
    counts = taken["label"].value_counts()
    assert len(taken_from) == 109 and set(counts.index) <= taken_from
    assert ((counts == 10).sum(), (counts < 10).sum(), counts.max()) == (92, 8, 10), "as the card says"
    assert split("edit").table["base_prediction"].isin(counts.index).mean() > 0.94
    assert len(far) == 160 and far["label"].nunique() >= 60 and far["label"].isin(taken_from).any()
    for table in (taken, far):
        assert (table["base_prediction"] == table["label"]).all()
        assert table["margin"].median() > 0.3, "most lie far from the boundary"
    assert (far["margin"] < 0.05).any(), "and some near it"


def test_no_drawing_is_in_two_splits() -> None:
    twin = {  # the flat and the 3-D Fluent icon of one object are one picture
        f"{style}/{icon.removesuffix('.webp')}": f"fluent/{entry['imagenet_index']}"
        for entry in json.loads((ASSETS / "classes.json").read_text())
        for style in ("fluent-flat", "fluent-3d")
        for icon in entry["styles"].get(style, {}).values()
    }
    drawings = [{twin.get(d, d) for d in split(name).table["drawing"]} for name in APART]
    for i, own in enumerate(drawings):
        for other in drawings[:i]:
            assert not own & other
    failures = [set(split(name).table["drawing"]) for name in ("edit", "dev_edit")]
    assert not failures[0] & failures[1]


def test_no_image_is_there_twice_and_hashes_match_the_bytes() -> None:
    hashes: list[str] = []
    for name in SPLITS:
        samples = split(name)
        made = [hashlib.sha256(samples.image_bytes(row)).hexdigest() for row in range(len(samples))]
        assert made == samples.table["sha256"].tolist()
        hashes += made
    assert len(set(hashes)) == len(hashes)


def test_every_label_is_the_drawings_own() -> None:
    known = {d.name: d for d in emoji.list_drawings()}
    names = imagenet.names()
    classes = {d.label for d in known.values()}
    assert len(classes) >= 150
    for name in SPLITS:
        for row in split(name).table.itertuples():
            assert row.class_name == names[row.label]
            assert known[row.drawing].label == row.label
            style = STYLES[known[row.drawing].style]
            assert (row.source, row.licence) == (style.source, style.licence)
            if name in SCORED and name != "locality_taken":
                assert known[row.drawing].tier == "A", "scored images are of drawings that mean their class"
    taken = split("locality_taken").table
    tiers = pd.DataFrame({"label": taken["label"], "tier": [known[drawing].tier for drawing in taken["drawing"]]})
    assert (tiers.groupby("label")["tier"].nunique() == 1).all(), "or, where a class has none, of the nearest"


def test_mini_never_saw_the_styles_that_it_fails_on() -> None:
    for name in ("edit", "dev_edit", "pool"):
        assert set(split(name).table["drawing"].str.split("/").str[0]) <= set(SHIFT_STYLES)
    assert set(split("train").table["drawing"].str.split("/").str[0]) <= set(BASE_STYLES)


def test_images_are_small_rgb_pictures() -> None:
    base = load_base("mini")
    assert (base.preprocessing.size, base.preprocessing.resize) == (64, 64), "no resampling"
    assert split("edit").images(base.preprocessing, [0, 1]).shape == (2, 3, 64, 64)


def test_load_dataset_by_the_call_of_the_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.chdir(ROOT)
    loaded = datasets.load_dataset("where2edit/vit-edit-bench", cache_dir=str(tmp_path))
    assert {name: len(rows) for name, rows in loaded.items()} == {name: len(split(name)) for name in SPLITS}
    row = loaded["edit"][0]
    assert row["image"].size == (64, 64) and row["image"].mode == "RGB"
    assert loaded["edit"].features["label"].int2str(row["label"]) == imagenet.synsets()[row["label"]]
    assert len({str(rows.features) for rows in loaded.values()}) == 1


def test_licences_of_all_styles_are_there() -> None:
    notice = (ASSETS / "NOTICE").read_text()
    for style in STYLES.values():
        assert style.credit in notice and f"{style.package} {style.version}" in notice
        assert (ASSETS / "licences" / f"{style.licence}.txt").stat().st_size > 900
    used = {row for name in SPLITS for row in split(name).table["licence"]}
    assert used <= {style.licence for style in STYLES.values()}


def test_sizes() -> None:
    assert sum(f.stat().st_size for f in ASSETS.rglob("*") if f.is_file()) <= 27e6  # 24e6 before the two further splits
    for model in ("mini", "mini-strong"):
        assert (ASSETS / "models" / model / "model.safetensors").stat().st_size <= 8e6


# -------------------------------------------------------------------------------------------- the models


@pytest.mark.parametrize("model", ["mini", "mini-strong"])
def test_models_are_standard_timm_vits(model: str) -> None:
    import timm
    from timm.models.vision_transformer import VisionTransformer

    made = timm.create_model(f"local-dir:{ASSETS / 'models' / model}", pretrained=True)
    assert type(made) is VisionTransformer
    assert len(made.blocks) == 12 and made.cls_token is not None and made.global_pool == "token"
    assert isinstance(made.patch_embed.proj, torch.nn.Conv2d) and made.head.out_features == 1000
    assert {p.dtype for p in made.parameters()} == {torch.float32}


@pytest.mark.parametrize("name", ["edit", "locality", "dev_edit", "dev_locality", "locality_taken", "locality_far"])
def test_stored_predictions_come_out_again(name: str) -> None:
    table = split(name).table
    label, margin = predict("mini", name)
    sure = table["margin"] > 1e-4  # of a tie, either may come out
    assert (label == table["base_prediction"])[sure].all()
    assert np.abs(margin - table["margin"]).max() < 1e-4
    strong, strong_margin = predict("mini-strong", name)
    assert (strong == table["strong_prediction"])[strong_margin > 1e-4].all()


def test_records_show_the_drop_and_the_recovery() -> None:
    counts = pd.Series([d.style for d in emoji.list_drawings()]).value_counts()
    mean: dict[tuple[str, tuple[str, ...]], float] = {}
    for model in ("mini", "mini-strong"):
        record = json.loads((ASSETS / "models" / model / "training.json").read_text())
        scores = record["accuracy_on_new_views"]["plain"]
        for styles in (BASE_STYLES, SHIFT_STYLES):
            mean[model, styles] = float(np.average([scores[s] for s in styles], weights=counts[list(styles)]))
    own, shifted = mean["mini", BASE_STYLES], mean["mini", SHIFT_STYLES]
    assert own >= 0.85
    assert shifted <= own - 0.20
    assert mean["mini-strong", SHIFT_STYLES] >= shifted + (own - shifted) / 2


def test_the_data_show_the_drop_and_the_recovery() -> None:
    own, shifted, strong = accuracy("mini", "train"), accuracy("mini", "pool"), accuracy("mini-strong", "pool")
    assert own >= 0.80  # half of these views are wide
    assert shifted <= own - 0.20
    assert strong >= shifted + (own - shifted) / 2


# ------------------------------------------------------------------------------------------- the builder


def views_table(rows: list[tuple[str, int, int, int]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["image", "family", "label", "base_prediction"])
    return table.assign(
        tier="A", strong_prediction=table["label"], drawing=table["family"].astype(str), style="openmoji"
    )


def test_groups_need_eight_images_of_two_drawings_and_a_sure_label() -> None:
    views = views_table(
        [(f"{g}{i}", i % (1 if g == "b" else 2), 292, 288 + "abc".index(g)) for g in "abc" for i in range(9)]
    )
    views.loc[views["image"].isin(["c0", "c1"]), "label"] = 291  # the stronger model was wrong here
    groups = pd.DataFrame({"strong_index": 292, "base_index": [288, 289, 290], "group": "x-y", "distance": 2.0})
    groups["group_id"] = [f"292-{b}" for b in groups["base_index"]]
    membership = pd.DataFrame({"group_id": np.repeat(groups["group_id"].to_numpy(), 9), "image": views["image"]})
    sure = selection.select_sure(views, groups, membership)
    assert sure["group_id"].unique().tolist() == ["292-288"]
    with pytest.raises(UserError, match="other weights"):
        selection.select_sure(views.assign(base_prediction=0), groups, membership)


def test_varied_groups_share_no_class() -> None:
    rows = [(i, 100 + g, 200 + g % 7, g) for g in range(12) for i in range(8)]
    table = pd.DataFrame(rows, columns=["family", "label", "base_prediction", "g"])
    table = table.assign(group_id=table["g"].astype(str), distance=table["g"] % 5)
    chosen = selection.choose_varied(table, 5, used_classes=[100])
    assert len(chosen) == 5 and "0" not in chosen
    assert table[table["group_id"].isin(chosen)].groupby("base_prediction")["group_id"].nunique().max() == 1
    with pytest.raises(UserError, match="more views"):
        selection.choose_varied(table, 9)


def test_families_join_nearly_equal_pictures_and_fluent_twins() -> None:
    same, other = np.zeros((80, 80, 4), np.uint8), np.full((80, 80, 4), 255, np.uint8)
    drawings = [emoji.Drawing(s, "x", 1, "A") for s in ("noto", "twemoji", "openmoji", "fluent-flat", "fluent-3d")]
    numbers = selection.find_families(drawings, np.stack([same, same, other, same // 2 + 90, other]))
    assert numbers[0] == numbers[1] != numbers[2]
    assert numbers[3] == numbers[4]


def test_shares_are_proportional_and_repeatable() -> None:
    shares = selection.assign_families(range(100), {"a": 1, "b": 3}, seed=5)
    assert pd.Series(shares).value_counts().to_dict() == {"b": 75, "a": 25}
    assert shares == selection.assign_families(range(100), {"a": 1, "b": 3}, seed=5)


def test_views_and_training_repeat_with_their_seed() -> None:
    from benchmark.mini.train import MiniRecipe, train
    from benchmark.mini.views import WIDE, make_views, premultiply

    pixels = premultiply(np.random.default_rng(0).integers(0, 256, (6, 80, 80, 4), dtype=np.uint8))
    first, second = (make_views(pixels, WIDE, torch.Generator().manual_seed(3)) for _ in range(2))
    assert first.shape == (6, 3, 64, 64) and first.dtype == torch.uint8
    assert torch.equal(first, second)
    recipe = MiniRecipe(("noto",), steps=2, seed=4, batch=4)
    first_weights, second_weights = (train(recipe, pixels, torch.arange(6)).state_dict() for _ in range(2))
    assert all(torch.equal(first_weights[key], second_weights[key]) for key in first_weights)


def test_a_failed_download_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="npm was not found"):
        emoji.fetch(STYLES["noto"], tmp_path)

    def refuse(command: list[str], **_: object) -> None:
        raise subprocess.CalledProcessError(1, command, stderr="npm error code E404\n")

    monkeypatch.setattr(subprocess, "run", refuse)
    with pytest.raises(UserError, match="E404"):
        emoji.fetch(STYLES["noto"], tmp_path)


def test_a_damaged_archive_says_what_to_do(tmp_path: Path) -> None:
    archive = tmp_path / "iconify-json-noto-1.2.9.tgz"
    archive.write_bytes(b"half a download")
    assert emoji.fetch(STYLES["noto"], tmp_path) == archive
    with pytest.raises(UserError, match="delete it and retry"):
        emoji.render(tmp_path, [emoji.Drawing("noto", "tiger", 292, "A")])
