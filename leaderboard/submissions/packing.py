"""A finished run, or several of one editor, as a submission's folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmark.core.checksums import write_checksums
from benchmark.core.code import PACKAGES, find_sources, import_roots
from benchmark.core.errors import UserError, listed
from benchmark.core.files import sha256
from benchmark.core.staging import replacing_folder
from benchmark.core.workdir import Kind, check_replaceable
from editors.core.registry import installed_editor
from editors.core.third_party import split_file
from leaderboard.judging.run_spec import RUN
from leaderboard.records.outcomes import JOINED
from leaderboard.records.record import Record, read
from leaderboard.records.runs import check_comparable
from leaderboard.records.samples import SAMPLES_FILE, find_samples
from leaderboard.submissions.card import CARD, check_name, write_card
from leaderboard.submissions.layout import FILES, LIMIT, RECORD, SOURCE, VERIFICATION, is_archive

OURS: dict[str, str | list[str]] = {"authors": ["vit-edit-bench"], "paper": "none", "code": "none", "licence": "MIT"}
SUBMISSION = Kind("submission", CARD, beside=frozenset({VERIFICATION}), fix="name another --as, or delete it")


def check_place(folder: Path, editors: Sequence[str]) -> None:
    """Raise `UserError` unless a submission of these editors, as they are written, may be made in `folder`.

    It is not there, empty, or a submission; and pages can show their names.
    """
    check_replaceable(folder, SUBMISSION)
    for spec in editors:
        _check_name(spec)


def pack(runs: Sequence[Path], sources: Sequence[Path], folder: Path) -> list[str]:
    """Write the submission of these finished runs of the editor in the files `sources`, whole or not at all.

    Without any it is an editor of this project.

    A card that is there already stays. Returns what is left to do, a sentence each. Raises `UserError` for runs of
    several editors or under several conditions, and for a folder that holds something else.
    """
    records = [read(run / RECORD) for run in runs]
    _check_alike(records)
    check_place(folder, [record.editor.spec for record in records])
    files = local_sources(sources)
    for name in files:
        _check_name(name)
    card = folder / CARD
    with replacing_folder(folder) as new:
        for run, record in zip(runs, records, strict=True):
            place = new if len(runs) == 1 else new / run.name
            if len(runs) > 1 and place.exists():  # a run of another folder, under the same name
                place = new / f"{run.name}-{record.key[:8]}"
            place.mkdir(exist_ok=True)
            of_run = {name: run / name for name in (RECORD, RUN.note, JOINED)} | {SAMPLES_FILE: find_samples(run)}
            for name, file in of_run.items():
                if not file.is_file():
                    raise UserError(f"{run}: no {name} there, so nobody can verify that run; score it again")
                shutil.copyfile(file, place / name)
        for name, file in files.items():
            (new / SOURCE / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, new / SOURCE / name)
        left_out = _copy_files(records, new)
        write_checksums(new)
        if card.is_file():
            shutil.copyfile(card, new / CARD)
        else:
            write_card(new, _known_of(records, is_ours=not sources))
    return left_out


def sources_of(spec: str) -> list[Path]:
    """The files that an editor is written in; none of this project's."""
    in_file, offer = split_file(spec), installed_editor(spec)
    return [in_file[0]] if in_file else offer.sources if offer else []


def local_sources(sources: Sequence[Path]) -> dict[str, Path]:
    """The editor's files and all that they import but this project's own, by their paths in a submission's source."""
    for source in sources:
        if not source.is_file():
            raise UserError(f"{source}: no such file, and the editor is written in it; hand it in where that file lies")
    tops = {source.resolve(): import_roots(source)[-1] for source in sources}
    files = {}
    for name, path in find_sources(sources).items():
        if name.partition(".")[0] in PACKAGES:
            continue
        module = name.split(".")
        below = Path(*module, path.name) if path.name == "__init__.py" else Path(*module[:-1], path.name)
        files[(path.relative_to(tops[path]) if path in tops else below).as_posix()] = path
    return files


def _known_of(records: Sequence[Record], is_ours: bool) -> dict[str, str | list[str]]:
    """The fields of a card that need nobody's word: the whole card, where the editor is this project's."""
    known: dict[str, str | list[str]] = {"method": records[0].editor.name.rpartition(":")[2]}
    has_learned = any(record.editor.state_sha256 for record in records)
    if not has_learned:
        known["trained_on"] = "nothing"
    elif is_ours:
        known["trained_on"] = "the images that the record names (editor, provenance)"
    return {**known, **OURS} if is_ours else known


def _check_alike(records: Sequence[Record]) -> None:
    names = sorted({record.editor.name for record in records})
    if len(names) > 1:
        raise UserError(f"a submission is of one editor, and these are {listed(names, 'and')}; name one and its --as")
    check_comparable(records)


def _check_name(name: str) -> None:
    try:
        check_name(name)
    except ValueError as error:
        raise UserError(f"{name} {error}; rename that file, and score it again") from error


def _copy_files(records: Iterable[Record], new: Path) -> list[str]:
    """Copy the files that settings name, as far as they fit; a sentence for each that does not."""
    left_out = []
    free = LIMIT - sum(path.stat().st_size for path in new.rglob("*") if path.is_file())
    hashes = {digest: Path(name) for record in records for name, digest in (record.editor.files or {}).items()}
    for digest, file in hashes.items():
        if not file.is_file() or sha256(file) != digest:
            raise UserError(
                f"{file} is not the file any more that the run took (SHA-256 {digest[:12]}...); put it back"
            )
        if is_archive(file):
            left_out.append(f"{file} is an archive and stays here; write weights as .safetensors")
        elif file.stat().st_size > free:
            left_out.append(f"{file} is too large and stays here; say in {CARD} (weights) where it can be had")
        else:
            free -= file.stat().st_size
            (new / FILES).mkdir(exist_ok=True)
            shutil.copyfile(file, new / FILES / f"{digest[:12]}{file.suffix}")
    return left_out
