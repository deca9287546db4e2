"""Emoji art as drawings: fetch the pinned npm packages, read them, render each icon once.

A *drawing* is one icon of one style, named ``<style>/<icon>``. Ten styles by eight vendors draw the same
objects; `classes.json` says which icon of which style shows which ImageNet-1k class. Needs npm (to
download) and resvg-py (to render), both only to rebuild the data or to train the two models again.
"""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.core import files
from benchmark.core.errors import UserError

if TYPE_CHECKING:
    import numpy as np

ASSETS = files.ASSETS / "mini"
SIDE = 80  # pixels of a rendered drawing of the mini, whose views have 64


@dataclass(frozen=True)
class Style:
    """One designer's set of drawings: its package, licence and credit."""

    name: str
    package: str
    version: str
    licence: str
    credit: str
    page: str

    @property
    def source(self) -> str:
        return f"npm:{self.package}@{self.version}"


_ICONIFY = "@iconify-json/"
STYLES: dict[str, Style] = {
    s.name: s
    for s in (
        Style("twemoji", _ICONIFY + "twemoji", "1.2.5", "CC-BY-4.0",
              "Twemoji, by Twitter, Inc. and contributors", "https://github.com/jdecked/twemoji"),
        Style("noto", _ICONIFY + "noto", "1.2.9", "Apache-2.0",
              "Noto Emoji, by Google", "https://github.com/googlefonts/noto-emoji"),
        Style("fluent-flat", _ICONIFY + "fluent-emoji-flat", "1.2.6", "MIT",
              "Fluent Emoji, by Microsoft Corporation", "https://github.com/microsoft/fluentui-emoji"),
        Style("noto-v1", _ICONIFY + "noto-v1", "1.2.5", "Apache-2.0",
              "Noto Emoji (first design), by Google", "https://github.com/googlefonts/noto-emoji"),
        Style("emojione", _ICONIFY + "emojione", "1.2.3", "CC-BY-4.0",
              "EmojiOne 2.3, by EmojiOne, kept by EmojiTwo", "https://github.com/EmojiTwo/emojitwo"),
        Style("openmoji", _ICONIFY + "openmoji", "1.2.29", "CC-BY-SA-4.0",
              "OpenMoji, by HfG Schwäbisch Gmünd and contributors", "https://openmoji.org"),
        Style("emojione-v1", _ICONIFY + "emojione-v1", "1.2.3", "CC-BY-SA-4.0",
              "EmojiOne 1, by EmojiOne", "https://github.com/joypixels/emojione-legacy"),
        Style("fxemoji", _ICONIFY + "fxemoji", "1.2.2", "CC-BY-4.0",
              "FxEmojis, by Mozilla", "https://github.com/mozilla/fxemoji"),
        Style("streamline", _ICONIFY + "streamline-emojis", "1.2.4", "CC-BY-4.0",
              "Streamline Emojis, by Streamline", "https://streamlinehq.com"),
        Style("fluent-3d", "@lobehub/fluent-emoji-3d", "1.1.0", "MIT",
              "Fluent Emoji 3D, by Microsoft Corporation", "https://github.com/microsoft/fluentui-emoji"),
    )
}  # fmt: skip
BASE_STYLES = ("twemoji", "noto", "fluent-flat")  # the styles that `mini` is trained on
SHIFT_STYLES = tuple(name for name in STYLES if name not in BASE_STYLES)


@dataclass(frozen=True)
class Drawing:
    """One icon of one style, with the ImageNet-1k class that it shows."""

    style: str
    icon: str
    label: int  # ImageNet-1k index
    tier: str  # A: the icon means the class; B: the nearest class, or a doubtful drawing; B is never scored

    @property
    def name(self) -> str:
        return f"{self.style}/{self.icon}"


def list_drawings(classes_file: Path = ASSETS / "classes.json") -> list[Drawing]:
    """Every drawing that `classes.json` lists and does not exclude, in a fixed order."""
    drawings = []
    for entry in json.loads(classes_file.read_text(encoding="utf-8")):
        if entry.get("dropped"):
            continue
        excluded, doubtful = (
            {(x["style"], x["codepoints"]) for x in entry[f"{status}_drawings"]} for status in ("excluded", "doubtful")
        )
        for style in STYLES:
            for codepoints, icon in entry["styles"].get(style, {}).items():
                if (style, codepoints) not in excluded:
                    tier = "B" if (style, codepoints) in doubtful else entry["tier"]
                    drawings.append(Drawing(style, icon.removesuffix(".webp"), entry["imagenet_index"], tier))
    return drawings


def render(cache: Path, drawings: list[Drawing] | None = None, side: int = SIDE) -> tuple[list[Drawing], np.ndarray]:
    """Render `drawings`, by default all: return them and their pixels, (n, side, side, 4) uint8 with straight alpha.

    Packages and renderings are kept in `cache`; only what is missing there is fetched and rendered.
    """
    import numpy as np

    drawings = list_drawings() if drawings is None else drawings
    pixels = np.empty((len(drawings), side, side, 4), np.uint8)
    for style in dict.fromkeys(d.style for d in drawings):
        positions = [i for i, d in enumerate(drawings) if d.style == style]
        image_of = _render_style(STYLES[style], cache, sorted({drawings[i].icon for i in positions}), side)
        for i in positions:
            pixels[i] = image_of[drawings[i].icon]
    return drawings, pixels


def _render_style(style: Style, cache: Path, icons: list[str], side: int) -> dict[str, np.ndarray]:
    import numpy as np

    cache_file = cache / f"{style.name}-{style.version}-{side}px.npz"
    if cache_file.exists():
        with np.load(cache_file) as saved:
            if set(icons) <= set(saved.files):
                return {icon: saved[icon] for icon in icons}
    archive = fetch(style, cache)
    load = _read_webp if style.name == "fluent-3d" else _read_iconify
    image_of = {icon: np.asarray(image) for icon, image in load(archive, icons, side)}
    temporary = cache_file.with_suffix(".part.npz")
    np.savez_compressed(temporary, allow_pickle=False, **image_of)
    temporary.replace(cache_file)
    return image_of


def fetch(style: Style, cache: Path) -> Path:
    """Download a style's package by `npm pack` unless `cache` holds it; return the archive's path."""
    cache.mkdir(parents=True, exist_ok=True)
    archive = cache / f"{style.package.strip('@').replace('/', '-')}-{style.version}.tgz"
    if not archive.exists():
        command = ["npm", "pack", "--silent", f"{style.package}@{style.version}"]
        try:
            subprocess.run(command, cwd=cache, check=True, capture_output=True, text=True)
        except FileNotFoundError:
            raise UserError("npm was not found: install Node.js (needed only to rebuild the mini)") from None
        except subprocess.CalledProcessError as error:
            last = (error.stderr.strip().splitlines() or ["no message"])[-1]
            raise UserError(f"`{' '.join(command)}` failed: {last}") from None
    return archive


def _read_members(archive: Path, names: set[str]) -> dict[str, bytes]:
    """Contents of the named regular files. Nothing is unpacked, so no path in the archive can do harm."""
    try:
        with tarfile.open(archive) as tar:
            contents = {
                m.name: tar.extractfile(m).read()  # type: ignore[union-attr]  # a regular file has one
                for m in tar
                if m.isfile() and m.name in names
            }
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise UserError(f"{archive} is damaged ({error}): delete it and retry") from None
    if missing := sorted(names - set(contents)):
        raise UserError(f"{archive.name} lacks {missing[0]} (and {len(missing) - 1} more): delete it and retry")
    return contents


def _read_webp(archive: Path, icons: list[str], side: int):
    from PIL import Image

    names = {f"package/assets/{icon}.webp": icon for icon in icons}
    for name, data in _read_members(archive, set(names)).items():
        image = Image.open(io.BytesIO(data)).convert("RGBA")
        # Premultiplied while it shrinks, or the colour of transparent pixels bleeds into the outline.
        small = image.convert("RGBa").resize((side, side), Image.Resampling.LANCZOS).convert("RGBA")
        yield names[name], small


def _read_iconify(archive: Path, icons: list[str], side: int):
    from PIL import Image

    book = json.loads(_read_members(archive, {"package/icons.json"})["package/icons.json"])
    try:
        import resvg_py
    except ModuleNotFoundError:
        raise UserError('resvg-py is missing: pip install "resvg-py==0.5.0"') from None
    for icon in icons:
        parent = icon
        while parent not in book["icons"]:
            alias = book.get("aliases", {}).get(parent)
            if alias is None or set(alias) - {"parent", "lastModified"}:
                raise UserError(f"{archive.name} has no plain icon {icon!r}: fix it in classes.json")
            parent = alias["parent"]
        entry = book["icons"][parent]
        width = entry.get("width", book.get("width", 16))
        height = entry.get("height", book.get("height", 16))
        box = max(width, height)  # a square, the icon in its middle
        left = entry.get("left", 0) - (box - width) / 2
        top = entry.get("top", 0) - (box - height) / 2
        svg = (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'color="#222" viewBox="{left} {top} {box} {box}" width="{side}" height="{side}">'
            f"{entry['body']}</svg>"
        )
        png = resvg_py.svg_to_bytes(svg_string=svg, width=side, height=side, skip_system_fonts=True)
        yield icon, Image.open(io.BytesIO(bytes(png))).convert("RGBA")
