"""The claims, the printed results and the known departures of `claims.yaml`, checked when they are read."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from benchmark.core.yamls import read_yaml

TABLE = Path(__file__).parent / "claims.yaml"
Score = Literal["sr", "gr", "lr", "area", "spread"]
Groups = Literal["all groups", "natural groups", "generated groups"]
WORDS: dict[str, str] = {
    "sr": "SR",
    "gr": "GR",
    "lr": "LR",
    "area": "area under the GR-LR settings",
    "spread": "standard deviation of GR over the edits of a group",
}


def _number(value: object) -> object:
    """A number where a text is one; YAML's reader leaves every scalar a text."""
    try:
        return float(str(value))
    except ValueError:
        return value


Setting = dict[str, Annotated[float | str, BeforeValidator(_number)]]


class Entry(BaseModel):
    """A part of the table; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Departure(Entry):
    """A known difference between paper, released code and this project."""

    where: str
    """The section of the paper, or of SPEC.md, that shows it."""
    says: str
    """The difference, in one sentence."""


class Claim(Entry):
    """A claim of the paper's prose."""

    name: str
    """Its short name."""
    says: str
    """The claim, in this project's words."""
    where: str = Field(min_length=1)
    """Its sections, figures or tables in the paper."""
    figures: tuple[str, ...]
    """The entries of `analyses/paper.json` whose runs decide it, each apart."""
    groups: tuple[Groups, ...] = ("all groups",)
    """The groups whose edits decide it, each apart."""
    departures: tuple[str, ...] = ()
    """Names of the departures that could explain another result."""


class Region(NamedTuple):
    """Values of a difference that a claim allows, between two ends that are outside."""

    low: float
    high: float


def region(claimed: str, margin: float) -> Region:
    """The differences of which a claim speaks: ``above``, ``below``, ``not below`` or ``alike`` within a margin."""
    infinite = float("inf")
    return {
        "above": Region(0, infinite),
        "below": Region(-infinite, 0),
        "not below": Region(-margin, infinite),
        "alike": Region(-margin, margin),
    }[claimed]


class Sided(Claim):
    """A claim on a difference of two values."""

    claimed: Literal["above", "below", "not below", "alike"]
    """The side on which the first is."""
    margin: Annotated[float, Field(ge=0)] = 0.0
    """The difference that still counts as none, of ``not below`` and ``alike``."""

    @property
    def region(self) -> Region:
        """The differences of which the claim speaks."""
        return region(self.claimed, self.margin)

    @property
    def side(self) -> str:
        """The side and the margin, in words."""
        return f"{self.claimed}, within {self.margin:g}," if self.margin else self.claimed


class Difference(Sided):
    """A score of some runs minus that of others, paired."""

    kind: Literal["difference"]
    score: Score
    first: tuple[Setting, ...] = ()
    """What the claim is on; empty: all that `second` does not name."""
    second: tuple[Setting, ...] = ()
    """What it is compared with; empty: the figure's other editors."""
    compare: Literal["each with each", "each with mean", "mean with mean"] = "each with each"
    """Whether each comparison, or their mean, must be as claimed."""

    @property
    def rule(self) -> str:
        """The rule, in words."""
        first, second = in_words(self.first) or "every other", in_words(self.second) or "the figure's other editors"
        return f"{WORDS[self.score]} of {first} is {self.side} that of {second}, paired, {self.compare}"


class Order(Claim):
    """A score that rises or falls along a knob, or along other settings in their order."""

    kind: Literal["order"]
    score: Score
    claimed: Literal["rises", "falls"]
    editors: tuple[str, ...] = ()
    """Editors, each over the sweep of its knob."""
    steps: tuple[Setting, ...] = ()
    """Settings in their order, in place of `editors`."""

    @property
    def rule(self) -> str:
        """The rule, in words."""
        along = f"the knobs of {', '.join(self.editors)}" if self.editors else in_words(self.steps)
        return (
            f"{WORDS[self.score]} {self.claimed} along {along}: the last minus the first, paired, and no step goes the "
            "other way"
        )


class Overlap(Claim):
    """Masks that overlap more within groups than across."""

    kind: Literal["overlap"]
    editor: str
    sparsity: float

    @property
    def rule(self) -> str:
        """The rule, in words."""
        return f"mean IoU of {self.editor}'s masks at sparsity {self.sparsity:g} within groups is above that across"


class Most(Claim):
    """An SR that more than half of a figure's editors have."""

    kind: Literal["most"]
    least: float

    @property
    def rule(self) -> str:
        """The rule, in words."""
        return f"SR of more than half of the figure's editors is above {self.least:g}, each with Wilson's interval"


class Trade(Claim):
    """Settings of all editors, of which those with more GR have less LR."""

    kind: Literal["trade"]

    @property
    def rule(self) -> str:
        """The rule, in words."""
        return "rank correlation of GR and LR over all settings of the figure's editors is below 0"


class Course(Sided):
    """A column of the training curve, late in training minus early."""

    kind: Literal["course"]
    column: Literal["kl", "sparsity"]
    early: tuple[float, float]
    """Shares of all iterations between which its points are early."""
    late: tuple[float, float]
    """As `early`."""

    @property
    def rule(self) -> str:
        """The rule, in words."""
        (a, b), (c, d) = self.early, self.late
        return (
            f"mean {self.column} from {c:.0%} to {d:.0%} of the iterations is {self.side} that from {a:.0%} to "
            f"{b:.0%}, the points of one training taken as independent"
        )


class Undecided(Claim):
    """A claim that nothing in our records can decide."""

    kind: Literal["undecided"]
    needs: str
    """What is missing."""

    @property
    def rule(self) -> str:
        """The rule, in words."""
        return f"none: it needs {self.needs}"


AnyClaim = Annotated[Difference | Order | Overlap | Most | Trade | Course | Undecided, Field(discriminator="kind")]


class Number(Entry):
    """A printed number that is a result."""

    id: str
    """Its id in the list of all printed numbers."""
    where: str = Field(min_length=1)
    """Its section or caption in the paper."""
    quantity: str
    printed: str
    claim: str | None = None
    """The claim that decides it."""
    measure: Literal["kept natural", "kept generated", "first sparsity", "settled sparsity"] | None = None
    """Our measure that is compared with `value`."""
    value: float | None = None
    tolerance: float | None = None
    """The largest difference of two that agree."""
    needs: str = ""
    """What is missing where there is neither claim nor measure."""
    departures: tuple[str, ...] = ()


class Table(Entry):
    """All of `claims.yaml`."""

    once: tuple[str, ...]
    """Editors that the paper runs at one setting each."""
    departures: dict[str, Departure]
    claims: tuple[AnyClaim, ...]
    numbers: tuple[Number, ...]


@cache
def read_table() -> Table:
    """The claims, printed results and departures. Raises `ValidationError` for a file that is none."""
    return Table.model_validate(read_yaml(TABLE))


def in_words(settings: tuple[Setting, ...]) -> str:
    """Settings as a reader writes them: ``random-mask at sparsity 0.95``."""
    return " or ".join(_setting_in_words(setting) for setting in settings)


def _setting_in_words(setting: Setting) -> str:
    values = [f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
              for name, value in setting.items() if name != "editor"]  # fmt: skip
    return " at ".join(filter(None, [str(setting.get("editor", "")), ", ".join(values)]))
