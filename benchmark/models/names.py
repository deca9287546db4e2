"""Ways to name a base model: an alias, a name of timm, `NAME=FILE`, a folder; and lists of them.

A path may hold ``=`` and ``,``: where several readings are possible, the one whose folder or file exists wins.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmark.core.errors import UserError, unknown
from benchmark.core.files import ASSETS, near_path

TIMM_NAMES = {
    "vitb16": "vit_base_patch16_224.augreg_in21k_ft_in1k",
    "vits16": "vit_small_patch16_224.augreg_in21k_ft_in1k",
    "clip-vitb16": "vit_base_patch16_clip_224.openai_ft_in1k",
}
EMBEDDED = ("mini", "mini-strong")
BACKBONE = "vit_small_patch14_dinov2.lvd142m"
PROBES = {"dinov2-mini": BACKBONE, "dinov2-mini-strong": BACKBONE}  # heads are embedded, not backbones: see `probes`
AS_FILE = f"NAME=FILE, where NAME is {', '.join((*TIMM_NAMES, *EMBEDDED, *PROBES))} or timm's, as vit_base_patch16_224"


def split_spec(spec: str) -> tuple[str, Path | None]:
    """The name and, of ``NAME=FILE``, the file. Folders and files that exist win, so that a path may hold ``=``."""
    name, equals, rest = spec.partition("=")
    name, file = next(_readings(spec), (name, rest if equals else None))
    if file == "":
        raise UserError(f"{spec} names no file; write {name}=FILE, or {name} alone")
    if folder_of(name) is None:
        name = name.removeprefix("hf-hub:").removeprefix("hf_hub:").removeprefix("timm/")
    return name, Path(file).expanduser() if file else None


def split_specs(text: str) -> list[str]:
    """The models of a list ``A,B,C``. Folders and files that exist win, so that a path may hold ``,``."""
    pieces, specs = text.split(","), []
    while pieces:
        joined = [",".join(pieces[:count]).strip() for count in range(1, len(pieces) + 1)]
        count = next((count for count in range(len(pieces), 1, -1) if any(_readings(joined[count - 1]))), 1)
        specs.append(joined[count - 1])
        pieces = pieces[count:]
    return specs


def _readings(spec: str) -> Iterator[tuple[str, str | None]]:
    """The readings of `spec` as a folder or as NAME=FILE in which the folder or file exists."""
    if folder_of(spec):
        yield spec, None
    for number, character in enumerate(spec):
        name, file = spec[:number], spec[number + 1 :]
        if character == "=" and Path(file).expanduser().is_file() and ("," not in name or folder_of(name)):
            yield name, file


def folder_of(name: str) -> Path | None:
    """The folder of an embedded model or head, or a folder with a ``config.json`` that is named by its path."""
    if name in EMBEDDED:
        return ASSETS / "mini" / "models" / name
    if name in PROBES:
        return ASSETS / "real" / "models" / name
    path = Path(name)
    return path if (path / "config.json").is_file() else None


def timm_name(name: str) -> str:
    """The name by which timm knows a model. Raises `UserError` with the nearest one if it does not."""
    import timm

    full_name = TIMM_NAMES.get(name, name)
    if timm.is_model(full_name.split(".")[0]):
        return full_name
    if Path(name).is_dir():
        raise UserError(f"{name}: holds no config.json of timm; name a file in it with its architecture: {AS_FILE}")
    if Path(name).is_file():
        raise UserError(f"{name}: is a file; name the architecture, too: {AS_FILE}")
    near = near_path(Path(name))
    paths = [str(near)] if near else []
    known = [*EMBEDDED, *PROBES, *TIMM_NAMES, *paths, *(timm.list_models("vit_*") if name.startswith("vit_") else ())]
    raise unknown(
        "base model",
        name,
        known,
        "(or give a timm ViT, a timm folder, or NAME=FILE with such an alias or timm's name of the architecture)",
    )
