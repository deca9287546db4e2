"""Keep the generated images that show class and shift, by CLIP, and that a base gets wrong.

    python -m generation.clip_filter out/oil --shift oil_painting --images photos --base vitb16 --out out/oil-kept
    python -m mad.review out/oil-kept --annotator ann

Two similarities an image, as Dataset Interfaces' released code has them: the cosine between the image and "a photo
of a <class>", and between the image and the shift. Their thresholds come from real images of the same class: an image
shows its class if it is as similar to the class as all but the least similar 5 % of the real ones, and the shift if it
is more similar to it than 95 % of them. (No source gives these shares; they can be set.) The output folder holds

    <class index>/...       the images that are left, as they were: what `benchmark.build` takes
    scores.csv              by image: both similarities, their thresholds, the base's prediction, and the decision
    counts.csv              by class: how many are left after each stage
    groups.csv, membership.csv, search.json    the same images in groups "class-prediction", for mad.review's two people
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pandas as pd
import tyro
from tqdm.auto import tqdm

from benchmark.core import options
from benchmark.core.csvs import write_frame
from benchmark.core.errors import UserError, unknown
from benchmark.core.files import write_bytes, write_text
from benchmark.core.hub import from_hub
from benchmark.core.ranges import Fraction
from benchmark.core.readers import check_file
from benchmark.core.staging import recover, replacing_folder
from benchmark.core.workdir import check_empty
from benchmark.data.groups import pair_id
from benchmark.images.open import open_images
from benchmark.labels.imagenet import names
from generation.core.flaws import find_flaw
from generation.core.folder import TABLE, read_table, write_table

if TYPE_CHECKING:
    import torch

    from benchmark.images.source import ImageSource
    from benchmark.models.load import BaseModel

SHIFTS = {"oil_painting": "an oil painting", "stage_light": "stage light"}
CLIP, PRETRAINED = "ViT-H-14", "laion2b_s32b_b79k"  # SPEC, 6
LEAST, MOST = 0.05, 0.95  # quantiles of the real images' similarities to the class and to the shift
STAGES = ("generated", "class_seen", "shift_seen", "base_wrong")


@dataclass(frozen=True)
class Clip:
    """An open_clip model with what prepares its inputs."""

    model: Any
    prepare: Any
    tokenizer: Any
    device: torch.device

    def encode_texts(self, prompts: Sequence[str]) -> torch.Tensor:
        """Unit vectors (n, d) of texts."""
        import torch

        from benchmark.core.devices import exact_float32

        with torch.no_grad(), exact_float32():
            return self.model.encode_text(self.tokenizer(list(prompts)).to(self.device), normalize=True).float()

    def encode_images(self, images: ImageSource, batch_size: int) -> torch.Tensor:
        """Unit vectors (n, d) of a folder's images."""
        import torch

        from benchmark.core.devices import exact_float32

        rows = []
        with torch.no_grad(), exact_float32():
            for start in tqdm(range(0, len(images.ids), batch_size), desc="CLIP", unit="batch", leave=False):
                prepared = [
                    self.prepare(images.require(position)) for position in range(start, len(images.ids))[:batch_size]
                ]
                rows.append(self.model.encode_image(torch.stack(prepared).to(self.device), normalize=True).float())
        return torch.cat(rows)


def load_clip(name: str = CLIP, pretrained: str = PRETRAINED, device: str = "cpu") -> Clip:
    """An open_clip model by name, with the weights of a tag that open_clip knows, or of a file.

    Raises:
        UserError: if it cannot be loaded, or is none of open_clip's own, whose tokenizers may bring code.
    """
    import open_clip

    from benchmark.core.devices import pick

    if name not in (known := open_clip.list_models()):
        raise unknown("CLIP model of open_clip", name, known)
    torch_device = pick(device)
    subject, advice = (
        f"the open_clip model {name} with {pretrained}",
        "download its weights elsewhere and give the file",
    )
    if Path(pretrained).exists():
        check_file(Path(pretrained), None, "name another file with --pretrained")
    with from_hub(subject, f"{advice} as --pretrained FILE", here=Path(pretrained).is_file()):
        model, _, prepare = open_clip.create_model_and_transforms(name, pretrained=pretrained, weights_only=True)
        return Clip(model.eval().to(torch_device), prepare, open_clip.get_tokenizer(name), torch_device)


def compute_similarities(clip: Clip, images: ImageSource, shift: str, batch_size: int = 32) -> pd.DataFrame:
    """image, class_index, class_similarity and shift_similarity (cosines) of every image in a folder by class."""
    labels = images.known_labels.tolist()
    classes = sorted(set(labels))
    image_vectors = clip.encode_images(images, batch_size)
    text_vectors = clip.encode_texts([f"a photo of a {names()[index]}" for index in classes])
    own_text_vectors = text_vectors[[classes.index(label) for label in labels]]
    return pd.DataFrame(
        {
            "image": list(images.ids),
            "class_index": labels,
            "class_similarity": (image_vectors * own_text_vectors).sum(1).cpu().numpy(),
            "shift_similarity": (image_vectors @ clip.encode_texts([SHIFTS[shift]])[0]).cpu().numpy(),
        }
    )


def apply_thresholds(
    scores: pd.DataFrame, real: pd.DataFrame, least: float = LEAST, most: float = MOST
) -> pd.DataFrame:
    """`scores` with the thresholds of its classes, `class_seen` and `shift_seen`; both tables: `compute_similarities`.

    Raises:
        UserError: for a class without real images.
    """
    by_class = real.groupby("class_index")
    thresholds = pd.DataFrame(
        {
            "class_threshold": by_class["class_similarity"].quantile(least),
            "shift_threshold": by_class["shift_similarity"].quantile(most),
        }
    )
    missing = sorted(set(scores["class_index"]) - set(thresholds.index))
    if missing:
        class_list = ", ".join(f"{index} ({names()[index]})" for index in missing)
        raise UserError(
            f"--images must have images of each class, for its thresholds, and has no images of {class_list}; add them"
        )
    decisions = scores.merge(thresholds, left_on="class_index", right_index=True, how="left").sort_index()
    return decisions.assign(
        class_seen=decisions["class_similarity"] >= decisions["class_threshold"],
        shift_seen=decisions["shift_similarity"] > decisions["shift_threshold"],
    )


def predict_classes(base: BaseModel, images: ImageSource) -> list[int]:
    """The base's top-1 class of every image."""
    from benchmark.predict.engine import predict
    from benchmark.predict.store import predictions_folder

    return predict([base], images, cache=predictions_folder(), progress=False)[f"{base.name}_label"].tolist()


def count_stages(decisions: pd.DataFrame) -> pd.DataFrame:
    """Numbers of images of each class that are left after each of `STAGES`, and their total in the last row."""
    stage = pd.DataFrame({"class_index": decisions["class_index"], "generated": True})
    left = pd.Series(True, decisions.index)
    for name in STAGES[1:]:
        left = left & decisions[name]
        stage[name] = left
    table = stage.groupby("class_index").sum().astype(int).reset_index()
    table.insert(1, "class_name", [names()[index] for index in table["class_index"]])
    table["class_index"] = table["class_index"].astype(str)
    total = {"class_index": "all", "class_name": "", **table[list(STAGES)].sum().to_dict()}
    return pd.concat([table, pd.DataFrame([total])], ignore_index=True)


def write(decisions: pd.DataFrame, images: ImageSource, out: Path, options: dict[str, Any]) -> None:
    """Write the images that are left, by class, and the tables. `decisions` has a row for each image of `images`.

    Raises:
        UserError: if two images of a class would have one name, since two folders are of that class.
    """
    names_in_class = decisions["image"].str.partition("/")[2].str.replace("/", "_")
    files = decisions["class_index"].astype(str) + "/" + names_in_class
    kept = decisions.assign(file=files)[decisions["kept"]]
    if kept["file"].duplicated().any():
        file = kept["file"][kept["file"].duplicated()].iloc[0]
        raise UserError(f"{images.title}: two images would become {file}; put all images of a class into one folder")
    with replacing_folder(out) as folder:
        for position, file in kept["file"].items():
            write_bytes(folder / file, images.read(int(str(position))))
        write_frame(folder / "scores.csv", decisions)
        write_frame(folder / "counts.csv", count_stages(decisions))
        pairs = kept.assign(
            group_id=[pair_id(a, b) for a, b in zip(kept["class_index"], kept["base_prediction"], strict=True)]
        )
        groups = pairs.groupby("group_id", sort=False).agg(
            strong_index=("class_index", "first"), base_index=("base_prediction", "first"), size=("image", "size")
        )
        write_frame(folder / "groups.csv", groups.sort_values("size", ascending=False, kind="stable").reset_index())
        write_frame(folder / "membership.csv", pairs[["group_id", "file"]].rename(columns={"file": "image"}))
        note = {"command": {"pool": str(out.resolve()), **options}, "pool": {"images": len(kept)}}
        write_text(folder / "search.json", json.dumps(note, indent=2) + "\n")


def keep_scores(folder: Path, decisions: pd.DataFrame) -> None:
    """Write both similarities into the table beside the generated images, if they have one."""
    if not (folder / TABLE).is_file():
        return
    scores_of_file = {
        row.image: {"class": row.class_similarity, "shift": row.shift_similarity} for row in decisions.itertuples()
    }
    write_table(
        folder, [{**row, "scores": scores_of_file.get(row["file"], row.get("scores"))} for row in read_table(folder)]
    )


def main(
    generated: Annotated[Path, tyro.conf.Positional],
    shift: Literal["oil_painting", "stage_light"],
    images: options.Images,
    out: options.Out,
    base: options.Base = "vitb16",
    clip: str = CLIP,
    pretrained: str = PRETRAINED,
    least: Fraction = LEAST,
    most: Fraction = MOST,
    batch_size: options.BatchSize = 32,
    device: options.Device = "auto",
) -> None:
    """Keep generated images in which CLIP sees the class and the shift, and that the base gets wrong.

    Prints and writes how many are left after each stage. OUT can then be reviewed by two people
    (mad.review OUT --annotator NAME), or built from as it is (benchmark.build).
    Thresholds come from --images, real ones of the same classes. OUT must be empty or not there.

    Args:
        generated: Folder of generated images, one subfolder a class.
        shift: Look that the images should have.
        clip: CLIP model of open_clip.
        pretrained: Weights of the CLIP model: a tag that open_clip knows, or a file.
        least: Share of the real images that may be less similar to their class than the threshold.
        most: Share of the real images that must be less similar to the shift than the threshold.
    """
    from benchmark.core.devices import pick
    from benchmark.models.load import load_base

    recover(out)
    check_empty(out)
    candidates, photographs = open_images(generated, labelled=True), open_images(images, labelled=True)
    base_model = load_base(base, device=pick(device))
    clip_model = load_clip(clip, pretrained, device)
    scores = compute_similarities(clip_model, candidates, shift, batch_size)
    real_scores = compute_similarities(clip_model, photographs, shift, batch_size)
    decisions = apply_thresholds(scores, real_scores, least, most)
    decisions["flaw"] = [find_flaw(np.asarray(candidates.require(position))) for position in range(len(decisions))]
    decisions["class_seen"] &= decisions["flaw"] == ""  # whatever CLIP sees in a picture that shows nothing
    decisions["base_prediction"] = predict_classes(base_model, candidates)
    decisions["base_wrong"] = decisions["base_prediction"] != decisions["class_index"]
    decisions["kept"] = decisions["class_seen"] & decisions["shift_seen"] & decisions["base_wrong"]
    keep_scores(generated, decisions)
    write(
        decisions, candidates, out, {"shift": shift, "base": base_model.name, "clip": f"{clip} {Path(pretrained).name}"}
    )
    print(count_stages(decisions).to_string(index=False))


if __name__ == "__main__":
    from benchmark.core.cli import run

    run(main)
