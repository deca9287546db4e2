"""The card of a data set, which tells `load_dataset` where its files are, even where they lie elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmark.core.files import ASSETS


def embedded_in(folder: Path) -> str | None:
    """The name of the embedded data set whose files the card in `folder` lists as its default, if it lists such files.

    `load_dataset` of the folder's name gives these files, so that every command takes the name for the same.
    """
    for config in _configs(folder / "README.md"):
        if config.get("default"):
            patterns = [folder / str(entry["path"]) for entry in config["data_files"]]
            folders = {pattern.parent.resolve() for pattern in patterns}
            return next((path.parent.name for path in folders if path.parent.parent == ASSETS), None)
    return None


def _configs(card: Path) -> list[dict[str, Any]]:
    """The configs that a card lists; none where there is no card, or one that is not to be read."""
    try:
        if not card.is_file():
            return []
        from huggingface_hub import metadata_load

        return list((metadata_load(card) or {})["configs"])
    except Exception:  # any README may stand beside images, and any text may be asked for as a folder
        return []
