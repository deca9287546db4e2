"""Ways to name a base: paths with = and , in them, timm's names as the Hub writes them, and lists."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.core.errors import UserError
from benchmark.models.load import load_base
from benchmark.models.names import split_spec, split_specs


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which names hold = and ,: two models' folders, and files of weights."""
    monkeypatch.chdir(tmp_path)
    for folder in ("lr=0.1", "a,b", "a,b=c", "timm/x"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "config.json").touch()
    for file in ("w.pth", "lr=2.pth", "x,y.pth", "x=1,y=2.pth"):
        (tmp_path / file).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("spec", "name", "file"),
    [
        ("mini", "mini", None),
        ("vits16=w.pth", "vits16", "w.pth"),
        ("vits16=lr=2.pth", "vits16", "lr=2.pth"),
        ("vits16=missing=2.pth", "vits16", "missing=2.pth"),
        ("lr=0.1", "lr=0.1", None),
        ("lr=0.1=w.pth", "lr=0.1", "w.pth"),
        ("lr=0.1=lr=2.pth", "lr=0.1", "lr=2.pth"),
        ("a,b=c", "a,b=c", None),
        ("a,b=x=1,y=2.pth", "a,b", "x=1,y=2.pth"),
        ("timm/vit_tiny_patch16_224", "vit_tiny_patch16_224", None),
        ("hf-hub:timm/vit_tiny_patch16_224=w.pth", "vit_tiny_patch16_224", "w.pth"),
        ("timm/x", "timm/x", None),
    ],
)
def test_what_exists_wins(odd: Path, spec: str, name: str, file: str | None) -> None:
    assert split_spec(spec) == (name, Path(file) if file else None)


@pytest.mark.parametrize(
    "specs",
    [
        ["mini", "mini-strong"],
        ["a,b", "mini"],
        ["mini", "a,b", "vits16=x,y.pth"],
        ["vits16=x=1,y=2.pth", "lr=0.1", "a,b=c"],
        ["vits16=w.pth", "vitb16=lr=2.pth", "a,b=x,y.pth"],
        ["missing", "vits16=missing.pth"],
    ],
)
def test_lists_split_where_models_end(odd: Path, specs: list[str]) -> None:
    assert split_specs(",".join(specs)) == specs == split_specs(" , ".join(specs))


def test_names_without_a_file_and_folders_as_files_are_refused(odd: Path) -> None:
    with pytest.raises(UserError, match="names no file"):
        load_base("vits16=")
    with pytest.raises(UserError, match=r"timm: is a folder; name the file"):
        load_base("vits16=timm")
    with pytest.raises(UserError, match=r"is a file; name the architecture"):
        load_base("w.pth")
    with pytest.raises(UserError, match=r"holds no config\.json"):
        load_base(f"{odd}/timm")
