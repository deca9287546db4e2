"""From the command line to an editor, and what a person reads when it goes wrong."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from benchmark.core.errors import UserError
from editors.core import registry
from editors.core.base import Editor, knob_of
from editors.core.registry import built_in, choose


@pytest.mark.parametrize("name", built_in())
def test_every_registered_editor_can_be_made_and_described(name: str) -> None:
    choice = choose(name, "vitb16")
    editor = choice.make()
    assert isinstance(editor, Editor)
    assert type(editor).__doc__ and editor.config == choice.config
    assert choose(choice.spec, "vitb16").config == choice.config, "its spec means the same editor"
    assert importlib.import_module(choice.editor_class.__module__).__doc__


def test_a_file_in_the_room_of_methods_is_an_editor_and_a_copy_of_it_elsewhere_is_none(tmp_path: Path) -> None:
    """The names in the files, read without importing them, are those of the registry."""
    room = Path(importlib.import_module(registry.METHODS).__path__[0])
    texts = [path.read_text() for path in [*room.glob("*.py"), *room.glob("*/editor.py")]]
    names = [name for text in texts for name in re.findall(r'^@register_editor\("([^"]+)"', text, flags=re.M)]
    assert list(built_in(listed_only=False)) == sorted(names) and len(names) >= 16
    assert built_in().keys() == set(names) - {"ft-at"}
    copied = tmp_path / "mine.py"
    copied.write_text((room / "head_only.py").read_text() + "    # changed\n")
    assert choose(f"{copied}:HeadOnly", "mini").editor_class is not built_in()["head-only"]
    registry.built_in.cache_clear()
    assert choose("head-only", "mini").editor_class.__module__ == "editors.methods.head_only"


def test_two_editors_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = list(built_in().values())[:2]
    monkeypatch.setattr(registry, "_REGISTERED", {first: ("twin", True), second: ("twin", True)})
    with pytest.raises(ValueError, match="twin"):
        registry.built_in.__wrapped__()


def test_settings_are_parsed_by_the_configs_types() -> None:
    choice = choose("random-mask:sparsity=0.5,max_steps=7", "vitb16")
    assert (choice.config.sparsity, choice.config.max_steps) == (0.5, 7)
    assert choose("random-mask:sparsity=1", "vitb16").config.sparsity == 1.0
    assert choice.spec == "random-mask:sparsity=0.5,max_steps=7"
    assert knob_of(choice.config) == ("sparsity", (0.25, 0.5, 0.75, 0.9, 0.95))
    assert choice.at_knob(0.9).config.sparsity == 0.9


def test_learning_rates_belong_to_the_pair_of_editor_and_base() -> None:
    """SPEC, 5: 2e-5 for ViT-B/16, 1e-4 for ViT-S/16; what is written wins; an unknown base is said to be one."""
    assert choose("ft", "vitb16").config.lr == 2e-5
    assert choose("ft", "vits16").config.lr == 1e-4
    assert choose("ft:lr=0.5", "vits16").config.lr == 0.5
    assert choose("ft", "vitb16").notes == ()
    assert "learning rate" in choose("ft", "deit_tiny_patch16_224").notes[0]
    assert choose("ft:lr=0.5", "deit_tiny_patch16_224").notes == (), "what is written needs no note"


def test_files_are_paths_and_whole_knobs_stay_whole(tmp_path: Path) -> None:
    assert choose("hypernetwork:checkpoint=a/b.safetensors", "mini").config.checkpoint == Path("a/b.safetensors")
    path = write(
        tmp_path,
        """
from dataclasses import dataclass
from editors.core.base import Editor, knob

@dataclass(frozen=True)
class Settings:
    lr: float = 0.1
    count: int = knob(3, sweep=(1, 2, 3))

class Mine(Editor):
    Config = Settings
    def edit(self, model, images, labels):
        raise NotImplementedError
""",
    )
    chosen = choose(f"{path}:Mine", "a base without settings")
    assert chosen.notes == (), "a file's own learning rate was chosen by who wrote it"
    count = chosen.at_knob(2.0).config.count
    assert count == 2 and isinstance(count, int)
    with pytest.raises(UserError, match="count must be a whole number"):
        chosen.at_knob(2.5)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("ftl2", 'no editor is called "ftl2"; did you mean "ft-l2"?'),
        ("zzz", "known: ft, ft-l1"),
        ("ft:rate=1", 'no setting of ft is called "rate"'),
        ("ft:lr", "write lr=VALUE"),
        ("ft:lr=fast", 'ft: lr must be of type float, not "fast"'),
        ("ft:max_steps=1.5", "must be of type int"),
        ("null-edit:lr=1", "null-edit has no settings"),
        ("nowhere.py:MyEditor", "nowhere.py: no such file"),
    ],
)
def test_what_cannot_be_chosen_says_why(spec: str, words: str) -> None:
    with pytest.raises(UserError) as error:
        choose(spec, "vitb16")
    assert words in str(error.value)


def write(folder: Path, text: str) -> str:
    path = folder / "mine.py"
    path.write_text(text)
    return str(path)


def test_third_party_files(tmp_path: Path) -> None:
    good = """
from dataclasses import dataclass
from editors.core.base import Editor, knob
from editors.core.edit import WeightEdit

@dataclass(frozen=True)
class Settings:
    strength: float = knob(1.0, sweep=(0.5, 1.0))
    name: str = "a"

class Mine(Editor):
    Config = Settings
    def edit(self, model, images, labels):
        return WeightEdit({})

class Unfinished(Editor):
    pass

class NoEditor:
    pass
"""
    path = write(tmp_path, good)
    choice = choose(f"{path}:Mine:strength=2,name=b", "mini")
    assert (choice.name, choice.config.strength, choice.config.name) == (f"{path}:Mine", 2.0, "b")
    assert choice.notes == ()
    for spec, words in (
        (path, "which class"),
        (f"{path}:Mime", 'did you mean "Mine"'),
        (f"{path}:NoEditor", "is no editor"),
        (f"{path}:Unfinished", "lacks the method edit"),
    ):
        with pytest.raises(UserError, match=words):
            choose(spec, "mini")


@pytest.mark.parametrize(
    ("method", "words"),
    [
        (
            "def edit(self, model, image): pass",
            "edit must be edit(self, model, images, labels), not edit(self, model, image)",
        ),
        ("def edit(self, model, images, labels, lr): pass", "not edit(self, model, images, labels, lr)"),
        ("def edit(self, model, *, images, labels): pass", "not edit(self, model, *, images, labels)"),
        ("edit = 3", "edit must be edit(self, model, images, labels), not int"),
        ("def edit(self, *both): pass", ""),
        ("def edit(self, model, x, y, lr=0.1): pass", ""),
        ("@staticmethod\n    def edit(model, images, labels): pass", ""),
        (
            "edit = Editor.edit_many\n    def edit_many(self, model, images, labels): pass",
            "edit must be edit(self, model, images, labels)",
        ),
        (
            "def edit(self, *both): pass\n    def edit_many(self, model, images, labels): pass",
            "edit_many must be edit_many(self, model, images, labels, seeds), not edit_many(self, model, images, ",
        ),
        (
            "def edit(self, *both): pass\n    def fit(self, model): pass",
            "fit must be fit(self, model, training), not fit",
        ),
    ],
)
def test_a_method_that_cannot_be_called_is_refused_when_the_editor_is_chosen(
    tmp_path: Path, method: str, words: str
) -> None:
    """Before any fit, in one line with file, class and the right signature."""
    path = write(tmp_path, f"from editors.core.base import Editor\n\nclass Mine(Editor):\n    {method}\n")
    if not words:
        choose(f"{path}:Mine", "mini")
        return
    with pytest.raises(UserError) as error:
        choose(f"{path}:Mine", "mini")
    assert str(error.value).startswith(f"{path}:Mine: ") and words in str(error.value)
    assert "\n" not in str(error.value)


def test_a_third_party_file_with_a_syntax_error_names_file_and_line(tmp_path: Path) -> None:
    path = write(tmp_path, "x = 1\ndef broken(:\n")
    with pytest.raises(UserError, match=r"mine.py, line 2: invalid syntax"):
        choose(f"{path}:Mine", "mini")
    path = write(tmp_path, "import a_module_that_is_not_there\n")
    with pytest.raises(UserError, match="cannot be imported: ModuleNotFoundError"):
        choose(f"{path}:Mine", "mini")


def test_settings_file_names_only_known_editors_and_fields() -> None:
    import json

    for base, editors in json.loads(registry.SETTINGS.read_text()).items():
        for name, values in editors.items():
            config = choose(name, base).config
            assert {key: getattr(config, key) for key in values} == values


@pytest.mark.parametrize("written", ["mine.Mine", "mine:Mine", "./mine.Mine", "mine.py.Mine", "mine/Mine"])
def test_a_file_that_is_written_as_a_module_is_shown_as_it_should_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "from editors import Editor\n\nclass Mine(Editor): pass\n")
    with pytest.raises(UserError, match=re.escape(f'"{written}"; your own is written as mine.py:Mine')):
        choose(written, "mini")
    for spec, words in (
        ("mime.py:Mine", 'mime.py: no such file; did you mean "mine.py"?'),
        ("else/mine.py:Mine", f"else/mine.py: no such file; paths begin at {tmp_path}"),
        ("mine.py", "which class? write mine.py:Mine"),
        ("mine.py::Mine", "which class? write mine.py:Mine"),
    ):
        with pytest.raises(UserError, match=re.escape(words)):
            choose(spec, "mini")
    Path("mine.py").write_text("")
    with pytest.raises(UserError, match=re.escape("mine.py holds no editor; write into it: class Mine(Editor): ...")):
        choose("mine.py:Mine", "mini")


def test_two_editors_of_one_file_name_have_two_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("a", "b", "a/c"):
        Path(folder).mkdir()
        write(tmp_path / folder, "from editors import Editor\n\nclass Mine(Editor):\n    def edit(self, *_): pass\n")
    specs = ["a/mine.py:Mine", f"{tmp_path}/b/mine.py:Mine", "./a/c/../mine.py:Mine", "a/c/mine.py:Mine"]
    names = [choose(spec, "mini").name for spec in specs]
    assert names == ["a/mine.py:Mine", "b/mine.py:Mine", "a/mine.py:Mine", "a/c/mine.py:Mine"]
    monkeypatch.chdir(tmp_path / "a")
    assert choose("../b/mine.py:Mine", "mini").name == "../b/mine.py:Mine"


def test_settings_reach_no_stranger_unless_the_user_names_their_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(
        tmp_path,
        """
from dataclasses import dataclass
from editors import Editor, knob

class Mine(Editor):
    @dataclass(frozen=True)
    class Config:
        lr: float = 0.1
        c: float = knob(1.0, sweep=(1.0, 2.0))
    def edit(self, *_): pass
""",
    )
    own = tmp_path / "own.json"
    own.write_text('{"mini": {"mine.py:Mine": {"lr": 0.5}, "ft": {"lr": 0.25}}}')
    monkeypatch.setattr(registry, "SETTINGS", own)
    assert choose("mine.py:Mine", "mini").config.lr == 0.1
    taken = choose("mine.py:Mine:c=2", "mini", own)
    assert taken.spec == "mine.py:Mine:lr=0.5,c=2.0" and taken.notes == (
        f"{own}: mine.py:Mine on mini is set to lr=0.5",
    )
    assert choose("ft:lr=0.75", "mini", own).config.lr == 0.75
    assert choose("mine.py:Mine", "other", own).notes == (f"{own}: nothing for mine.py:Mine on other",)
    for text, words in (
        ('{"mini": {"mine.py:Mine": {"rate": 1}}}', 'own.json: mine.py:Mine is called "rate"'),
        ('{"mini": {"mine.py:Mine": {"lr": "x"}}}', "own.json: mine.py:Mine: lr must be of type float"),
        ('{"mini": {"mine.py:Mine": 3}}', "own.json must hold"),
        ('{"mini": 3}', "own.json must hold"),
        ("3", "own.json"),
    ):
        own.write_text(text)
        with pytest.raises(UserError, match=re.escape(words)):
            choose("mine.py:Mine", "mini", own)


def test_a_text_that_is_no_spec_is_refused_at_once() -> None:
    """The fuzzer's cases 869 and 2834: half a megabyte took half a minute."""
    with pytest.raises(UserError, match="at most 4,096 characters, not 500,001"):
        choose('{"a":' * 100_000 + "1", "mini")
