"""The label space is timm's own, read without importing it."""

from __future__ import annotations

import subprocess
import sys

from timm.data import ImageNetInfo

from benchmark.labels.imagenet import CLASSES, full_names, index_of, names, synsets


def test_it_is_timms() -> None:
    info = ImageNetInfo()
    assert synsets() == tuple(info.index_to_label_name(index) for index in range(CLASSES))
    assert full_names() == tuple(info.index_to_description(index) for index in range(CLASSES))
    assert names()[890] == "volleyball" and index_of()["n04540053"] == 890


def test_timm_is_not_imported_for_it() -> None:
    script = "import sys, benchmark.labels.imagenet; benchmark.labels.imagenet.names(); print('timm' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
