"""The authors' archive of the locality set (SPEC, 9)."""

from benchmark.fetching.download import Download
from benchmark.fetching.source import Source

SOURCE = Source(
    name="sensitive",
    content="the locality set, 2,071 images",
    command="benchmark.build --locality",
    origin=Download(
        "https://www.dropbox.com/scl/fi/0zgd2p2ya3p67c7wqy3mo/Sensitive-Images.zip"
        "?rlkey=tpfbo4br1qkowjj8phlj2vz9w&st=ihbgsda1&dl=1",
        "Sensitive-Images.zip",
    ),
    value="{path}/Sensitive-Images.zip",
    licence="none stated",
    terms="The authors state no licence of the archive. Its images are of ImageNet-1k, -R and -Sketch: use them for "
    "research alone, by ImageNet's terms (https://image-net.org/download.php), and do not pass them on.",
)
