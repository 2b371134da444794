"""`task.yml` of a problem in GPU MODE's layout, which somebody else wrote.

A few hundred bytes of YAML can stand for gigabytes (aliases of aliases), and the same key can be
there twice, of which readers take the first or the last. What is read here is a small file whose
values are numbers, texts, and lists and mappings of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from avo_tui.domain.plain import plain
from avo_tui.evaluation.ports import EvaluatorError

FILE = "task.yml"
MOST_BYTES = 64 << 10
"""Largest size of the file in bytes."""
_MOST_DEPTH = 16
"""Lists and mappings inside each other."""
_MOST = 1 << 63
"""Whole numbers are smaller: a size is an `int64_t` of a kernel."""


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
    """YAML without repeated keys, deep nesting, and aliases of anything but one value."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """As in YAML, with limits. Raises MarkedYAMLError."""
        event = self.peek_event()
        alias = isinstance(event, yaml.AliasEvent)
        self._depth += 1
        try:
            if self._depth > _MOST_DEPTH:
                raise _at(event, f"more than {_MOST_DEPTH} lists and mappings inside each other")
            node: yaml.Node | None = super().compose_node(parent, index)
        finally:
            self._depth -= 1
        if alias and not isinstance(node, yaml.ScalarNode):
            raise _at(event, "an alias of a list or a mapping; write it out")
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """As in YAML, but no key twice. Raises MarkedYAMLError."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise _at(key, f"the key {plain(str(key.value), 60)!r} is there twice")
                seen.add(key.value)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def _at(item: Any, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=item.start_mark)


def read_settings(text: str, file: Path) -> dict[str, Any]:
    """The entries of `task.yml`. Raises EvaluatorError with one sentence."""
    try:
        content = _Loader(text).get_single_data()
    except yaml.MarkedYAMLError as error:
        why = f"{plain(str(error.problem), 300)} (line {error.problem_mark.line + 1})"
        raise EvaluatorError(f"{file} is no YAML that can be used: {why}") from error
    except (yaml.YAMLError, ValueError) as error:
        why = plain(str(error), 300)
        raise EvaluatorError(f"{file} is no YAML that can be used: {why}") from error
    if not isinstance(content, dict):
        raise EvaluatorError(f"{file} has no entries")
    return content


def first_arguments(settings: dict[str, Any], part: str, file: Path) -> dict[str, Any]:
    """The first set of arguments of the list `part`, without the seed.

    Raises EvaluatorError where a function cannot be called with them.
    """
    entries = settings.get(part)
    if not isinstance(entries, list) or not entries or not isinstance(entries[0], dict):
        return {}
    arguments = {}
    for name, value in entries[0].items():
        if not isinstance(name, str) or not name.isidentifier():
            shown = plain(str(name), 60)
            raise EvaluatorError(f"{file}: {part}: {shown!r} cannot be the name of an argument")
        if (what := _not_passed(value)) is not None:
            raise EvaluatorError(
                f"{file}: {part}: {name} is {what}; numbers below 2^63, texts, and lists and "
                "mappings of them are passed"
            )
        if name != "seed":
            arguments[name] = value
    return arguments


def sources(settings: dict[str, Any], file: Path) -> dict[str, str]:
    """Name of each of the problem's `files` → its path. Raises EvaluatorError."""
    entries = settings.get("files") or []
    if not isinstance(entries, list):
        raise EvaluatorError(f"{file}: files is no list")
    return {str(e.get("name")): str(e.get("source")) for e in entries if isinstance(e, dict)}


def _not_passed(value: object) -> str | None:
    """What a value is that no argument can have; None for one that an argument can have."""
    if isinstance(value, list | dict):
        inside = value if isinstance(value, list) else [*value, *value.values()]
        return next((what for part in inside if (what := _not_passed(part)) is not None), None)
    if isinstance(value, int) and abs(value) >= _MOST:
        return "a whole number of more than 63 bits"
    if value is None or isinstance(value, int | float | str):
        return None
    return f"a {type(value).__name__}"
