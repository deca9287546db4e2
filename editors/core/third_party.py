"""A stranger's editor class, checked when it is chosen: before any data is read and anything fitted."""

from __future__ import annotations

import dataclasses
import inspect
import os
import re
import types
from pathlib import Path
from typing import Any, cast

from benchmark.core.errors import UserError, nearest, unknown
from benchmark.core.text import printable
from editors.core.base import Editor, knobs_of
from editors.core.beside import import_file
from editors.core.mistakes import explained

CALLED = ("fit", "state_dict", "provenance", "edit", "edit_many")  # methods that the harness calls, by position
WRITTEN = re.compile(r"(.+?\.py)(?::([^:]*)(?::(.*))?)?", re.DOTALL)  # a drive's letter may stand before a colon


def split_file(spec: str) -> tuple[Path, str, str] | None:
    """File, class and settings of ``FILE.py:Class:settings``; None for the spec of an editor by its name.

    >>> split_file("my_editor.py:MyEditor:lr=0.1")[1:], split_file("ft:lr=0.1")
    (('MyEditor', 'lr=0.1'), None)
    """
    match = WRITTEN.fullmatch(spec)
    return (Path(match[1]), match[2] or "", match[3] or "") if match else None


def shown_path(path: Path) -> str:
    """The path that an editor is called by: from the working folder where it lies below that, else as it was given."""
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links
    below = absolute.is_relative_to(Path.cwd())
    return printable((absolute.relative_to(Path.cwd()) if below else path).as_posix())


def meant_file(spec: str) -> str:
    """``my_editor.py:MyEditor`` for a spec such as ``my_editor.MyEditor``, where that file is there; else nothing."""
    words = [word for word in re.split(r"[.:/\\]+", spec.partition("=")[0]) if word not in ("", "py")]
    for count in range(len(words), 0, -1):
        path = Path(*words[:count]).with_suffix(".py")
        if len(str(path)) < 255 and path.is_file():
            return f"{path}:{(words[count:] or ['ClassName'])[0]}"
    return ""


def import_editor(path: Path, class_name: str) -> type[Editor]:
    """The class of that name in a file. Raises `UserError`, one line, for all that would break later."""
    module = _import(path)
    editors = [name for name, value in vars(module).items() if _is_editor(value) and value is not Editor]
    if not class_name:
        raise UserError(f"{path}: which class? write {path}:{(editors or ['ClassName'])[0]}")
    editor_class: Any = getattr(module, class_name, None)
    if editor_class is None and not editors:
        raise UserError(f"{path} holds no editor; write into it: class {class_name}(Editor): ...")
    if editor_class is None:
        raise unknown(f"class in {path}", class_name, editors)
    return check_editor(f"{path}:{class_name}", class_name, editor_class)


def check_editor(spec: str, class_name: str, editor_class: Any) -> type[Editor]:
    """The class that `spec` names, if it is an editor. Raises `UserError`, one line, for all that would break later."""
    if not _is_editor(editor_class):
        raise UserError(f"{spec} is no editor; write: class {class_name}(Editor), with: from editors import Editor")
    _check_config(spec, editor_class)
    for method in getattr(editor_class, "__abstractmethods__", ()):
        raise UserError(f"{spec} lacks the method {method}; write: def {_signature(method)}")
    _check_init(spec, editor_class)
    for method in CALLED:
        _check_method(spec, editor_class, method)
    return cast(type[Editor], editor_class)


def _import(path: Path) -> types.ModuleType:
    try:
        if not path.is_file():
            beside = nearest(path.name, [file.name for file in path.parent.glob("*.py")])
            hint = f'did you mean "{path.with_name(beside)}"?' if beside else f"paths begin at {Path.cwd()}"
            raise UserError(f"{path}: no such file; {hint}")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    try:
        return import_file(path)
    except SyntaxError as error:
        file = Path(error.filename) if error.filename else path
        raise UserError(f"{path if file.name == path.name else file}, line {error.lineno}: {error.msg}") from error
    except (Exception, SystemExit) as error:
        raise UserError(f"{path} cannot be imported: {explained(error, path)}") from error


def _is_editor(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, Editor)


def _check_config(spec: str, editor_class: type[Editor]) -> None:
    """Raise `UserError` unless the class's settings are what a command line can change, and a sweep."""
    config: Any = editor_class.Config
    example = "write @dataclass(frozen=True) above class Config, and in it a setting a line: lr: float = 0.1"
    if not (isinstance(config, type) and dataclasses.is_dataclass(config)):
        shown = "a plain class" if isinstance(config, type) else f"an object of type {type(config).__name__}"
        raise UserError(f"{spec}: Config must be a frozen dataclass, not {shown}; {example}")
    if not vars(config)["__dataclass_params__"].frozen:
        raise UserError(f"{spec}: Config must be a frozen dataclass, not one that can change; {example}")
    for name, value in vars(editor_class).items():
        if isinstance(value, dataclasses.Field):
            raise UserError(f"{spec}: {name} is a setting outside Config; {example}")
    fields = {field.name for field in dataclasses.fields(config)}
    for name, value in vars(config).items():
        if not (name.startswith("_") or name in fields | config.__annotations__.keys() or _is_code(value)):
            raise UserError(f"{spec}: Config.{name} has no type, so it is no setting; write {name}: float = ...")
    if len(knobs := knobs_of(config)) > 1:
        names = " and ".join(knob.name for knob in knobs)
        raise UserError(f"{spec}: {names} are both made by knob, and a sweep varies one; give one a plain default")


def _is_code(value: Any) -> bool:
    return callable(value) or hasattr(value, "__get__")


def _check_init(spec: str, editor_class: type[Editor]) -> None:
    """Raise `UserError` unless the class can be called with its config, or without any where it has none."""
    arguments = ["config"] if dataclasses.fields(editor_class.Config) else []
    try:
        inspect.signature(editor_class).bind(*arguments)
    except TypeError:
        shown = inspect.signature(editor_class.__init__)
        raise UserError(
            f"{spec}: __init__ must be __init__(self, config), not __init__{shown}; "
            "leave it out, since settings are fields of Config"
        ) from None


def _check_method(spec: str, editor_class: type[Editor], method: str) -> None:
    """Raise `UserError` unless a method takes the arguments that `Editor`'s own takes, by position, and returns."""
    written = getattr(editor_class, method)
    if inspect.iscoroutinefunction(written) or inspect.isasyncgenfunction(written):
        raise UserError(f"{spec}: {method} must be a plain function; write def, without async")
    if inspect.isgeneratorfunction(written):
        raise UserError(f"{spec}: {method} must be a plain function; write return, not yield")
    _, *arguments = inspect.signature(getattr(Editor, method)).parameters
    bound = getattr(object.__new__(editor_class), method)  # no __init__ has run
    try:
        inspect.signature(bound).bind(*arguments)
    except TypeError:
        shown = f"{method}{inspect.signature(written)}" if callable(written) else type(written).__name__
        raise UserError(f"{spec}: {method} must be {_signature(method)}, not {shown}") from None


def _signature(method: str) -> str:
    return f"{method}({', '.join(inspect.signature(getattr(Editor, method)).parameters)})"
