"""Properties of editor specs: what a choice is called chooses it again, and what means nothing is a `UserError`."""

from __future__ import annotations

import dataclasses
import math
import typing
from pathlib import Path
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from benchmark.core.errors import UserError
from editors.core.base import knob_of
from editors.core.registry import INTERPOLATE, built_in, choose

CONFIGS = {name: type(choose(name, "mini").config) for name in built_in()}
BASES = st.sampled_from(["mini", "vitb16", "a base without settings"])
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
VALUES: dict[Any, st.SearchStrategy[Any]] = {
    bool: st.sampled_from(["true", "false"]),
    Path: st.text(st.characters(exclude_categories=["Cs"], exclude_characters=","), max_size=8),
}


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a setting's type, in its range, as one would write them."""
    for of, values in VALUES.items():
        if of in (hint, *typing.get_args(hint)):
            return values
    return st.from_type(hint).filter(lambda value: value is not None and abs(value) < math.inf)


def written_settings(name: str) -> st.SearchStrategy[dict[str, Any]]:
    """Some of an editor's settings, each with a value of its type and in its range."""
    hints = typing.get_type_hints(CONFIGS[name], include_extras=True)
    fields = {field.name: values_of(hints[field.name]) for field in dataclasses.fields(CONFIGS[name])}
    return st.fixed_dictionaries({}, optional={**fields, INTERPOLATE: FLOATS})


SETTINGS = st.sampled_from(list(built_in())).flatmap(lambda name: st.tuples(st.just(name), written_settings(name)))


@given(SETTINGS, BASES)
def test_a_spec_chooses_its_own_choice_again(chosen: tuple[str, dict[str, Any]], base: str) -> None:
    name, settings = chosen
    written = ",".join(f"{key}={value}" for key, value in settings.items())
    choice = choose(f"{name}:{written}" if written else name, base)
    for key, value in settings.items():
        kept = choice.interpolate if key == INTERPOLATE else getattr(choice.config, key)
        assert kept == (Path(value) if isinstance(kept, Path) else {"true": True, "false": False}.get(value, value))
    again = choose(choice.spec, base)
    assert (again.name, again.config, again.interpolate) == (choice.name, choice.config, choice.interpolate)
    assert again.spec == choice.spec
    if knob_of(choice.config) is not None:
        swept = choice.at_knob(knob_of(choice.config).sweep[0])
        assert choose(swept.spec, base).config == swept.config


LITERALS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.complex_numbers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.tuples(inner, inner) | st.dictionaries(st.text(max_size=1), inner),
).map(repr)
SETTING = st.tuples(
    st.sampled_from(sorted({field.name for config in CONFIGS.values() for field in dataclasses.fields(config)}))
    | st.just(INTERPOLATE)
    | st.text(max_size=4),
    st.sampled_from(["=", "", "==", " = "]),
    LITERALS | st.text(max_size=6) | st.text("0123456789.eE+-_jinfa()[]{}:'\" \0", max_size=8),
).map("".join)
NEARLY = st.tuples(
    st.sampled_from([*built_in(), "nowhere.py", "my_editor.py:Mine"]), st.lists(SETTING, max_size=3).map(",".join)
).map(":".join)


@given(NEARLY | st.text())
@example("ft:block=" + "x" * 300 + ",y")  # no path is so long
@example("ft:lr=1" + "0" * 400)  # a whole number that no float holds
@example("ft:lr=1e999")
@example("ft:lr=-" * 3)
@example("ft:lr={[]:1}")
@example("ft:lr=" + "(" * 500)
@example("ft:lr=" + "-" * 5000 + "1")
@example("ft:max_steps=True")
@example("\0.py:Mine")
@example("a" * 300 + ".py:Mine")
def test_any_text_is_a_choice_that_its_spec_chooses_again_or_a_user_error(text: str) -> None:
    try:
        choice = choose(text, "mini")
    except UserError:
        return
    again = choose(choice.spec, "mini")
    assert (again.config, again.interpolate, again.spec) == (choice.config, choice.interpolate, choice.spec)
    types_of = typing.get_type_hints(type(choice.config))
    for field in dataclasses.fields(choice.config):
        allowed = typing.get_args(types_of[field.name]) or (types_of[field.name],)
        assert type(getattr(choice.config, field.name)) in allowed or isinstance(
            getattr(choice.config, field.name), Path
        )
