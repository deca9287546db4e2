"""The reader of YAML, for files that people write; see `benchmark.core.readers`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmark.core.errors import message_line
from benchmark.core.readers import FIX, MAX_DEPTH, MAX_TEXT, Unreadable, check_depth, read_text


def read_yaml(path: Path, limit: int = MAX_TEXT, fix: str = FIX) -> dict[str, Any]:
    """The mapping in a file of YAML; every scalar is a text as it is written, so that no licence called `no` is False.

    Raises `Unreadable`, also for aliases, which make gigabytes of a few lines, and for a key that stands twice.
    """
    import yaml

    text = read_text(path, limit, fix)
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.BaseLoader)):
            raise Unreadable(path, "repeats a part by an alias (*); write it out", fix)
        node = yaml.compose(text, yaml.BaseLoader)
        value = _plain_yaml(node) if node is not None else {}
        check_depth(value)
    except RecursionError as error:
        raise Unreadable(path, f"is nested deeper than {MAX_DEPTH} levels", fix) from error
    except (yaml.YAMLError, ValueError) as error:
        raise Unreadable(path, f"is no YAML that can be read ({message_line(error)})", fix) from error
    if not isinstance(value, dict):
        raise Unreadable(path, "must hold names and values (NAME: VALUE)", fix)
    return value


def _plain_yaml(node: Any) -> Any:
    """The texts, lists and dicts of a node. Raises `ValueError` for a key that is no text, or stands twice."""
    import yaml

    if isinstance(node, yaml.SequenceNode):
        return [_plain_yaml(child) for child in node.value]
    if not isinstance(node, yaml.MappingNode):
        return str(node.value)
    values: dict[str, Any] = {}
    for key, child in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.value in values:
            raise ValueError(f"line {key.start_mark.line + 1}: a key that is no text, or stands twice")
        values[key.value] = _plain_yaml(child)
    return values
