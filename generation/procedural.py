"""Give real images the two generated looks, oil painting and stage light, without any model.

    python -m generation.procedural --out out/mini_generated            # a data set, from the mini's drawings
    python -m generation.procedural --out out/shifted --images photos   # two folders by class, from photographs

The first makes the config `mini_generated`, a folder in the Hub's layout: the mini's two generated groups, so that
whatever handles the paper's groups 17 and 18 runs offline on real failures. The embedded `mini` stays as it is.

    data/edit-*.parquet       group 17, oil painting, and group 18, stage light
    data/pool-*.parquet       all other images that were made, unlabelled by group, to mine
    data/locality-*.parquet, data/train-*.parquet    the mini's, byte for byte
    README.md, NOTICE, licences, build.json          how to load it, credits, how it was made
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.core import options
from benchmark.core.checksums import write_checksums
from benchmark.core.code import hash_sources
from benchmark.core.files import write_text
from benchmark.core.staging import recover, replacing_folder
from benchmark.core.versions import library_versions
from benchmark.core.workdir import Kind, check_replaceable
from benchmark.data.dataset import LabelledImages, read_split
from benchmark.data.packaged import MINI, MINI_VERSION
from benchmark.images.memory import EncodedImages
from benchmark.mini.emoji import list_drawings
from benchmark.mini.packing import encode, write_split
from benchmark.subsets.subset import subsets
from generation.core.flaws import describe_thrown_away
from generation.core.folder import GeneratedImages
from generation.looks import shifting
from generation.looks.shifting import LOOKS, SEED, shift_folder, shift_into

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

log = logging.getLogger(__name__)

NAME, VERSION = "mini_generated", "mini-generated-1"
BUILD = Kind("build", "build.json", identity="name")
MADE = "made"  # folder of the images so far, in the one that becomes the data set
JUDGED_OR_LEARNED = ("locality", "dev_locality", "train")


@dataclass(frozen=True)
class Plan:
    """Settings of the data set, beside the looks."""

    images: int = 80  # of a group, at most; as many as the mini's two groups by style
    a_class: int = 3  # of one class in a group, at most; as there
    seed: int = SEED


def select_sources(pool: pd.DataFrame, base_prediction: Sequence[int], used: set[str]) -> np.ndarray:
    """Positions (n,) of the rows of the mini's pool that get another look.

    They are those whose drawing means its class (tier A), that the base gets right as they are, and whose drawing is
    in none of `used`: what is edited must share no drawing with what editors learn from and are judged on. Another
    look makes no new drawing. The pool is by other designers than the training images, which leaves the Fluent set:
    its flat icons are in training, and its 3-D icons draw the same objects the same way; they are left out as a
    whole.
    """
    import numpy as np

    tier = {drawing.name: drawing.tier for drawing in list_drawings()}
    is_source = (
        (pool["drawing"].map(tier) == "A")
        & ~pool["drawing"].isin(used)
        & ~pool["drawing"].str.startswith("fluent")
        & (pool["label"] == list(base_prediction))
    )
    return np.flatnonzero(is_source)


def mask_group(images: pd.DataFrame, plan: Plan) -> pd.Series:
    """True for the images of one look that make its group: those that the base gets wrong, varied by rule.

    One image a drawing in turn, then a second, and so on; at most `plan.a_class` of a class and `plan.images` in all.
    `sha256` orders them, which is as good as at random.
    """
    wrong = images[images["base_prediction"] != images["label"]].sort_values("sha256")
    wrong = wrong.assign(turn=wrong.groupby("drawing").cumcount()).sort_values(["turn", "sha256"])
    wrong = wrong[wrong.groupby("label").cumcount() < plan.a_class].head(plan.images)
    return images.index.to_series().isin(wrong.index)


def apply_look(samples: LabelledImages, look: str, plan: Plan, scratch: Path) -> pd.DataFrame:
    """Every sample under one look: a table as `packing.write_split` takes it, with the encoded image in `data`.

    One of which no seed shows anything is left out, and counted in a warning. Images are kept in `scratch` as they are
    made, and not made again.
    """
    import numpy as np
    import pandas as pd
    from PIL import Image

    jobs = [(label, number) for number, label in enumerate(samples.table["label"].tolist())]
    made = GeneratedImages(scratch / look, {"look": look, "seed": plan.seed})
    shift_into(made, look, jobs, samples.table["sha256"].tolist(), samples.image_bytes, plan.seed)
    rows = []
    for job, row in zip(jobs, samples.table.to_dict("records"), strict=True):
        if made.rows[job]["file"] is None:
            continue
        with Image.open(made.path / made.rows[job]["file"]) as image:
            data = encode(np.asarray(image))
        rows.append(
            {
                "label": row["label"],
                "drawing": row["drawing"],
                "style": row["drawing"].partition("/")[0],
                "source_id": f"{row['source_id']} {look}",
                "subset": look,
                "data": data,
                "sha256": hashlib.sha256(data).hexdigest(),
            }
        )
    of_jobs = [made.rows[job] for job in jobs]
    if any(columns["thrown_away"] for columns in of_jobs):
        log.warning("%s: %s", look, describe_thrown_away(of_jobs))
    return pd.DataFrame(rows)


def predict_images(data: Sequence[bytes], model: str) -> pd.DataFrame:
    """Predictions of an embedded model for encoded images: `label` and `margin`, a row an image."""
    from benchmark.models.load import load_base
    from benchmark.predict.engine import predict

    pool = EncodedImages.of("shifted images", data)
    predictions = predict([load_base(model)], pool, progress=False)
    return predictions.rename(columns={f"{model}_label": "label", f"{model}_margin": "margin"})


def build(out: Path, plan: Plan | None = None, limit: int | None = None) -> dict[str, Any]:
    """Make the data set `out`; return its build.json. With `limit`, of that many images of the pool only.

    A run that was stopped goes on with the images that it had made.

    Raises:
        UserError: if `out` holds something else.
    """
    plan = plan or Plan()
    recover(out)
    check_replaceable(out, BUILD, {"name": NAME})
    pool = read_split(MINI, "pool")
    used = {drawing for split in JUDGED_OR_LEARNED for drawing in read_split(MINI, split).table["drawing"]}
    image_bytes = [pool.image_bytes(row) for row in range(len(pool))]
    chosen = select_sources(pool.table, predict_images(image_bytes, "mini")["label"].tolist(), used)[:limit]
    made_from = {"version": VERSION, "made_from": MINI_VERSION, "seed": plan.seed, "libraries": library_versions()}
    made_from["code"] = hash_sources([Path(shifting.__file__)])
    with replacing_folder(out, json.dumps(made_from)) as folder:
        whole = _make_images(pool.take(chosen), plan, folder / MADE)
        note = _make_build_note(whole, plan)
        edit = whole[whole["chosen"]].sort_values(["group_id", "label", "sha256"]).drop(columns="margin")
        rest = whole[~whole["chosen"]].sort_values("sha256")
        rest = rest.drop(columns=["group", "group_id", "base_prediction", "margin", "strong_prediction"])
        write_split(edit, folder / "data" / "edit-00000-of-00001.parquet")
        write_split(rest, folder / "data" / "pool-00000-of-00001.parquet")
        for split in ("locality", "train"):
            for file in sorted(MINI.glob(f"{split}-*.parquet")):
                shutil.copyfile(file, folder / "data" / file.name)
        shutil.copyfile(MINI.parent / "NOTICE", folder / "NOTICE")
        shutil.copytree(MINI.parent / "licences", folder / "licences", dirs_exist_ok=True)
        write_text(folder / "README.md", _render_card(note))
        write_text(folder / "build.json", json.dumps(note, indent=2) + "\n")
        shutil.rmtree(folder / MADE)
        write_checksums(folder)
    return note


def _make_images(samples: LabelledImages, plan: Plan, scratch: Path) -> pd.DataFrame:
    """All samples under both looks, with both models' predictions, group, and whether they are `chosen` for it."""
    import pandas as pd

    tables = []
    for look in LOOKS:
        images = apply_look(samples, look, plan, scratch)
        base, strong = (predict_images(images["data"].tolist(), model) for model in ("mini", "mini-strong"))
        images = images.assign(base_prediction=base["label"], strong_prediction=strong["label"], margin=base["margin"])
        (group,) = subsets()[look].groups
        tables.append(images.assign(chosen=mask_group(images, plan), group=group.name, group_id=group.id))
    return pd.concat(tables, ignore_index=True)


def _make_build_note(whole: pd.DataFrame, plan: Plan) -> dict[str, Any]:
    groups = []
    for look, images in whole.groupby("subset", sort=False):
        right = {role: int((images[f"{role}_prediction"] == images["label"]).sum()) for role in ("base", "strong")}
        groups.append(
            {
                "id": images["group_id"].iloc[0],
                "name": images["group"].iloc[0],
                "subset": look,
                "count": int(images["chosen"].sum()),
                "expected": int(images["chosen"].sum()),
                "made": len(images),
                "mini_right": right["base"],
                "mini_strong_right": right["strong"],
            }
        )
    locality = len(read_split(MINI, "locality"))
    return {
        "name": NAME,
        "version": VERSION,
        "partial": False,
        "made_from": MINI_VERSION,
        "plan": asdict(plan),
        "groups": groups,
        "locality": {"count": locality, "expected": locality, "labels": "emoji"},
    }


def _render_card(note: dict[str, Any]) -> str:
    head = ["---", "pretty_name: Vision Transformer editing benchmark, mini, generated groups", "license: other"]
    head += ["license_name: several-see-column-licence", "configs:", f"- config_name: {NAME}", "  data_files:"]
    for split in ("edit", "locality", "train", "pool"):
        head += [f"  - split: {split}", f"    path: data/{split}-*.parquet"]
    body = [
        "---",
        "",
        f"# {note['version']}",
        "",
        f"Drawings of {note['made_from']} that its base model gets right, under two procedural shifts "
        "(`python -m generation.procedural`). `edit` holds what it then gets wrong; `locality` and `train` are "
        f"{note['made_from']}'s. Art is credited in NOTICE; images of styles marked there with * are under "
        "CC-BY-SA-4.0, also as changed here.",
        "",
        "| group | images made | mini right | mini-strong right | in `edit` |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    columns = ("name", "made", "mini_right", "mini_strong_right", "count")
    body += [f"| {' | '.join(str(group[column]) for column in columns)} |" for group in note["groups"]]
    return "\n".join(head + body) + "\n"


def main(out: options.Out, images: options.OptionalImages = None, limit: options.Limit = None) -> None:
    """Make oil paintings and stage light from real images, without any model to download.

    Without --images, OUT becomes mini_generated: groups 17 and 18 made from the mini's drawings, for
    leaderboard.submit --data OUT and datasets.load_dataset. The same command makes the same bytes.
    An earlier mini_generated there is replaced once the new one is complete; --limit takes so many drawings, to try it.

    With --images, OUT/oil_painting and OUT/stage_light hold those images under both looks, which benchmark.build takes.
    """
    if images is not None:
        print(f"{out}: {shift_folder(images, out)}; benchmark.build --oil-painting {out / 'oil_painting'}")
        return
    for group in build(out, limit=limit)["groups"]:
        print(
            f"{group['name']:13} {group['made']:4} made from images that mini gets right; now right: mini "
            f"{group['mini_right']}, mini-strong {group['mini_strong_right']}; {group['count']} failures in the group"
        )
    print(f"{out}: python -m leaderboard.submit ft --data {out} --limit 6")


if __name__ == "__main__":
    from benchmark.core.cli import run

    run(main)
