"""Build the benchmark from its released archives, as a folder in the Hub's layout.

    python -m benchmark.build --natural Natural-Image-Subset.zip --oil-painting DIR --stage-light DIR \\
        --locality Sensitive-Images.zip

Each input is a ZIP archive or a folder. The folder that comes out, by default ``where2edit/vit-edit-bench``, is
what ``load_dataset("where2edit/vit-edit-bench")`` loads from the folder that holds it:

    README.md, croissant.json    the card, and the same for machines
    data/edit-<subset>-*.parquet, data/locality-*.parquet    4,306 and 2,071 rows, images unchanged
    data/locality_taken-*.parquet, data/locality_far-*.parquet    if they are given: further images that must not change
    mini/, real/                 copies of the embedded benchmarks
    build.json, skipped.csv, SHA256SUMS    the inputs and counts, the files left out and why, checksums

It is made beside the old folder, which stays as it is until all of the new one is on the disk, and is replaced only
where it holds nothing that SHA256SUMS does not list.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import tyro

from benchmark.core import options
from benchmark.core.errors import UserError
from benchmark.core.files import write_text
from benchmark.core.staging import recover, replacing_folder
from benchmark.core.workdir import Kind, check_replaceable
from benchmark.data.groups import PAPER_LOCALITY
from benchmark.data.scored import EDIT, FAR, LOCALITY, TAKEN, UNGROUPED
from benchmark.images.open import open_images
from benchmark.publish import card
from benchmark.subsets import locality
from benchmark.subsets.inputs import Input, SourceImage
from benchmark.subsets.own import NAME as OWN
from benchmark.subsets.shards import Shards, read_rows
from benchmark.subsets.subset import all_groups, subsets
from benchmark.subsets.tally import (
    Report,
    check_counts,
    check_report,
    describe_generated,
    find_differences,
    list_first,
    write_skipped,
)

NAME, VERSION = "vit-edit-bench", "1.0"
BUILD = Kind("build", "build.json", identity="name")


def build(
    out: Path,
    inputs: Mapping[str, Path],
    *,
    allow_partial: bool = False,
    publish: bool = False,
    label_with: str | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """Build the data set `out` from `inputs` (subset -> archive or folder); return its build.json.

    With `own` groups and a locality set alone, the data set has the counts that it has, and is named after its folder.
    Pictures that `generation` made have the count that they have, too, since the paper's choice is not published; the
    data set is then partial. With `publish`, rows that may not be passed on lose their pixels; with `label_with`, the
    unlabelled locality images get the top-1 class of that base. An image that stands twice in its own group, or in a
    group and D_l, is kept and noted where the counts are the paper's, which may hold it; elsewhere, and in two groups,
    it is an error.

    Raises:
        UserError: if counts differ from the paper's (unless `allow_partial`), an image stands twice, an input
            is not what it should be, `out` holds something else, or the disk is full. `out` is then as it was.
    """
    of_paper = inputs.keys() - {*UNGROUPED} != {OWN}
    name = NAME if of_paper else _own_name(out, inputs)
    recover(out)
    kind = dataclasses.replace(BUILD, beside=frozenset({"README.md"})) if card.is_ours(out / "README.md") else BUILD
    check_replaceable(out, kind, {"name": name}, inputs.values())
    report = Report()
    sources = [subsets()[subset].read(open_images(path, files=True)) for subset, path in inputs.items()]
    counts = Counter(_place(source, image) for source in sources for image in source.images)
    generated = [source for source in sources if source.is_made_again]
    report.made_again = frozenset(_place(source, image) for source in generated for image in source.images)
    report.notes += describe_generated(counts, report.made_again)
    allow_partial |= not of_paper  # groups of one's own have the counts that they have
    if not allow_partial:
        check_counts(counts, report.made_again)
    wide: list[str] = []
    if label_with is not None:
        sources, wide = _label(sources, label_with, device, allow_partial)
        report.notes += _describe_wide(wide, label_with)
    with replacing_folder(out) as folder:
        for source in sources:
            _write(source, folder, report, publish)
        check_report(report, out, allow_partial)
        notes = _describe(name, sources, report, publish, bool(wide or find_differences(report.counts)))
        if of_paper:
            _add_embedded(folder)
        _finish(folder, notes, report)
    return notes


def _place(source: Input, image: SourceImage) -> str:
    """The id of the image's group; of one without a group, its split."""
    return image.group.id if image.group else source.subset


def _own_name(out: Path, inputs: Mapping[str, Path]) -> str:
    """The name of a data set without the paper's groups, its folder's; scores on it are on that data set."""
    name = out.resolve().name
    if name == NAME:
        raise UserError(f"{out} is the paper's benchmark; name a folder for groups of your own with --out")
    if LOCALITY not in inputs:
        raise UserError("give --locality too: images near the boundary of your base, which benchmark.locality chooses")
    return name


def _label(sources: list[Input], base: str, device: str, allow_partial: bool) -> tuple[list[Input], list[str]]:
    from benchmark.models.load import load_base

    model = load_base(base, device=device)
    wide: list[str] = []
    for number, source in enumerate(sources):
        if source.subset == LOCALITY:
            sources[number], wide = locality.label_with(source, model)
    if wide and not allow_partial:
        raise UserError(
            f"{_describe_wide(wide, base)[0]} Was the locality set chosen with another base, or at other sizes?"
        )
    return sources, wide


def _describe_wide(wide: list[str], base: str) -> list[str]:
    if not wide:
        return []
    return [f"{len(wide):,} locality images have a margin of {locality.MARGIN} or more by {base}: {list_first(wide)}."]


def _write(source: Input, folder: Path, report: Report, publish: bool) -> None:
    """Read, check and write one source; what does not decode is noted as skipped."""
    from tqdm.auto import tqdm

    from benchmark.publish.publish import without_pixels

    data = folder / "data"
    data.mkdir(exist_ok=True)
    stem = source.subset if source.subset in UNGROUPED else f"{EDIT}-{source.subset}"
    report.notes += source.notes
    with Shards(data, stem, without_pixels if publish else None) as shards:
        for image, row in tqdm(read_rows(source), total=len(source.images), unit="image", desc=source.subset, delay=2):
            path = source.files.where(image.name)
            if isinstance(row, str):
                report.skipped.append((path, row))
                continue
            report.note(_place(source, image), path, row["sha256"])
            shards.add(row)


def _describe(name: str, sources: list[Input], report: Report, publish: bool, differs: bool) -> dict[str, Any]:
    """The data set's ``build.json``; it `differs` if a count or margin is not the paper's."""
    of_paper = name == NAME
    labels = [source.labels for source in sources if source.subset == LOCALITY]
    further = [source.subset for source in sources if not subsets()[source.subset].of_paper]
    version = "+".join([f"{VERSION}-partial" if differs else VERSION, *further])
    return {
        "name": name,
        "version": version if of_paper else OWN,
        "partial": of_paper and differs,
        "published_without_pixels": publish,
        "groups": [
            {
                "id": group.id,
                "name": group.name,
                "subset": group.subset,
                "count": report.counts[group.id],
                "expected": group.count,
            }
            for group in dict.fromkeys([*all_groups(), *(image.group for each in sources for image in each.images)])
            if group is not None and (report.counts[group.id] or (of_paper and group.count is not None))
        ],
        "locality": {
            "count": report.counts[LOCALITY],
            "expected": PAPER_LOCALITY if of_paper else None,
            "labels": labels[0] if labels else "unknown",
        },
        **{split: {"count": report.counts[split], "expected": None} for split in (TAKEN, FAR) if report.counts[split]},
        "sources": {source.subset: source.files.provenance() for source in sources},
        "choices": report.notes,
        "skipped": len(report.skipped),
    }


def _add_embedded(folder: Path) -> None:
    """Copy the embedded benchmarks, with their licences."""
    from benchmark.data.packaged import MINI, SETS

    for name, data in SETS.items():
        (folder / name).mkdir()
        for file in sorted(data.glob("*.parquet")):
            shutil.copyfile(file, folder / name / file.name)
        shutil.copyfile(data.parent / "NOTICE", folder / name / "NOTICE")
        shutil.copytree(MINI.parent / "licences", folder / name / "licences")  # both are made of the same art


def _finish(folder: Path, notes: dict[str, Any], report: Report) -> None:
    """Complete the data set: add the notes, the card, croissant.json for the paper's, and the checksums."""
    from benchmark.publish import croissant
    from benchmark.publish.publish import write_checksums

    write_skipped(report, folder / "skipped.csv")
    write_text(folder / "build.json", json.dumps(notes, indent=2, ensure_ascii=False) + "\n")
    card.write(folder)
    if notes["name"] == NAME:
        croissant.write(folder)
    write_checksums(folder)


# An option for each subset, with its help.
Inputs = dataclasses.make_dataclass(
    "Inputs",
    [
        (subset.name, Annotated[Path | None, tyro.conf.arg(help=subset.option)], dataclasses.field(default=None))
        for subset in subsets().values()
    ],
    frozen=True,
)


def main(
    inputs: Annotated[Inputs, tyro.conf.arg(name="")],  # type: ignore[valid-type]
    out: options.Out = Path("where2edit/vit-edit-bench"),
    label_with: str | None = None,
    allow_partial: options.AllowPartial = False,
    publish: bool = False,
    push: str | None = None,
    yes: options.Yes = False,
    device: options.Device = "auto",
) -> None:
    """Build the benchmark, 4,306 editing samples in 18 groups and 2,071 locality images, from its archives.

    OUT is replaced as a whole, once the new data set is complete. With --allow-partial, card and scores say "partial".

    Args:
        label_with: Base model whose top-1 class labels unlabelled locality images.
        publish: Leave out the pixels that may not be passed on (ImageNet, PUG); benchmark.hydrate fills them in.
        push: Data set OWNER/NAME on the Hub to upload to, after showing what would go; needs --publish.
    """
    given = {subset: path for subset in subsets() if (path := getattr(inputs, subset)) is not None}
    if not given:
        *first, last = [f"--{subset.replace('_', '-')}" for subset in subsets()]
        raise UserError(f"nothing to build from; give {', '.join(first)} and {last}")
    if push is not None and not publish:
        raise UserError("--push needs --publish: pixels of ImageNet and PUG may not be passed on")
    notes = build(
        out,
        given,
        allow_partial=allow_partial,
        publish=publish,
        label_with=label_with,
        device=device,
    )
    total = sum(group["count"] for group in notes["groups"])
    print(
        f"{out}: version {notes['version']}, {total:,} editing samples, "
        f"{notes['locality']['count']:,} locality images, {notes['skipped']:,} files skipped"
    )
    if push is not None:
        from benchmark.publish import publish as hub

        address = hub.push(out, push, lambda sizes: confirm(sizes, push, yes))
        print(f"uploaded: {address}")


def confirm(sizes: dict[str, int], repo: str, yes: bool) -> bool:
    """Show the files, with sizes, to upload to the Hub data set `repo`; ask for consent unless `yes`; return it."""
    for name, size in sizes.items():
        print(f"  {size / 1e6:9.2f} MB  {name}")
    total = sum(sizes.values()) / 1e6
    print(f"{len(sizes)} files, {total:,.1f} MB, for the data set {repo} (private if it is new)")
    try:
        return yes or input("upload all of this? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


if __name__ == "__main__":
    from benchmark.core.cli import run

    run(main)
