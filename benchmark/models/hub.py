"""A model's weights on the Hub: one file, fetched once."""

from __future__ import annotations

from pathlib import Path

from benchmark.core.hub import from_hub


def fetch_weights(name: str, timm_name: str, advice: str | None = None) -> Path | None:
    """The file of a model's weights in the Hub's cache, fetched where it is not; None for what timm alone can fetch.

    `advice` is the way out where they cannot be had.
    """
    from timm.models import get_pretrained_cfg

    config = get_pretrained_cfg(timm_name)
    if config is None or not config.hf_hub_id or config.custom_load == "hf":
        return None
    advice = advice or (
        f"download its model.safetensors elsewhere and name it as {name}=FILE; "
        "the mini base models need no download (mini, mini-strong; for a search --pair mini,mini-strong)"
    )
    with from_hub(f"the weights of {name} ({timm_name})", advice):
        return _download(config.hf_hub_id, config.hf_hub_filename)


def _download(repository: str, file: str | None) -> Path:
    """A file of weights of a repository on the Hub, as safetensors where it has that."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    repository, _, revision = repository.partition("@")
    usual = file or "pytorch_model.bin"
    safe = "model.safetensors" if file is None else str(Path(file).with_suffix(".safetensors"))
    try:
        return Path(hf_hub_download(repository, safe, revision=revision or None))
    except EntryNotFoundError:
        return Path(hf_hub_download(repository, usual, revision=revision or None))
