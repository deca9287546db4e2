"""The stage light group: renderings of PUG: ImageNet under varying light, of 32 classes (SPEC, 2 and 6).

The input is PUG's own root (``labels_pug_imagenet.csv`` and the ImageFolder ``Scene_Light``), or a folder with one
subfolder a class. PUG's class names carry typos, which are part of the map below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import PurePosixPath

from benchmark.core.errors import UserError
from benchmark.core.text import find_by_name, name_key, printable
from benchmark.data.groups import Group
from benchmark.data.schema import PUG
from benchmark.images.files import ImageFiles
from benchmark.subsets.inputs import Input, SourceImage, list_by_class, read_csv
from benchmark.subsets.subset import Subset

LABELS_CSV = "labels_pug_imagenet.csv"
FOLDER = "Scene_Light"
UNCHANGED = "default"  # PUG's value of a factor that an image does not vary; an image varies one factor
NEEDED = ("filename", "character_name", "character_label", "scene_light")
CLASSES = {
    "Barrel": 427,
    "Cofee_Mug": 504,
    "Washer": 897,
    "Jack_O_Lantern": 607,
    "Vase": 883,
    "Throne": 857,
    "Soccer_Ball": 805,
    "BasketBall": 430,
    "Car_Wheel": 479,
    "Vacuum": 882,
    "BirdHouse": 448,
    "Laptop": 620,
    "Piano": 579,
    "Pool_Table": 736,
    "Carousel": 476,
    "JellyFish": 107,
    "Convertible": 511,
    "Motor_Scooter": 670,
    "Mask": 643,
    "Sewing_Machine": 786,
    "Hay": 958,
    "Gasmask": 570,
    "Bell_Pepper": 945,
    "Drum": 541,
    "Table_Lamb": 846,
    "Backpack": 414,
    "Chicken_hen": 8,
    "Tennis_Ball": 852,
    "Safe": 771,
    "Pay_Phone": 707,
    "Cabbage": 936,
    "Pineapple": 953,
}
NOTES = [
    "Stage light: PUG's `Mask` is class 643 (mask), though PUG's own map also allows 691 and 796; its `Piano` is "
    "579 (grand piano). The paper does not say which it took."
]
GROUP = Group("18", "stage light", "stage_light", None, 1092)
COLUMNS = {"source": PUG, "licence": "CC-BY-NC-4.0", "attribution": "PUG: ImageNet, by FAIR at Meta AI"}


def read(files: ImageFiles) -> Input:
    """List the stage light group's images: of PUG's csv the rows of the 32 classes whose light varies.

    In PUG's own layout, the asset's name stands in the column `drawing`: seven lights on one asset are not
    independent images. In a folder by class that is not known, and `drawing` is null.

    Raises:
        UserError: for PUG's folder without its csv, rows whose image is not there, or a folder that is no class.
    """
    if any(PurePosixPath(name).name == LABELS_CSV for name in files.files):
        images = [
            SourceImage(name, GROUP, CLASSES[label], COLUMNS | {"label_origin": "PUG's csv", "drawing": f"pug/{asset}"})
            for name, label, asset in sorted(_read_rows(files))
        ]
    elif any(FOLDER in PurePosixPath(name).parts for name in files.paths):
        raise UserError(f"{files.name}: {LABELS_CSV} is missing; put it beside {FOLDER}, as PUG has it")
    else:
        columns = COLUMNS | {"label_origin": "folder"}
        images = list_by_class(files, GROUP, frozenset(CLASSES.values()), columns, CLASSES.get)
    return Input("stage_light", files, images, notes=NOTES)


def _read_rows(files: ImageFiles) -> Iterator[tuple[str, str, str]]:
    """Path, PUG's label and asset of each image that belongs to the group."""
    (table, *more) = sorted(name for name in files.files if PurePosixPath(name).name == LABELS_CSV)
    if more:
        raise UserError(f"{files.name}: {LABELS_CSV} is there more than once; give PUG's own root")
    root, find = PurePosixPath(table).parent, find_by_name({name: name for name in files.files})
    for row in read_csv(files, table, NEEDED):
        label = row["character_label"]
        if label in CLASSES and name_key(row["scene_light"]) not in ("", UNCHANGED):
            yield _find(files, find, root, row["filename"], label), label, row["character_name"]


def _find(files: ImageFiles, find: Callable[[str], str | None], root: PurePosixPath, file: str, label: str) -> str:
    """Find the image's path: as in the csv, or in its class's folder of the subset."""
    for path in (root / file, root / FOLDER / file, root / FOLDER / label / PurePosixPath(file).name):
        if (known := find(str(path))) is not None:
            return known
    raise UserError(
        f"{files.name}: {LABELS_CSV} names {printable(file)}, which is neither there nor in {FOLDER}; "
        f"fetch the subset {FOLDER} in full"
    )


ORIGIN = "PUG: ImageNet, rendered with Unreal Engine under varied light."
SUBSET = Subset(
    name="stage_light",
    option="Root of PUG: ImageNet (with its csv), or a folder with one subfolder a class.",
    origin=ORIGIN,
    passed_on=False,
    read=read,
    groups=(GROUP,),
)
