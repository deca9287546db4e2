"""The filter: similarities against a plain computation, thresholds worked by hand, and what goes on to review."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image

from benchmark.core.errors import UserError
from benchmark.images.open import open_images
from benchmark.subsets.oil_painting import read
from generation import clip_filter
from generation.core.folder import read_table, write_table
from mad.review.groups import read_candidates
from mad.review.images import find_images

Pictures = Callable[..., Path]


def test_similarities_are_plain_cosines(tiny_clip: tuple[str, str], tmp_path: Path, pictures: Pictures) -> None:
    import open_clip

    folder = pictures(tmp_path / "made", {"6": 3, "987": 2})
    table = clip_filter.compute_similarities(
        clip_filter.load_clip(*tiny_clip), open_images(folder, labelled=True), "oil_painting", batch_size=2
    )
    model, _, prepare = open_clip.create_model_and_transforms(tiny_clip[0], pretrained=tiny_clip[1])
    tokenizer = open_clip.get_tokenizer(tiny_clip[0])
    model.eval()
    for row in table.itertuples():
        with torch.no_grad():
            seen = model.encode_image(prepare(Image.open(folder / row.image))[None])
            name = {6: "stingray", 987: "corn"}[row.class_index]
            texts = model.encode_text(tokenizer([f"a photo of a {name}", "an oil painting"]))
        expected = torch.cosine_similarity(seen, texts)
        assert torch.allclose(expected, torch.tensor([row.class_similarity, row.shift_similarity]), atol=1e-5)
    assert table["image"].tolist() == ["6/0.png", "6/1.png", "6/2.png", "987/0.png", "987/1.png"]


def table(rows: list[tuple[int, float, float]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["class_index", "class_similarity", "shift_similarity"])


def test_thresholds_come_from_the_real_images_of_each_class() -> None:
    real = table([(6, 0.0, 0.0), (6, 0.25, 0.25), (6, 0.5, 0.5), (7, 0.75, 0.0)])
    made = table([(6, 0.125, 0.9), (6, 0.12, 0.9), (6, 0.9, 0.375), (6, 0.9, 0.38), (7, 0.2, 0.1)])
    decisions = clip_filter.apply_thresholds(made, real, least=0.25, most=0.75)
    assert decisions["class_threshold"].tolist() == pytest.approx([0.125] * 4 + [0.75])
    assert decisions["shift_threshold"].tolist() == pytest.approx([0.375] * 4 + [0.0])
    assert decisions["class_seen"].tolist() == [True, False, True, True, False]
    assert decisions["shift_seen"].tolist() == [True, True, False, True, True]
    with pytest.raises(UserError, match=r"no images of 7 \(cock\)"):
        clip_filter.apply_thresholds(made, real[real["class_index"] == 6])


def test_the_number_left_after_each_stage() -> None:
    decisions = pd.DataFrame(
        {
            "class_index": [6, 6, 6, 6, 987],
            "class_seen": [True, True, True, False, True],
            "shift_seen": [True, True, False, True, True],
            "base_wrong": [True, False, True, True, True],
        }
    )
    counts = clip_filter.count_stages(decisions).set_index("class_index")
    assert counts.loc["6", list(clip_filter.STAGES)].tolist() == [4, 3, 2, 1]
    assert counts.loc["987", list(clip_filter.STAGES)].tolist() == [1, 1, 1, 1]
    assert counts.loc["all", list(clip_filter.STAGES)].tolist() == [5, 4, 3, 2]


def test_what_is_kept_goes_on_to_two_people_and_to_the_build(
    tiny_clip: tuple[str, str], tmp_path: Path, pictures: Pictures, capsys: pytest.CaptureFixture
) -> None:
    made = pictures(tmp_path / "made", {"6": 4, "987": 3})
    Image.new("RGB", (40, 36)).save(made / "6" / "black.png")
    real = pictures(tmp_path / "real", {"stingray": 3, "corn": 3}, seed=1)
    write_table(made, [{"file": "6/0.png", "scores": None}])
    out = tmp_path / "kept"
    settings = {"base": "mini", "clip": tiny_clip[0], "pretrained": tiny_clip[1]}
    clip_filter.main(made, "oil_painting", real, out, least=0.0, most=0.0, **settings)

    scores = pd.read_csv(out / "scores.csv")
    kept = scores[scores["kept"]]
    assert len(scores) == 8 and len(kept) > 0
    assert scores.loc[scores["flaw"] == "black", ["image", "class_seen"]].values.tolist() == [["6/black.png", False]]
    assert (kept["base_prediction"] != kept["class_index"]).all()
    total = pd.read_csv(out / "counts.csv").iloc[-1]
    assert total["base_wrong"] == len(kept) and total["generated"] == 8
    assert f"{len(kept)}" in capsys.readouterr().out.splitlines()[-1]
    for image in kept["image"]:
        assert (out / image).read_bytes() == (made / image).read_bytes()
    assert len(read(open_images(out, files=True)).images) == len(kept), "benchmark.build takes it"
    assert set(read_table(made)[0]["scores"]) == {"class", "shift"}

    groups, members = (pd.read_csv(out / name) for name in ("groups.csv", "membership.csv"))
    assert groups["size"].sum() == len(members) == len(kept)
    assert (groups["group_id"] == groups["strong_index"].astype(str) + "-" + groups["base_index"].astype(str)).all()
    assert all((out / image).is_file() for image in members["image"])
    candidates = read_candidates(out)
    assert len(candidates.images) == len(find_images(candidates).positions) == len(kept), "mad.review takes it"
    assert json.loads((out / "search.json").read_text())["pool"]["images"] == len(kept)
    again = pictures(tmp_path / "double", {"6": 1, "stingray": 1})
    with pytest.raises(UserError, match=r"two images would become 6/0\.png"):
        clip_filter.main(again, "oil_painting", real, tmp_path / "none", least=0.0, most=0.0, **settings)
    with pytest.raises(UserError, match="is not empty: it holds"):
        clip_filter.main(made, "oil_painting", real, out, **settings)


def test_what_cannot_be_read_or_had_is_one_line(tiny_clip: tuple[str, str], tmp_path: Path, pictures: Pictures) -> None:
    made = pictures(tmp_path / "made", {"6": 1})
    (made / "6" / "1.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"6/1\.png is broken \(not an image"):
        clip_filter.compute_similarities(
            clip_filter.load_clip(*tiny_clip), open_images(made, labelled=True), "stage_light"
        )
    with pytest.raises(UserError, match=r"open_clip model tiny-clip with .*nowhere.*--pretrained FILE"):
        clip_filter.load_clip("tiny-clip", str(tmp_path / "nowhere.pt"))
