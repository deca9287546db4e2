"""From an editor's spec, as written on the command line, to the editor.

    ft    ft-l2:c=0.01    random-mask:sparsity=0.9,lr=1e-4    my_editor.py:MyEditor    my_editor.py:MyEditor:lr=0.1

A name is one of this project's, or one that an installed package offers (`editors.core.installed`). Settings that are
not written come from the config's defaults, except those that belong to the pair of editor and base model: those of the
editors here are looked up in ``settings.json``, those of any in a file of the user's. ``interpolate=0.5`` is a setting
of every editor: half the way from the base to the edited model.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import json
import os
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeVar

from benchmark.core.errors import UserError, message_line, unknown
from benchmark.core.plugins import import_room
from benchmark.core.ranges import check_fields, check_ranges
from benchmark.core.readers import read_json
from editors.core.base import Editor, knob_of
from editors.core.installed import InstalledEditor, installed_editors, unreadable_packages
from editors.core.mistakes import explained
from editors.core.third_party import import_editor, meant_file, shown_path, split_file

SETTINGS = Path(__file__).parent / "settings.json"
METHODS = "editors.methods"  # the room of those that come with this project
ALL = "all"  # stands for all that come with this project
INTERPOLATE = "interpolate"  # a setting of every editor
LONGEST_SPEC = 4_096  # characters; a path has no more
E = TypeVar("E", bound=type[Editor])
_REGISTERED: dict[type[Editor], tuple[str, bool]] = {}  # name of each class, and whether it is listed


def register_editor(name: str, *, listed: bool = True) -> Callable[[E], E]:
    """Name an editor that comes with this project: a class decorator, for the files in ``editors/methods``.

    Elsewhere it has no effect: a copy of such a file, changed and chosen as ``file.py:Class``, takes nobody's name.
    One that is not `listed` is chosen by its name like the others, but stands in no list that compares editors.
    """

    def register(editor_class: E) -> E:
        _REGISTERED[editor_class] = name, listed
        return editor_class

    return register


@functools.cache
def built_in(*, listed_only: bool = True) -> Mapping[str, type[Editor]]:
    """The editors that come with this project by their names, in alphabetical order.

    Each is a file in ``editors/methods``, or a folder there with the editor in ``editor.py``; they are imported when
    this is first called. Raises `ValueError` if two have one name.
    """
    rooms = {module.__name__ for module in import_room(METHODS, "editor")}
    editors: dict[str, type[Editor]] = {}
    for editor_class, (name, listed) in _REGISTERED.items():
        if editor_class.__module__ not in rooms or (listed_only and not listed):
            continue
        if editors.setdefault(name, editor_class) is not editor_class:
            raise ValueError(f"{editor_class.__module__}: another editor is called {name}")
    return MappingProxyType(dict(sorted(editors.items())))


@dataclass(frozen=True)
class ChosenEditor:
    """An editor and its settings, as chosen on the command line or by a script.

    name: the registered name, or ``FILE.py:Class`` with the file's path.
    editor_class: makes the editor of its config.
    config: all settings, of type ``editor_class.Config``.
    written: names of the settings that were written; the others are defaults.
    notes: sentences for the user about settings that were taken for want of better ones.
    interpolate: alpha of `editors.core.interpolation`; 1 leaves the edit as it is.
    installed: what an installed package offers under this name; None for an editor of this project, or of a file.
    """

    name: str
    editor_class: type[Editor]
    config: Any
    written: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    interpolate: float = 1.0
    installed: InstalledEditor | None = None

    @property
    def spec(self) -> str:
        """The editor as one would write it: its name, what was written, and always its knob."""
        knob = knob_of(self.config)
        shown = dict.fromkeys([*self.written, *([knob.name] if knob else [])])
        settings = [f"{name}={getattr(self.config, name)}" for name in shown]
        settings += [f"{INTERPOLATE}={self.interpolate}"] if self.interpolate != 1 else []
        return ":".join([self.name, *filter(None, [",".join(settings)])])

    def __post_init__(self) -> None:
        if dataclasses.is_dataclass(self.config):
            check_fields(self.config, lambda setting: f"{self.name}: {setting}")
        check_ranges({INTERPOLATE: self.interpolate}, {}, lambda setting: f"{self.name}: {setting}")

    @property
    def source(self) -> Path:
        """The file that the editor is written in."""
        return Path(inspect.getfile(self.editor_class))

    @property
    def sources(self) -> list[Path]:
        """The files with its code, beside what they import: its own file, or all of its package."""
        return [self.source] if self.installed is None else self.installed.sources

    def make(self) -> Editor:
        """A fresh editor with these settings."""
        try:
            return self.editor_class(self.config) if dataclasses.fields(self.config) else self.editor_class()
        except TypeError as error:
            raise UserError(
                f"{self.name}: cannot be made from its config ({error}); leave __init__ to Editor"
            ) from error

    def at_knob(self, value: float) -> ChosenEditor:
        """The same editor with its knob at another value."""
        knob = knob_of(self.config)
        if knob is None:
            raise UserError(f"{self.name} has no knob to sweep; leave --sweep out")
        if isinstance(getattr(self.config, knob.name), int):
            if not float(value).is_integer():
                raise UserError(f"{self.name}: {knob.name} must be a whole number, not {value}")
            value = int(value)
        return dataclasses.replace(self, config=dataclasses.replace(self.config, **{knob.name: value}))


def choose(spec: str, base: str, settings: Path | None = None) -> ChosenEditor:
    """The editor that `spec` names, with the settings that suit the base model `base`.

    Those that the file `settings` has for it count as written, but what `spec` says goes first.
    Raises `UserError` for unknown names (with the nearest one), bad settings and files that do not load.
    """
    name, editor_class, written, offer = _find(spec)
    values = _parse_settings(name, editor_class.Config, written)
    notes: tuple[str, ...] = ()
    if settings is not None:
        values = {**(own := _own_settings(settings, name, editor_class, base)), **values}
        taken = ", ".join(f"{key}={value}" for key, value in own.items())
        notes = (f"{settings}: {f'{name} on {base} is set to {taken}' if own else f'nothing for {name} on {base}'}",)
    interpolate = values.pop(INTERPOLATE, 1.0)
    usual: dict[str, Any] = {}
    if name in built_in(listed_only=False):  # a stranger's editor has its own defaults, whatever it is called
        usual = json.loads(SETTINGS.read_text(encoding="utf-8")).get(base, {}).get(name, {})
    if name in built_in() and "lr" in _fields(editor_class.Config) and "lr" not in {**usual, **values}:
        notes += (
            f"no learning rate was chosen for {name} on {base}; the paper's for ViT-B/16 is used "
            "(python -m leaderboard.tune chooses one)",
        )
    try:
        config = editor_class.Config(**{**usual, **values})
    except Exception as error:  # a setting without a default, or one that the class itself refuses
        fix = f"; give each field a default, or write {name}:FIELD=VALUE" if isinstance(error, TypeError) else ""
        raise UserError(f"{name}: its Config cannot be made: {explained(error)}{fix}") from error
    return ChosenEditor(name, editor_class, config, tuple(values), notes, interpolate, offer)


def _own_settings(file: Path, name: str, editor_class: type[Editor], base: str) -> dict[str, Any]:
    """The settings of an editor on a base in a file that `leaderboard.tune` wrote, checked as if they were written."""
    values: Any = read_json(file, fix="name a file that python -m leaderboard.tune wrote")
    for key in (base, name):
        values = values.get(key, {}) if isinstance(values, dict) else None
    if not isinstance(values, dict):
        raise UserError(f'{file} must hold {{"{base}": {{"{name}": {{"SETTING": VALUE}}}}}}')
    return _parse_settings(f"{file}: {name}", editor_class.Config, ",".join(f"{key}={values[key]}" for key in values))


def expand(specs: Iterable[str]) -> list[str]:
    """The specs, each once, with the names of all editors of this project in the place of ``all``."""
    return list(dict.fromkeys(name for spec in specs for name in (built_in() if spec == ALL else [spec])))


def installed_editor(spec: str) -> InstalledEditor | None:
    """The offer of an installed package under the name that `spec` begins with; None for a file's or this project's.

    Raises `UserError` where it cannot be chosen: more than one package offers it, or it has a name of this project's.
    """
    if split_file(spec):
        return None
    offer = installed().get(spec.partition(":")[0])
    if offer is not None and offer.problem:
        raise UserError(offer.problem)
    return offer


def installed() -> dict[str, InstalledEditor]:
    """The editors that installed packages offer, by name; also those that cannot be chosen, with the reason."""
    return installed_editors([*built_in(listed_only=False), ALL])


def _find(spec: str) -> tuple[str, type[Editor], str, InstalledEditor | None]:
    if len(spec) > LONGEST_SPEC:
        raise UserError(f"an editor's spec has at most {LONGEST_SPEC:,} characters, not {len(spec):,}")
    if in_file := split_file(spec):
        path, class_name, written = in_file
        editor_class = import_editor(path, class_name)
        return f"{shown_path(path)}:{class_name}", editor_class, written, None
    head, colon, rest = spec.partition(":")
    if colon and not rest:
        raise UserError(f'"{spec}": settings are missing behind the colon; for example {head}:lr=0.001')
    if offer := installed_editor(spec):
        return head, offer.load(), rest, offer
    editors = built_in(listed_only=False)
    if head not in editors:
        if meant := meant_file(spec):
            raise UserError(f'no editor is called "{spec}"; your own is written as {meant}')
        hints = ["or give a file: my_editor.py:MyEditor", *unreadable_packages()]
        raise unknown("editor", head, [*built_in(), *installed()], f"({'; '.join(hints)})")
    return head, editors[head], rest, None


def _fields(config: type) -> dict[str, dataclasses.Field[Any]]:
    return {field.name: field for field in dataclasses.fields(config)}


def _parse_settings(name: str, config: type, written: str) -> dict[str, Any]:
    fields = _fields(config)
    try:
        types_of = {**typing.get_type_hints(config), INTERPOLATE: float}
    except Exception as error:  # an annotation that names nothing
        raise UserError(f"{name}: the types of its Config cannot be read: {message_line(error)}") from error
    values: dict[str, Any] = {}
    for setting in _split_settings(written):
        key, equals, text = setting.partition("=")
        if key not in types_of:
            raise unknown(f"setting of {name}", key, fields) if fields else UserError(f"{name} has no settings")
        if not equals:
            raise UserError(f"{name}: {key} needs a value; write {key}=VALUE")
        values[key] = _parse(name, key, text, types_of[key])
    return values


def _split_settings(written: str) -> list[str]:
    """The settings of ``A=1,B=2``. A path that exists wins, so that it may hold ``,``."""
    pieces, settings = written.split(","), []
    while pieces:
        joined = [",".join(pieces[:count]) for count in range(1, len(pieces) + 1)]
        paths = [text.partition("=")[2] for text in joined]
        exists = os.path.exists  # False, not an error, for a text too long for a path
        count = next((count for count in range(len(pieces), 1, -1) if exists(paths[count - 1])), 1)
        settings.append(joined[count - 1])
        pieces = pieces[count:]
    return [setting for setting in settings if setting]


def _parse(name: str, key: str, text: str, declared: Any) -> Any:
    """A setting's text as the type its config declares."""
    if typing.get_origin(declared) is Literal:
        if text not in typing.get_args(declared):
            raise UserError(f'{name}: {key} must be {" or ".join(typing.get_args(declared))}, not "{text}"')
        return text
    is_union = typing.get_origin(declared) in (types.UnionType, typing.Union)
    allowed = typing.get_args(declared) if is_union else (declared,)
    if str in allowed or Path in allowed:
        return Path(text) if Path in allowed else text
    if bool in allowed and text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        value = ast.literal_eval(text)
        if float in allowed and type(value) is int:
            value = float(value)
    # all that literal_eval is documented to raise, and OverflowError: a whole number that no float holds
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError, OverflowError):
        value = None
    if value is not None and type(value) in allowed:  # and so no bool for an int
        return value
    names = " or ".join(getattr(t, "__name__", str(t)) for t in allowed)
    raise UserError(f'{name}: {key} must be of type {names}, not "{text}"')
