"""The start and the end of every command.

A command is a function whose parameters are its options; `tyro` makes the parser. Whatever the user can
mend is one line on standard error and exit code 2; `--debug` shows the traceback instead. An error that nobody foresaw
is one line too, exit code 1, and names the file that holds its traceback. One line is also what a command ends with
that is stopped (`benchmark.core.stopping`); a reader that takes only the beginning (``| head``) is no error. What our
modules log (`logging.getLogger(__name__)`) are notes on standard error while a command runs.
"""

from __future__ import annotations

import functools
import inspect
import io
import os
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

from benchmark.core.errors import UserError, message_line, nearest
from benchmark.core.notes import all_notes
from benchmark.core.ranges import as_option, check_ranges
from benchmark.core.stopping import exit_code, how_to_go_on, stoppable
from benchmark.core.streams import make_streams_patient
from benchmark.core.terminal import one_line, printing_visibly, show_traceback
from benchmark.core.usage import parser_of, unknown_subcommand, usage_error
from benchmark.core.versions import VERSION

Command = Callable[..., None]


def run(
    command: Command | Mapping[str, Command],
    arguments: Sequence[str] | None = None,
    prog: str | None = None,
    about: str = "",
) -> None:
    """Parse the command line for `command`, call it, and turn its `UserError` into one line and exit code 2.

    A mapping holds subcommands by name; `about` then describes them all. Its command "" runs when the
    first word is no subcommand's name, and its help names the subcommands. `prog` is the name shown by `--help`; by
    default it is worked out from how Python was started.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if debug := "--debug" in arguments:
        sys.excepthook = show_traceback
    arguments = [argument for argument in arguments if argument != "--debug"]
    make_streams_patient()
    if "--version" in arguments:
        print(f"vit-edit-bench {VERSION}")
        return
    prog = prog or _prog()
    try:
        with stoppable(), all_notes():
            _read(command, arguments, prog, about)()
            sys.stdout.flush()
    except UserError as error:
        if debug:
            raise
        _fail(str(error), 2)
    except KeyboardInterrupt as stop:
        _fail(f"stopped; {how_to_go_on(stop)}", exit_code(stop))
    except OSError as error:
        if debug or (error.filename is None and error.errno is None):
            raise
        _fail(f"{error.filename or 'input/output'}: {error.strerror or error}", 2)
    except Exception as error:
        if debug:
            raise
        from benchmark.core.crash import is_out_of_memory, write_crash

        if is_out_of_memory(error):
            _fail(f"the memory does not suffice ({message_line(error)}); lower --batch-size, or what makes it large", 2)
        log = write_crash(error, [prog, *arguments])
        reason = ": ".join(dict.fromkeys([type(error).__name__, message_line(error)]))
        _fail(f"{reason}; nobody foresaw this: please report it with {log}", 1)


def _read(command: Command | Mapping[str, Command], words: list[str], prog: str, about: str) -> Callable[[], None]:
    """The call that the words of a command line mean. Raises `UserError` for words that mean none."""
    epilogue = ["Add --debug to see a traceback instead of a one-line error, --version to see the release."]
    if isinstance(command, Mapping):
        names = [name for name in command if name]
        if words[:1] and words[0] in names:
            return _read(command[words[0]], words[1:], f"{prog} {words[0]}", "")
        if "" not in command:
            if not {"-h", "--help"} & {*words}:
                raise unknown_subcommand(words, names, prog)
            return _parse(command, words, prog, [about, *epilogue])
        word = words[0] if words and not words[0].startswith("-") else ""
        if word and nearest(word, names) and not Path(word).exists():  # no place of "" is anything but one
            raise unknown_subcommand(words, names, prog)
        command = command[""]
        epilogue.insert(0, f"Subcommands, each with its own --help: {', '.join(names)}.")
    return _parse(command, words, prog, [command.__doc__ or "", *epilogue])


def _parse(
    command: Command | Mapping[str, Command], words: list[str], prog: str, paragraphs: list[str]
) -> Callable[[], None]:
    text, *epilogue = paragraphs
    description = "\n\n".join([inspect.cleandoc(text).partition("\n\nArgs:")[0], *epilogue])
    try:
        import tyro
    except ModuleNotFoundError:
        from benchmark.core import plain_options

        if isinstance(command, Mapping):
            raise UserError(plain_options.MISSING) from None
        return _prepared(command)(**plain_options.parse(command, words, prog, description))
    settings: Any = {"args": words, "prog": prog, "description": description}
    box = io.StringIO()
    try:
        with redirect_stderr(box):
            if isinstance(command, Mapping):
                prepared = {name: _prepared(function) for name, function in command.items()}
                return tyro.extras.subcommand_cli_from_dict(prepared, **settings)
            return tyro.cli(_prepared(command), **settings)
    except SystemExit as stop:
        if stop.code != 2:
            raise
    parser = None if isinstance(command, Mapping) else parser_of(_prepared(command))
    raise usage_error(parser, words, prog, box.getvalue())


def _prepared(command: Command) -> Callable[..., Callable[[], None]]:
    """A function with the command's options; the call that it returns checks their ranges and prints visibly."""
    if isinstance(command, functools.partial):  # a function with other defaults, whose types are the function's
        partial = functools.partial(_prepared(command.func), *command.args, **command.keywords)
        partial.__dict__.update(command.__dict__)  # what tyro notes on a command
        return partial

    @functools.wraps(command)
    def prepared(*arguments: Any, **options: Any) -> Callable[[], None]:
        def call() -> None:
            values = inspect.signature(command).bind(*arguments, **options).arguments
            check_ranges(values, typing.get_type_hints(command, include_extras=True), as_option)
            with printing_visibly():
                command(*arguments, **options)

        return call

    return prepared


def _prog() -> str:
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return f"python -m {spec.name.removesuffix('.__main__')}" if spec is not None else Path(sys.argv[0]).name


def _fail(message: str, code: int) -> None:
    try:
        sys.stdout.flush()
    except OSError:  # a full disk: once said is enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    print(f"error: {one_line(message)}", file=sys.stderr)
    sys.stderr.flush()
    if code > 128:
        os._exit(code)  # a second Ctrl-C must not meet half-stopped worker threads
    sys.exit(code)
