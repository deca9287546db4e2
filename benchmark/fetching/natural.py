"""The authors' archive of the natural subset (SPEC, 9)."""

from benchmark.fetching.download import Download
from benchmark.fetching.source import Source

AUTHORS = (
    "The authors state no licence of the archive. Its photographs are other people's, under Creative Commons licences: "
    "name their owners where you pass one on."
)
SOURCE = Source(
    name="natural",
    content="16 groups of Flickr photographs",
    command="benchmark.build --natural",
    origin=Download(
        "https://www.dropbox.com/scl/fi/5os0w5ii2f8e7l77au4wt/Natural-Image-Subset.zip"
        "?rlkey=jikug6el8ghkz7oiewaplum61&st=uj65rbfq&dl=1",
        "Natural-Image-Subset.zip",
    ),
    value="{path}/Natural-Image-Subset.zip",
    licence="none stated",
    terms=AUTHORS,
)
