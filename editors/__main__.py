"""``python -m editors`` lists the editors with their knobs and defaults, and the package's commands."""

from __future__ import annotations

import dataclasses

from benchmark.core.commands import show
from benchmark.core.errors import UserError
from benchmark.core.streams import make_streams_patient
from benchmark.core.terminal import console
from benchmark.core.text import printable
from editors.core.base import knob_of
from editors.core.installed import unreadable_packages
from editors.core.registry import built_in, choose, installed


def main() -> None:
    """Print a table of all editors, then the commands."""
    from rich.table import Table

    make_streams_patient()
    table = Table(title="Editors", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for heading in ("name", "method", "knob and its sweep", "defaults"):
        table.add_column(heading, overflow="fold")
    offers = installed()
    for name in dict.fromkeys([*built_in(), *offers]):
        origin = f" ({offers[name].origin})" if name in offers else ""
        try:
            if origin and offers[name].problem:
                raise UserError(offers[name].problem)
            chosen = choose(name, base="")  # without the settings that belong to one base
        except UserError as error:
            table.add_row(printable(name), f"not usable: {error}", "", "")
            continue
        knob, config = knob_of(chosen.config), dataclasses.asdict(chosen.config)
        sweep = f"{knob.name}: {', '.join(f'{value:g}' for value in knob.sweep)}" if knob else ""
        defaults = ", ".join(f"{key}={value}" for key, value in config.items() if value is not None)
        method = (chosen.editor_class.__doc__ or "").partition("\n")[0]
        table.add_row(name, printable(f"{method}{origin}"), sweep, defaults)
    console().print(table)
    for line in unreadable_packages():
        print(line)
    print("\nA setting is written behind the name: ft-l2:c=0.01. Settings chosen for a base go before defaults.\n")
    show("editors")


if __name__ == "__main__":
    main()
