"""The arrows of DESIGN.md: who may import whom, and nothing heavy or global at import time."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "benchmark": {"benchmark"},
    "mad": {"mad", "benchmark"},
    "generation": {"generation", "benchmark"},
    "editors": {"editors", "benchmark"},
    "leaderboard": {"leaderboard", "editors", "benchmark"},
}
# The rooms of each package from the ground up; rooms on one floor do not import each other.
# Commands, the files that lie directly in a package, stand on top.
FLOORS = {
    "benchmark": ["core", "labels", "images", "data models", "predict", "subsets", "fetching publish", "mini"],
    "mad": ["mining", "crawling measures", "review"],
    "generation": ["core", "diffusion looks", "measures"],
    "editors": ["core", "training", "methods", "measures"],
    "leaderboard": ["records", "scores", "judging", "analyses measures submissions", "board claims", "report", "chain"],
}
PACKAGES = [name for name in MAY_IMPORT if (ROOT / name).is_dir()]


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Full names of all modules a file imports, wherever in the file."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where the arrows point"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return names


@pytest.mark.parametrize("package", PACKAGES)
def test_arrows_point_one_way(package: str) -> None:
    for path in modules(package):
        ours = {name.split(".")[0] for name in imported(path)} & set(MAY_IMPORT)
        assert ours <= MAY_IMPORT[package], f"{path} imports {ours - MAY_IMPORT[package]}"


def room_of(name: str) -> str:
    """The room that a module's full name says, empty for a command and for the package itself."""
    package, _, rest = name.partition(".")
    return room if (room := rest.partition(".")[0]) in " ".join(FLOORS[package]).split() else ""


@pytest.mark.parametrize("package", PACKAGES)
def test_a_room_imports_only_rooms_below_it(package: str) -> None:
    floor = {room: number for number, rooms in enumerate(FLOORS[package]) for room in rooms.split()}
    assert floor.keys() == {path.name for path in (ROOT / package).iterdir() if (path / "__init__.py").is_file()}
    for path in modules(package):
        room = room_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
        for name in imported(path):
            if room and name.startswith(f"{package}.") and (other := room_of(name)) != room:
                assert other, f"{path} imports {name}: a room knows no command"
                assert floor[other] < floor[room], f"{path} imports {name}, which is not below it"


def is_command(name: str) -> bool:
    """Return whether a module's full name is that of a command: a file right in a package, or a room's `__main__`."""
    return name.endswith(".__main__") or (name.count(".") == 1 and not room_of(name))


@pytest.mark.parametrize("package", PACKAGES)
def test_nobody_imports_a_command(package: str) -> None:
    """Shared code of two commands lies in a room, so that any of them can change alone."""
    commands = {name for name in names_of_modules() if is_command(name) and not name.endswith(".__init__")}
    assert commands >= {"benchmark.build", "mad.search", "mad.review.__main__", "leaderboard.submit"}
    for path in modules(package):
        assert not imported(path) & commands, f"{path} imports {imported(path) & commands}"


def test_rooms_log_and_commands_print() -> None:
    """Whoever uses a room from Python decides what is shown; `benchmark.core` alone speaks for the command line."""
    for name, path in names_of_modules().items():
        if room_of(name) not in ("", "core") and not is_command(name):
            calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
            assert not any(isinstance(c.func, ast.Name) and c.func.id == "print" for c in calls), f"{path} prints"


def names_of_modules() -> dict[str, Path]:
    """All our modules by their full names; a package's own ends in `.__init__`."""
    return {".".join(p.relative_to(ROOT).with_suffix("").parts): p for n in PACKAGES for p in modules(n)}


def test_no_cycles_between_modules() -> None:
    paths = names_of_modules()
    graph = {name: imported(path) & paths.keys() - {name} for name, path in paths.items()}
    while graph:
        leaves = {name for name, needs in graph.items() if not needs & graph.keys()}
        assert leaves, f"a cycle among {sorted(graph)}"
        graph = {name: needs for name, needs in graph.items() if name not in leaves}


def test_files_are_short_and_documented() -> None:
    for package in PACKAGES:
        for path in modules(package):
            text = path.read_text()
            assert len(text.splitlines()) <= 300, f"{path} is two rooms"
            assert ast.get_docstring(ast.parse(text)), f"{path} has no docstring"


def test_every_package_is_named_in_pyproject() -> None:
    """They are listed one by one there, and an unlisted one would be missing from a wheel."""
    import re

    (listed,) = re.findall(r"^packages = \[(.*?)^\]", (ROOT / "pyproject.toml").read_text(), flags=re.S | re.M)
    packages = {".".join(p.parent.relative_to(ROOT).parts) for n in PACKAGES for p in (ROOT / n).rglob("__init__.py")}
    assert set(re.findall(r'"([\w.]+)"', listed)) == packages


def test_importing_the_core_is_light() -> None:
    """Neither the CLI library nor any of the heavy optional ones; scoring must run where they are missing."""
    script = (
        "import sys, benchmark.data.dataset, benchmark.models.load, editors.core.registry\n"
        "import leaderboard.judging.judge, leaderboard.scores.metrics\n"
        "print([m for m in ('tyro', 'datasets', 'diffusers', 'open_clip', 'nltk', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


GUARDED = ("benchmark/core/devices.py", "leaderboard/judging/sandbox.py", "leaderboard/judging/seal.py")
ONLY_UNIX = {"fcntl", "resource", "pwd", "grp", "termios", "pty"}
ONLY_UNIX_IN_OS = {"O_DIRECTORY", "fork", "forkpty", "getloadavg", "getuid", "geteuid", "killpg", "mkfifo", "nice"}


@pytest.mark.parametrize("package", PACKAGES)
def test_any_machine_will_do(package: str) -> None:
    """Functions that only Unix has are called in three files, guarded; text is UTF-8 on every system."""
    for path in modules(package):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if path.relative_to(ROOT).as_posix() not in GUARDED:
            assert not imported(path) & ONLY_UNIX, f"{path} needs Unix"
            for node in ast.walk(tree):
                if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("os", "signal"):
                    assert node.attr not in {*ONLY_UNIX_IN_OS, "SIGKILL", "alarm"}, f"{path}:{node.lineno} needs Unix"
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith((".read_text", ".write_text")):
                is_ours = ast.unparse(node.func) == "files.write_text"
                named = {word.arg for word in node.keywords}
                assert is_ours or "encoding" in named, f"{path}:{node.lineno} names no encoding"


def test_the_leaderboard_imports_no_method() -> None:
    """Editors are chosen by their specs; what an analysis needs of one is said by the rooms below the methods."""
    for path in modules("leaderboard"):
        named = {name for name in imported(path) if name.startswith("editors.methods")}
        assert not named, f"{path} imports {named}"


def test_no_branch_on_a_methods_name() -> None:
    """Only the registry knows methods by name."""
    from editors.core.registry import built_in

    for package in PACKAGES:
        for path in modules(package):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Compare):
                    constants = [c.value for c in ast.walk(node) if isinstance(c, ast.Constant)]
                    assert not set(map(str, constants)) & set(built_in()), f"{path}:{node.lineno} asks for a name"
