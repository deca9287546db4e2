"""The data set: built, looked at, hydrated, its locality set chosen."""

from __future__ import annotations

from pathlib import Path

from tests.survival.cases.inputs import command, model, pictures
from tests.survival.server import Case


def _archives() -> None:
    from tests.benchmark import released

    released.few(Path("in"))


BUILD = (
    "benchmark.build --natural in/Natural-Image-Subset.zip --oil-painting in/oil --stage-light in/PUG_ImageNet "
    "--locality in/Sensitive-Images.zip --allow-partial --out out"
)
OWN = "benchmark.build --own in/groups --locality in/near --out mine"


def _own() -> None:
    """Groups of one's own, and the images near a boundary."""
    pictures("in", "groups/468_cab-bee", "groups/7_cock-hen", "near/1", "near/2")


def _built() -> None:
    _own()
    command(OWN)()


def _published() -> None:
    _archives()
    command(f"{BUILD} --publish")()


def _validation() -> None:
    """Pictures under the class that the base gives them."""
    from benchmark.images.open import open_images
    from benchmark.models.load import load_base
    from benchmark.predict.engine import predict

    model("in/base")
    pictures("new", "a", each=4)
    source = open_images("new")
    predictions = predict([load_base("in/base")], source, progress=False)
    for image, label in zip(predictions["image"], predictions[predictions.columns[2]], strict=True):
        Path("in/val", str(label)).mkdir(parents=True, exist_ok=True)
        Path("new", image).rename(Path("in/val", str(label), Path(image).name))


CASES = (
    Case("build", _archives, command(BUILD)),
    Case("own", _own, command(OWN)),
    Case("inspect", _built, command("benchmark.inspect mine --out sheets")),
    Case(
        "hydrate",
        _published,
        command("benchmark.hydrate out --pug in/PUG_ImageNet --locality in/Sensitive-Images.zip"),
    ),
    Case("locality", _validation, command("benchmark.locality --base in/base --imagenet in/val --margin 1 --out out")),
)
