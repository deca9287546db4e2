"""Correct one prediction of a model from one image, and save the edited model.

python -m editors.fix --base mini --image x.png --label 340 --editor ft --out out/fixed
"""

from __future__ import annotations

import copy
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmark.core import options
from benchmark.core.cli import run
from benchmark.core.csvs import write_frame
from benchmark.core.devices import exact_float32, pick
from benchmark.core.errors import UserError
from benchmark.core.files import write_text
from benchmark.core.staging import recover, replacing_folder
from benchmark.core.text import printable
from benchmark.core.workdir import check_empty
from benchmark.data.training import training_images
from benchmark.images.decode import BrokenImage, decode
from benchmark.images.files import read_image
from benchmark.images.open import open_images
from benchmark.labels.imagenet import CLASSES
from benchmark.labels.names import known_class
from benchmark.models.load import BaseModel, load_base
from benchmark.models.names import split_spec
from benchmark.predict.engine import predict, top2
from editors.core.base import TrainingImages, seed_everything
from editors.core.mistakes import explained
from editors.core.modules import to_edit
from editors.core.registry import ChosenEditor, choose
from editors.core.saving import apply, class_title, save

SHOWN = 5  # changes of class that are printed
log = logging.getLogger(__name__)


def main(
    image: Path,
    label: str,
    base: options.Base = "mini",
    editor: options.Editor = "ft",
    out: options.Out = Path("out/fixed"),
    check: str | None = None,
    images: options.OptionalImages = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
) -> None:
    """Correct the prediction of one image, and save the edited model: OUT is a model that --base takes.

    The base may have any classes, not only ImageNet's. OUT gets config.json and model.safetensors in timm's layout, and
    edit.json, which says what was done. --images are for editors that learn from some first.

    Args:
        image: Image that the model gets wrong.
        label: Its right class: an index, or for ImageNet's classes a synset id or name.
        check: Images, a folder for example, on which the edited model is compared with the base: changes.csv in OUT
            lists those that changed their class.
    """
    recover(out)
    check_empty(out)
    chosen_editor = choose(editor, split_spec(base)[0])
    for remark in chosen_editor.notes:
        log.warning(remark)
    model = load_base(base, device=pick(device), any_classes=True)
    target = _read_label(label, model)
    pixels = _read_image(image, model)
    before = _shown(model, pixels)
    if before["class"] == target:
        raise UserError(f"{image}: the model says {before['name']} already; there is nothing to edit")
    edited = _edit(chosen_editor, model, pixels, target, images, seed)
    after = _shown(edited, pixels)
    if after["class"] != target:
        right = class_title(model.module, target)
        raise UserError(f"{chosen_editor.spec}: the edited model says {after['name']}, not {right}; try other settings")
    with replacing_folder(out) as folder:
        save(edited, folder)
        note: dict[str, Any] = {
            "editor": chosen_editor.spec,
            "base": {"name": model.name, "identity": model.identity},
            "image": printable(image.name),
            "label": target,
            "seed": seed,
            "before": before,
            "after": after,
        }
        write_text(folder / "edit.json", json.dumps(note, indent=2, ensure_ascii=False) + "\n")
        lines = _compare(model, edited, check, folder) if check is not None else []
    was, now = (f"{shown['name']} at {shown['probability']:.1%}" for shown in (before, after))
    print(f"{image}: was {was}, is {now}")
    print("\n".join([*lines, f"edited model: {out}   to use it: --base {out}"]))


def _read_label(label: str, model: BaseModel) -> int:
    classes: Any = model.module.num_classes
    if classes == CLASSES:
        return known_class(label, "--label")
    if not (label.isdecimal() and label.isascii() and int(label) < classes):
        raise UserError(f'--label must be a class index of this base, 0 to {classes - 1}, not "{printable(label)}"')
    return int(label)


def _read_image(image: Path, model: BaseModel) -> torch.Tensor:
    """The image as the model takes it, (1, 3, H, W)."""
    try:
        return model.preprocessing(decode(read_image(image))).to(model.device)[None]
    except BrokenImage as error:
        raise UserError(f"{image}: {error}; name another image") from error


def _shown(model: BaseModel, pixels: torch.Tensor) -> dict[str, Any]:
    """The prediction for one image: class, name and probability."""
    labels, probabilities, _ = top2(model.module, pixels)
    index = int(labels[0])
    name = class_title(model.module, index) if index >= 0 else "nothing (its logits are not finite)"
    return {"class": index, "name": name, "probability": round(float(probabilities[0]), 6)}


@exact_float32()
def _edit(
    chosen_editor: ChosenEditor, model: BaseModel, pixels: torch.Tensor, target: int, images: str | None, seed: int
) -> BaseModel:
    editor, labels = chosen_editor.make(), torch.tensor([[target]], device=model.device)

    def load_training() -> Any:
        if images is None:
            raise UserError(f"{chosen_editor.name} learns from images first; name some with --images")
        return training_images(images)

    own = copy.deepcopy(model.module)  # whatever the editor does to it, the model that was loaded is what is compared
    try:
        seed_everything(seed)
        editor.fit(own, TrainingImages(load_training, model.preprocessing, model.device))
        (edited,) = editor.edit_many(own, pixels[None], labels, [seed])
        edit = to_edit(model.module, edited, pixels)
    except (UserError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise UserError(f"{chosen_editor.name} broke: {explained(error, chosen_editor.source)}") from error
    return apply(model, edit, chosen_editor.name)


def _compare(base: BaseModel, edited: BaseModel, check: str, folder: Path) -> list[str]:
    """Compare both models on images, write ``changes.csv``, and describe what changed, in lines."""
    both = [replace(base, name="before"), replace(edited, name="after")]
    table = predict(both, open_images(check))
    counted = table[(table["before_label"] >= 0) & (table["after_label"] >= 0)]
    changed = counted[counted["before_label"] != counted["after_label"]]
    for column in ("before", "after"):
        titles = {index: class_title(base.module, index) for index in changed[f"{column}_label"].unique()}
        changed = changed.assign(**{column: changed[f"{column}_label"].map(titles)})
    write_frame(folder / "changes.csv", changed[["image", "before", "after"]])
    skipped = f", {len(table) - len(counted):,} could not be read" if len(counted) < len(table) else ""
    kinds = changed.groupby(["before", "after"]).size().sort_values(ascending=False, kind="stable")
    lines = [f"{count:6,} {before} -> {after}" for (before, after), count in kinds.head(SHOWN).items()]
    rest = [f"{int(kinds.iloc[SHOWN:].sum()):6,} others: changes.csv has all"] if len(kinds) > SHOWN else []
    return [f"{check}: {len(changed):,} of {len(counted):,} images changed their class{skipped}", *lines, *rest]


if __name__ == "__main__":
    run(main)
