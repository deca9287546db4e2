"""Review groups in a browser, see the agreement, and export what two people accepted.

    python -m mad.review out/mad --annotator ann       two people, each for themselves, in a browser
    python -m mad.review status out/mad                progress, agreement, conflicts
    python -m mad.review export out/mad --out natural  what both accepted, for benchmark.build

A folder of groups that is called "status" or "export" is named as ./status.
"""

from __future__ import annotations

import logging
import shlex
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import tyro

from benchmark.core import options
from benchmark.core.cli import Command, run
from benchmark.core.errors import UserError
from benchmark.core.ranges import Ge, Le
from benchmark.core.stopping import going_on
from benchmark.core.terminal import console
from benchmark.core.text import name_key

Groups = Annotated[
    Path,
    tyro.conf.Positional,
    tyro.conf.arg(metavar="GROUPS", help="Folder that mad.search wrote, or a table like its groups.csv in it."),
]
PORT = 8765
log = logging.getLogger(__name__)


def review(
    groups: Groups,
    annotator: str,
    conflicts: bool = False,
    port: Annotated[int, Ge(0), Le(65535)] = PORT,
    db: options.AnswersFile = None,
    pool: options.Pool = None,
    browser: bool = False,
) -> None:
    """Accept or reject the suggested label of each image, in a browser on this machine.

    Two people do so, each for themselves: nothing of what one says is shown to the other. Answers are kept one
    by one, so it can be stopped and started at any time. "python -m mad.review status GROUPS" shows progress and
    agreement; "python -m mad.review export GROUPS --out DIR" writes the groups that both accepted. A table with
    fewer rows than groups.csv reviews those only. --pool is needed only if the images are not where they were when they
    were searched.

    Args:
        annotator: Name of the person who answers; the same name goes on where it stopped.
        conflicts: Show only images on which other annotators disagree, for a third person to resolve.
        port: Port on 127.0.0.1; 0 takes any free one.
        browser: Open the page in the default browser.
    """
    from mad.review.agreement import collect_verdicts, mask_conflicts
    from mad.review.groups import read_candidates
    from mad.review.images import find_images
    from mad.review.server import ADDRESS, About, listen, serve
    from mad.review.session import Session
    from mad.review.store import FILE, AnswerStore, clean_annotator_name

    name = clean_annotator_name(annotator)
    candidates = read_candidates(groups)
    listening = listen(port)
    pool_images = find_images(candidates, pool)
    n_missing = len({image.name for image in candidates.images} - pool_images.positions.keys())
    if n_missing:
        log.warning(f"{n_missing:,} images are no longer in the pool; they can only be rejected")
    store = AnswerStore(db or candidates.folder / FILE)
    images = candidates.images
    if conflicts:
        table = collect_verdicts(store.read_table(), images)
        others = table[[column for column in table if name_key(column) != name_key(name)]]
        conflicts_of_others = mask_conflicts(others)
        images = [image for image, conflict in zip(images, conflicts_of_others, strict=True) if conflict]
        if not images:
            raise UserError(f"other annotators than {name} disagree on no image; there is nothing to resolve")
    session = Session(images, pool_images, store, name)
    about = About(
        search=candidates.folder.resolve().name,
        commands=_list_next_commands(groups, db, pool, name if conflicts else None),
        conflicts=conflicts,
    )
    url = f"http://{ADDRESS}:{listening.getsockname()[1]}/"
    print(f"{name}: {session.done:,} of {session.total:,} images answered; answers are kept in {store.path}")
    print(f"open {url}   (Ctrl-C stops)", flush=True)
    if browser:
        import webbrowser

        webbrowser.open(url)
    with closing(store), going_on(lambda: f"the same command goes on with the answers in {store.path}"):
        serve(session, listening, about)


def _list_next_commands(groups: Path, db: Path | None, pool: str | None, resolver: str | None) -> tuple[str, ...]:
    """Commands for the time when all have answered: agreement and export, with the third person's answers if any."""
    return (
        f"python -m mad.review status {_join(groups, db)}",
        f"python -m mad.review export {_join(groups, db, pool, resolver)} --out groups",
    )


def _join(groups: Path, db: Path | None, pool: str | None = None, resolver: str | None = None) -> str:
    """The words of a shell that name the same files and the third person."""
    words = {"--db": db, "--pool": pool, "--resolve": resolver}
    return shlex.join([str(groups), *(str(word) for option in words.items() if option[1] for word in option)])


def status(groups: Groups, db: options.AnswersFile = None, out: options.OptionalOut = None) -> None:
    """Show how far each annotator is and how well they agree, and list the conflicts in a table.

    Do so when both have finished: whoever reads the conflicts is no longer blind. OUT is the table of
    conflicts; by default conflicts.csv in the folder of groups.
    """
    import math

    from rich import box
    from rich.table import Table

    from benchmark.core.csvs import write_frame
    from mad.review import agreement

    candidates, _, table = _read_answers(groups, db)
    screen = console()
    people = Table("annotator", box=box.SIMPLE_HEAD)
    for column in ("answered", "of", "accepted", "rejected"):
        people.add_column(column, justify="right")
    for name in table.columns:
        verdicts = table[name].dropna()
        n_accepted = int(verdicts.sum())
        counts = (len(verdicts), len(table), n_accepted, len(verdicts) - n_accepted)
        people.add_row(name, *(f"{count:,}" for count in counts))
    screen.print(people)
    for pair in agreement.compare_annotators(table):
        share = f"{pair.agree / pair.both:.1%}" if pair.both else "–"
        kappa = "–" if math.isnan(pair.kappa) else f"{pair.kappa:.3f}"
        screen.print(
            f" {pair.first}, {pair.second}: both answered {pair.both:,} images, agree on {share}, "
            f"Cohen's kappa {kappa}, {pair.both - pair.agree:,} conflicts",
            soft_wrap=True,
        )
    path = out or candidates.folder / "conflicts.csv"
    conflicts = agreement.list_conflicts(table)
    write_frame(path, conflicts)
    screen.print(f" {len(conflicts):,} conflicts are listed in {path}", soft_wrap=True)
    if len(table.columns) == 2:
        if len(conflicts):
            third = f"python -m mad.review {_join(groups, db)} --annotator NAME --conflicts"
            screen.print(f" a third person may decide them: {third}", soft_wrap=True)
        screen.print(f" next: python -m mad.review export {_join(groups, db)} --out groups", soft_wrap=True)


def export(
    groups: Groups,
    out: options.Out,
    annotators: str = "",
    resolve: str | None = None,
    db: options.AnswersFile = None,
    pool: options.Pool = None,
) -> None:
    """Write the images that both annotators accepted, with attribution, as benchmark.build takes them.

    Conflicts are left out unless a third person has resolved them ("python -m mad.review GROUPS --annotator NAME
    --conflicts"). Images that one of the two has not answered are left out. OUT is a
    folder and gets one folder a group; it must be empty or not there. --pool is needed only if the images are not where
    they were when they were searched.

    Args:
        annotators: Names A,B of the two whose answers count; needed if there are more than two.
        resolve: Name of the third person, whose answers decide where the two disagree.
    """
    import math

    from mad.crawling.credits import read_attribution
    from mad.review import agreement
    from mad.review.export import find_seen_files, write_groups
    from mad.review.images import find_images

    candidates, answers, table = _read_answers(groups, db)
    named = [name.strip() for name in annotators.split(",") if name.strip()]
    two = agreement.choose_annotators(list(table.columns), named, resolve)
    states = agreement.decide_states(table, two, resolve)
    seen = find_seen_files(answers, [*two, *([resolve] if resolve else [])])
    accepted = [
        (image, seen[image.pair.id, image.name])
        for image, state in zip(candidates.images, states, strict=True)
        if state == "accepted"
    ]
    counts = states.value_counts()
    n_rejected, n_conflicts, n_open = (int(counts.get(state, 0)) for state in ("rejected", "conflict", "open"))
    if not accepted:
        raise UserError(f"no image is accepted by both {two[0]} and {two[1]}; nothing to export")
    (pair,) = agreement.compare_annotators(table[list(two)])
    notes: dict[str, Any] = {
        "annotators": list(two),
        "conflicts_resolved_by": resolve,
        "answered_by_both": pair.both,
        "agree": pair.agree,
        "cohen_kappa": None if math.isnan(pair.kappa) else round(pair.kappa, 6),
        "rejected": n_rejected,
        "conflicts_left_out": n_conflicts,
        "not_answered_by_both": n_open,
        "search": candidates.search,
    }
    pool_images = find_images(candidates, pool)
    credits = (
        read_attribution(pool_images.pool, (image.name for image, _ in accepted)).set_index("image").to_dict("index")
    )
    n_written, n_skipped, n_without_credit = write_groups(accepted, pool_images, credits, notes, out)
    print(f"{n_written:,} images -> {out}")
    print(f"left out: {n_rejected:,} rejected, {n_conflicts:,} conflicts, {n_open:,} not answered by both")
    print(f"next: python -m benchmark.build --own {out} --locality FOLDER --out DATA; benchmark.locality makes FOLDER")
    if n_skipped:
        print(f"skipped: {n_skipped:,} accepted images that are not there any more; see {out / 'skipped.csv'}")
    if n_without_credit:
        log.warning(f"{n_without_credit:,} images have no attribution; only a pool that mad.crawl made has it")


def _read_answers(groups: Path, db: Path | None) -> tuple[Any, Any, Any]:
    """The candidates in `groups`, all answers, and the verdict of each annotator on each image."""
    from mad.review.agreement import collect_verdicts
    from mad.review.groups import read_candidates
    from mad.review.store import FILE, AnswerStore

    candidates = read_candidates(groups)
    store = AnswerStore(db or candidates.folder / FILE, create=False)
    answers = store.read_table()
    store.close()
    return candidates, answers, collect_verdicts(answers, candidates.images)


main: dict[str, Command] = {"": review, "status": status, "export": export}

if __name__ == "__main__":
    run(main)
