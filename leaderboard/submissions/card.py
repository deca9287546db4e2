"""The card of a submission, `submission.yaml`: what its record cannot know. This file is its only schema."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, ValidationError

from benchmark.core.files import write_text
from benchmark.core.readers import Unreadable
from benchmark.core.text import printable
from benchmark.core.yamls import read_yaml
from leaderboard.records.sections import Section, first_problem

CARD = "submission.yaml"
SCHEMA = "1"
MAX_CARD = 64 << 10  # bytes
FIX = "write it as docs/submitting.md says"
NONE = "none"
HEAD = "# The card of this submission. Fill in what is empty; python -m leaderboard.verify FOLDER checks it.\n"


def check_name(name: str) -> str:
    """A method's or editor's name, if it may stand in tables and pages. Raises `ValueError` for markup, and for signs
    that nobody sees."""
    if not name.isprintable() or re.search("[<>&]", name):
        raise ValueError("holds <, > or &, or signs that nobody sees; a name is plain text")
    return name


def _visible(text: str) -> str:
    if not text.isprintable():
        raise ValueError("holds signs that nobody sees")
    return text


def _address(text: str) -> str:
    if text != NONE and not re.fullmatch(r"https?://[^\s/]+\S*", text):
        raise ValueError(f"is no address (https://...), and not {NONE}")
    return text


Text = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_visible)]
Name = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(check_name)]
Address = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_address)]


class Card(Section):
    """A submission in its submitter's words; all values are texts, and all are shown escaped."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    schema_version: str
    """Version of this file's schema."""
    method: Name
    """The method's name, as the board shows it."""
    authors: Annotated[list[Text], Field(min_length=1, max_length=100)]
    """Its authors, each as he or she wants to be written."""
    paper: Address
    """Address of the paper, or none."""
    code: Address
    """Address of the method's own code, or none."""
    licence: Text
    """Licence of the source in this folder, by its SPDX identifier, such as MIT."""
    trained_on: Text
    """What the method learned from before its first edit (data sets, in words); nothing, if it learned from none."""
    weights: Address = NONE
    """Address of the files that its settings name and that are too large for this folder, or none."""


def read_card(folder: Path) -> Card:
    """The card in a submission's folder. Raises `Unreadable` for another schema and for the first field that does not
    fit."""
    path = folder / CARD
    values = read_yaml(path, MAX_CARD, FIX)
    version = values.get("schema_version", SCHEMA)
    if version != SCHEMA:
        reason = f"is of schema {printable(version)[:20]}, and this release reads schema {SCHEMA}"
        raise Unreadable(path, reason, "verify it with the release that it was made with")
    try:
        return Card.model_validate(values)
    except ValidationError as error:
        raise Unreadable(path, first_problem(error), FIX) from error


def write_card(folder: Path, values: Mapping[str, str | list[str]]) -> None:
    """Write a card to be filled in: each field with its meaning, and with a value where `values` has one."""
    values = {"schema_version": SCHEMA, **values}
    lines = [HEAD]
    for name, field in Card.model_fields.items():
        empty = "[]" if name == "authors" else json.dumps("" if field.is_required() else field.default)
        value = json.dumps(values[name], ensure_ascii=False) if name in values else empty
        lines.append(f"\n# {field.description}\n{name}: {value}\n")
    write_text(folder / CARD, "".join(lines))
