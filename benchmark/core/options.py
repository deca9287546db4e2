"""The options that more than one command has: one name, one type, one meaning.

A command writes ``device: options.Device = "auto"``; the text here is then that option's line in ``--help``, and what
is special to the command stands in the command's own description. The table in DESIGN.md lists every option there is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from typing_extensions import Doc

from benchmark.core.ranges import Count, CountOrZero, Ge, Le, Positive, SeedNumber

# what is edited, and what it is judged on
_BASE = Doc(
    "Base model: mini, mini-strong, dinov2-mini, vitb16, vits16, clip-vitb16, any timm ViT, a timm folder, or NAME=FILE"
    ", weights of the model that NAME, one of these aliases or timm's name, describes."
    " A path may hold = and a comma: a file that exists wins."
)
Base: TypeAlias = Annotated[str, _BASE]
OptionalBase: TypeAlias = Annotated[str | None, _BASE]
_DATA = Doc(
    "Benchmark: mini, mini-dev, real, real-dev, a folder in the Hub's layout, or OWNER/NAME or OWNER/NAME@REVISION on"
    " the Hub."
)
Data: TypeAlias = Annotated[str, _DATA]
OptionalData: TypeAlias = Annotated[str | None, _DATA]
Groups: TypeAlias = Annotated[tuple[str, ...], Doc("Edit only samples of these groups (ids or names).")]

Editor: TypeAlias = Annotated[
    str, Doc("Editor: a name, a name with settings (ft-l2:c=0.01), or your own class (my_editor.py:MyEditor).")
]

# images that come in
_IMAGES = Doc(
    "Images: a folder with one subfolder a class, a folder in the Hub's layout, a data set on the Hub, or mini."
)
Images: TypeAlias = Annotated[str, _IMAGES]
OptionalImages: TypeAlias = Annotated[str | None, _IMAGES]
Pool: TypeAlias = Annotated[
    str | None,
    Doc(
        "Unlabelled images: a folder, a crawl, parquet (file or folder), NAMESPACE/NAME[@REVISION][:SPLIT] of the Hub,"
        " or mini."
    ),
]
ImageNet: TypeAlias = Annotated[str | None, Doc("Validation images of ImageNet-1k.")]
ImageNetR: TypeAlias = Annotated[str | None, Doc("Images of ImageNet-R.")]
ImageNetSketch: TypeAlias = Annotated[str | None, Doc("Images of ImageNet-Sketch.")]
Pug: TypeAlias = Annotated[Path | None, Doc("Root folder of PUG: ImageNet, or a ZIP archive of it.")]
LOCALITY = Doc("Sensitive-Images.zip, its folder, or what benchmark.locality selected.")
Locality: TypeAlias = Annotated[Path | None, LOCALITY]
FromFolder: TypeAlias = Annotated[
    Path | None,
    Doc("Folder of local copies, each under its source's name or as its owners call it; then nothing is fetched."),
]
AllowPartial: TypeAlias = Annotated[bool, Doc("Go on where images are missing, or their counts are not the paper's.")]

# how much, and of what
Classes: TypeAlias = Annotated[tuple[str, ...], Doc("Classes of ImageNet-1k, by index, synset id or name.")]
_PER_CLASS = Doc("Images of each class.")
PerClass: TypeAlias = Annotated[Count, _PER_CLASS]
PerClassOrAll: TypeAlias = Annotated[CountOrZero, _PER_CLASS]
Limit: TypeAlias = Annotated[Count | None, Doc("Take only so many, not all.")]
Quick: TypeAlias = Annotated[bool, Doc("Measure the same thing in less time, on less.")]
Intervals: TypeAlias = Annotated[bool, Doc("Show 95 % intervals.")]
Seed: TypeAlias = Annotated[SeedNumber, Doc("Seed of all that is drawn at random.")]

# how it is computed
Device: TypeAlias = Annotated[
    Literal["auto", "cpu", "cuda", "mps"], Doc("Device to compute on; auto: a GPU where there is one (CUDA, else MPS).")
]
Precision: TypeAlias = Annotated[
    Literal["float32", "tf32", "two-pass"],
    Doc(
        "Precision of matrix products; with tf32 a GPU rounds their factors to 10 bits: faster, and less exact. Scores "
        "take float32, or two-pass: the verdicts of float32, computed in tf32 where that leaves no doubt."
    ),
]
Engine: TypeAlias = Annotated[
    Literal["local", "ray"],
    Doc(
        "Engine that computes: this process, or a Ray cluster, the one that RAY_ADDRESS names, else one on this"
        " machine."
    ),
]
BatchSize: TypeAlias = Annotated[Count, Doc("Images a batch.")]

# training
Recipe: TypeAlias = Annotated[
    Literal["released", "paper"], Doc("Published recipe to start from: the released code's, or the paper's.")
]
_ITERATIONS = Doc("Batches to train on.")
Iterations: TypeAlias = Annotated[Count, _ITERATIONS]
OptionalIterations: TypeAlias = Annotated[Count | None, _ITERATIONS]
_BANK_SIZE = Doc("Pseudo-samples in the bank of targets.")
BankSize: TypeAlias = Annotated[Count, _BANK_SIZE]
OptionalBankSize: TypeAlias = Annotated[Count | None, _BANK_SIZE]

# Stable Diffusion
_MODEL = Doc("Stable Diffusion on the Hub, or a folder in diffusers' layout.")
Model: TypeAlias = Annotated[str, _MODEL]
OptionalModel: TypeAlias = Annotated[str | None, _MODEL]
Revision: TypeAlias = Annotated[
    str | None, Doc("Commit of the model on the Hub; without one, the newest is taken, and recorded.")
]
Steps: TypeAlias = Annotated[Count, Doc("Denoising steps.")]
Guidance: TypeAlias = Annotated[Positive, Doc("Guidance scale of the prompt over no prompt.")]
Size: TypeAlias = Annotated[
    int, Ge(1), Le(8192), Doc("Pixels a side of the saved images; they are made at the model's own size.")
]

# files
_OUT = Doc("Folder or file to write.")
Out: TypeAlias = Annotated[Path, _OUT]
OptionalOut: TypeAlias = Annotated[Path | None, _OUT]
Json: TypeAlias = Annotated[
    Path | None, Doc("Folder for the numbers, as a JSON file that is named after what was measured.")
]
Yes: TypeAlias = Annotated[bool, Doc("Answer yes to what would be asked: whether to upload, or to agree to terms.")]
AnswersFile: TypeAlias = Annotated[
    Path | None, Doc("File of answers of all annotators, if not review.sqlite beside the groups.")
]
Nouns: TypeAlias = Annotated[Path | None, Doc("WordNet 3.0's data.noun, if not nltk's or else Debian's.")]
RunFolders: TypeAlias = Annotated[tuple[Path, ...], Doc("Folders that hold records, at any depth.")]
