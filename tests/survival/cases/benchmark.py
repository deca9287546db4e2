"""The data set: built, looked at, hydrated, its locality set chosen."""

from __future__ import annotations

from pathlib import Path

from tests.survival.cases.inputs import command, free_port, model, pictures
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


PORT = free_port()  # one for all runs: the lock file keeps addresses


def _fetch() -> None:
    """An archive as it is, and one of which a part is kept."""
    from benchmark.fetching import collection, pug
    from benchmark.fetching.download import Download
    from benchmark.fetching.source import Source
    from tests.benchmark.fetching.test_collection import PUG, pug_archive
    from tests.file_server import Answer, serving_files

    with serving_files(PORT) as server:
        archive = Path("in/Natural-Image-Subset.zip").read_bytes()
        server.answers = {"/a.zip": Answer(archive, cuts=[len(archive) // 2]), "/p.tar.gz": Answer(pug_archive(PUG))}
        lights = Download(server.url("/p.tar.gz"), "p.tar.gz", repack=pug.keep_light, kept="p.zip")
        sources = (Source("a", "", "", Download(server.url("/a.zip"), "a.zip")), Source("p", "", "", lights))
        collection.sources = lambda: {source.name: source for source in sources}
        command("benchmark.fetch a p --yes --out out")()


CASES = (
    Case("build", _archives, command(BUILD)),
    Case("own", _own, command(OWN)),
    Case("inspect", _built, command("benchmark.inspect mine --out sheets")),
    Case(
        "hydrate",
        _published,
        command("benchmark.hydrate out --pug in/PUG_ImageNet --locality in/Sensitive-Images.zip"),
    ),
    Case("fetch", _archives, _fetch),
    Case("locality", _validation, command("benchmark.locality --base in/base --imagenet in/val --margin 1 --out out")),
)
