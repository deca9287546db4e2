"""Review groups in a browser, see the agreement, and export what two people accepted.

    python -m mad.review out/mad --annotator ann       two people, each for themselves, in a browser
    python -m mad.review status out/mad                progress, agreement, conflicts
    python -m mad.review export out/mad --out natural  what both accepted, for benchmark.build

A folder of groups that is called "status" or "export" is named as ./status.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Any

import tyro

from benchmark.core.cli import Command, run
from benchmark.core.errors import UserError

Groups = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="GROUPS")]
PORT = 8765
log = logging.getLogger(__name__)


def review(
    groups: Groups,
    annotator: str,
    conflicts: bool = False,
    port: int = PORT,
    db: Path | None = None,
    pool: str | None = None,
    browser: bool = False,
) -> None:
    """Accept or reject the suggested label of each image, in a browser on this machine.

    Two people do so, each for themselves: nothing of what one says is shown to the other. Answers are kept one
    by one, so it can be stopped and started at any time. "python -m mad.review status GROUPS" shows progress and
    agreement; "python -m mad.review export GROUPS --out DIR" writes the groups that both accepted.

    Args:
        groups: folder that mad.search wrote, or a table like its groups.csv in it, with fewer rows.
        annotator: who answers; the same name goes on where it stopped.
        conflicts: show only images on which other annotators disagree, for a third person to resolve.
        port: on 127.0.0.1; 0 takes any free one.
        db: file of answers, for all annotators; by default review.sqlite in the folder of groups.
        pool: where the images are, if not where they were when they were searched (see mad.search --pool).
        browser: open the page in the default browser.
    """
    from mad.review.agreement import conflicting, verdicts
    from mad.review.groups import read_candidates
    from mad.review.images import find_images
    from mad.review.server import ADDRESS, listen, serve
    from mad.review.session import Session
    from mad.review.store import FILE, Store, annotator_name

    name = annotator_name(annotator)
    found = read_candidates(groups)
    listening = listen(port)
    images = find_images(found, pool)
    gone = len({item.image for item in found.items} - images.positions.keys())
    if gone:
        log.warning(f"{gone:,} images are no longer in the pool; they can only be rejected")
    store = Store(db or found.folder / FILE)
    items = found.items
    if conflicts:
        table = verdicts(store.table(), items)
        others = table[[column for column in table if column.lower() != name.lower()]]
        items = [item for item, divided in zip(items, conflicting(others), strict=True) if divided]
        if not items:
            raise UserError(f"other annotators than {name} disagree on no image; there is nothing to resolve")
    session = Session(items, images, store, name)
    about = f"{'conflicts in ' if conflicts else ''}{found.folder.resolve().name}"
    url = f"http://{ADDRESS}:{listening.getsockname()[1]}/"
    print(f"{name}: {session.done:,} of {session.total:,} images answered; answers are kept in {store.path}")
    print(f"open {url}   (Ctrl-C stops)", flush=True)
    if browser:
        import webbrowser

        webbrowser.open(url)
    try:
        serve(session, listening, about)
    finally:
        store.close()


def status(groups: Groups, db: Path | None = None, out: Path | None = None) -> None:
    """Show how far each annotator is and how well they agree, and list the conflicts in a table.

    Do so when both have finished: whoever reads the conflicts is no longer blind.

    Args:
        groups: folder that mad.search wrote, or a table like its groups.csv in it.
        db: file of answers; by default review.sqlite in the folder of groups.
        out: table of conflicts to write; by default conflicts.csv in the folder of groups.
    """
    import math

    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from benchmark.core import files
    from mad.review import agreement

    found, _, table = _answers(groups, db)
    console = Console(highlight=False)
    people = Table("annotator", box=box.SIMPLE_HEAD)
    for column in ("answered", "of", "accepted", "rejected"):
        people.add_column(column, justify="right")
    for name in table.columns:
        said = table[name].dropna()
        yes = int(said.sum())
        people.add_row(Text(name), f"{len(said):,}", f"{len(table):,}", f"{yes:,}", f"{len(said) - yes:,}")
    console.print(people)
    for pair in agreement.pairs(table):
        share = f"{pair.agree / pair.both:.1%}" if pair.both else "–"
        kappa = "–" if math.isnan(pair.kappa) else f"{pair.kappa:.3f}"
        console.print(
            Text(
                f" {pair.first}, {pair.second}: both answered {pair.both:,} images, agree on {share}, "
                f"Cohen's kappa {kappa}, {pair.both - pair.agree:,} conflicts"
            ),
            soft_wrap=True,
        )
    path = out or found.folder / "conflicts.csv"
    listed = agreement.conflicts(table)
    with files.replacing(path) as temporary:
        listed.to_csv(temporary, index=False, lineterminator="\n")
    console.print(Text(f" {len(listed):,} conflicts are listed in {path}"), soft_wrap=True)


def export(
    groups: Groups,
    out: Path,
    annotators: str = "",
    resolve: str | None = None,
    db: Path | None = None,
    pool: str | None = None,
) -> None:
    """Write the images that both annotators accepted, with attribution, as benchmark.build takes them.

    Conflicts are left out unless a third person has resolved them ("python -m mad.review GROUPS --annotator NAME
    --conflicts"). Images that one of the two has not answered are left out.

    Args:
        groups: folder that mad.search wrote, or a table like its groups.csv in it.
        out: folder for the images, one folder a group; must be empty or not there.
        annotators: A,B: the two whose answers count; needed if there are more than two.
        resolve: the third person, whose answers decide where the two disagree.
        db: file of answers; by default review.sqlite in the folder of groups.
        pool: where the images are, if not where they were when they were searched (see mad.search --pool).
    """
    import math

    from mad.crawling.credits import read_attribution
    from mad.review import agreement
    from mad.review.export import seen_files, write_groups
    from mad.review.images import find_images

    found, answers, table = _answers(groups, db)
    named = [name.strip() for name in annotators.split(",") if name.strip()]
    two = agreement.two_annotators(list(table.columns), named, resolve)
    fates = agreement.outcomes(table, two, resolve)
    seen = seen_files(answers, [*two, *([resolve] if resolve else [])])
    accepted = [
        (item, seen[item.group.id, item.image])
        for item, fate in zip(found.items, fates, strict=True)
        if fate == "accepted"
    ]
    count = fates.value_counts()
    rejected, divided, left = (int(count.get(fate, 0)) for fate in ("rejected", "conflict", "open"))
    if not accepted:
        raise UserError(f"no image is accepted by both {two[0]} and {two[1]}; nothing to export")
    (pair,) = agreement.pairs(table[list(two)])
    facts: dict[str, Any] = {
        "annotators": list(two),
        "conflicts_resolved_by": resolve,
        "answered_by_both": pair.both,
        "agree": pair.agree,
        "cohen_kappa": None if math.isnan(pair.kappa) else round(pair.kappa, 6),
        "rejected": rejected,
        "conflicts_left_out": divided,
        "not_answered_by_both": left,
        "search": found.search,
    }
    images = find_images(found, pool)
    credits = read_attribution(images.pool, (item.image for item, _ in accepted)).set_index("image").to_dict("index")
    written, skipped, bare = write_groups(accepted, images, credits, facts, out)
    print(f"{written:,} images -> {out}")
    print(f"left out: {rejected:,} rejected, {divided:,} conflicts, {left:,} not answered by both")
    if skipped:
        print(f"skipped: {skipped:,} accepted images that are not there any more; see {out / 'skipped.csv'}")
    if bare:
        log.warning(f"{bare:,} images have no attribution; only a pool that mad.crawl made has it")


def _answers(groups: Path, db: Path | None) -> tuple[Any, Any, Any]:
    """The groups in `groups`, all answers, and who says what of each item."""
    from mad.review.agreement import verdicts
    from mad.review.groups import read_candidates
    from mad.review.store import FILE, Store

    found = read_candidates(groups)
    store = Store(db or found.folder / FILE, create=False)
    answers = store.table()
    store.close()
    return found, answers, verdicts(answers, found.items)


main: dict[str, Command] = {"": review, "status": status, "export": export}

if __name__ == "__main__":
    run(main)
