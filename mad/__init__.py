"""Finding failures of a classifier by the maximum discrepancy (MAD) competition."""

from __future__ import annotations

from typing import TYPE_CHECKING

try:
    from benchmark.core.lazy import lazy
except ImportError as error:  # Python takes a benchmark in the working folder first
    import benchmark

    raise ImportError(f"{benchmark.__file__} hides this project's package benchmark; rename it") from error
from benchmark.core.moved import tell_moved

if TYPE_CHECKING:
    from mad.mining.competition import SearchConfig, SearchResult, compete
else:
    __getattr__ = lazy(
        __name__,
        {
            "mad.mining.competition": ("SearchConfig", "SearchResult", "compete"),
        },
    )

__all__ = [
    "SearchConfig",
    "SearchResult",
    "compete",
]

tell_moved(
    modules={"mad.pool": "from benchmark import open_images"},
    commands={
        "mad.wordnet": "python -m mad.rebuild wordnet",
        "mad.crawling.keywords": "python -m mad.rebuild keywords",
    },
)
