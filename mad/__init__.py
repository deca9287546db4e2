"""Finding failures of a classifier by the maximum discrepancy (MAD) competition."""

from __future__ import annotations

from benchmark.core.moved import tell_moved

tell_moved(
    modules={"mad.pool": "from benchmark import open_images"},
    commands={
        "mad.wordnet": "python -m mad.rebuild wordnet",
        "mad.crawling.keywords": "python -m mad.rebuild keywords",
    },
)
