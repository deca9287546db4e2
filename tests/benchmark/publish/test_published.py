"""A published data set is loaded as strangers load it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.benchmark.publish.test_card import folder_of
from tests.hub_server import HubServer

NAME = "where2edit/vit-edit-bench"
LOADING = """
import json, sys
from datasets import load_dataset
name, revision = sys.argv[1:]
full, mini, streamed = load_dataset(name), load_dataset(name, "mini"), load_dataset(name, streaming=True)
row, small = next(iter(streamed["edit"])), next(iter(load_dataset(name, "mini", streaming=True)["edit"]))
print(json.dumps({
    "full": {split: len(rows) for split, rows in full.items()},
    "mini": {split: len(rows) for split, rows in mini.items()},
    "earlier": len(load_dataset(name, revision=revision)["edit"]),
    "streamed": [row["group"], row["image"].size, small["group_id"], small["image"].size],
    "missing": sum(row["image"] is None for row in full["edit"]),
}))
"""


def test_load_dataset_reads_it_outside_the_checkout(hub: HubServer, tmp_path: Path) -> None:
    """Both configs, whole and streamed, and an earlier commit; listings come in pages."""
    hub.page = 4
    earlier = hub.add("datasets", NAME, folder_of(tmp_path / "earlier", without="edit-oil_painting"))
    hub.add("datasets", NAME, folder_of(tmp_path / "newest", bare=True))
    done = hub.python(tmp_path, "-c", LOADING, NAME, earlier)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "full": {"edit": 12, "locality": 6},
        "mini": {"edit": 418, "locality": 320},
        "earlier": 9,
        "streamed": ["natural", [30, 20], "637-308", [64, 64]],
        "missing": 4,
    }
