"""The files that a reference consists of: one, or a folder as GPU MODE lays out its problems.

Such a folder has `reference.py`, modules that it imports (`task.py`, and a `utils.py` that the
folders share), and `task.yml` with the arguments of `generate_input` for tests and benchmarks.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from avo_tui.domain.base import Value
from avo_tui.domain.plain import plain
from avo_tui.evaluation.candidates import read_file
from avo_tui.evaluation.ports import EvaluatorError

COMPANIONS = "companions.json"
"""File of a task's folder; only where the reference is more than one file."""
_ENTRY, _SETTINGS = "reference.py", "task.yml"
MOST_MODULES = 32
"""Files that a reference may import beside its own."""
_INSTALLED = frozenset({"torch", "numpy", "triton", "scipy"}) | sys.stdlib_module_names


class Companions(Value):
    """What belongs to a reference beside its own text."""

    modules: dict[str, str] = Field(default_factory=dict)
    """Name of a module that the reference imports → its text."""
    values: dict[str, Any] = Field(default_factory=dict)
    """Argument of `generate_input` → its value in the first benchmark of `task.yml`."""
    small: dict[str, Any] = Field(default_factory=dict)
    """The same of the first test, which is small."""

    @classmethod
    def read(cls, folder: Path) -> Companions:
        """Those of a task's folder; none where it has no such file."""
        file = folder / COMPANIONS
        if not file.is_file():
            return cls()
        return cls.model_validate_json(file.read_text(encoding="utf-8"))


def is_problem_folder(path: Path) -> bool:
    """Whether a folder is one problem in GPU MODE's layout."""
    return (path / _ENTRY).is_file() and (path / _SETTINGS).is_file()


def problem_name(path: Path) -> str:
    """What a reference is called: its file, or its folder where all files have the same name."""
    if path.is_dir():
        return path.name
    return path.parent.name if path.name == _ENTRY else path.stem


def gather(path: Path) -> tuple[str, Companions]:
    """The text of a reference and what belongs to it.

    `path` is a file, or a folder with `reference.py`. Raises EvaluatorError with one sentence.
    """
    file = path / _ENTRY if path.is_dir() else path
    text = _read(file)
    if file.suffix != ".py":
        return text, Companions()
    settings = _settings(file.parent)
    modules = _imported(text, file.parent, settings)
    yml = file.parent / _SETTINGS
    first = {part: first_arguments(settings, part, yml) for part in ("benchmarks", "tests")}
    values = first["benchmarks"] or first["tests"]
    return text, Companions(modules=modules, values=values, small=first["tests"] or values)


def _read(file: Path) -> str:
    """The text of a file. Raises EvaluatorError for one that is none, or longer than a source."""
    if not file.is_file():  # a pipe would be waited for
        raise EvaluatorError(f"{file} is no file")
    return read_file(file)


def _settings(folder: Path) -> dict[str, Any]:
    """`task.yml`, or nothing where there is none. Raises EvaluatorError."""
    file = folder / _SETTINGS
    if not file.is_file():
        return {}
    text = _read(file)
    if len(text.encode()) > MOST_BYTES:
        raise EvaluatorError(f"{file} is longer than {MOST_BYTES >> 10} KiB")
    return read_settings(text, file)


def _imported(text: str, folder: Path, settings: dict[str, Any]) -> dict[str, str]:
    """Modules that the text imports and that lie beside it, or where `task.yml` says, or above."""
    named = sources(settings, folder / _SETTINGS)
    modules: dict[str, str] = {}
    waiting = _imports(text)
    while waiting:
        name = waiting.pop()
        if name in modules or name in _INSTALLED:
            continue
        places = [folder / f"{name}.py", folder.parent / f"{name}.py"]
        if f"{name}.py" in named:
            places.insert(0, folder / named[f"{name}.py"])
        file = next(filter(_is_file, places), None)
        if file is not None:
            _require_beside(file, folder)
            if len(modules) == MOST_MODULES:
                raise EvaluatorError(f"{folder} imports more than {MOST_MODULES} files of its own")
            modules[name] = _read(file)
            waiting |= _imports(modules[name])
    return modules


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _require_beside(file: Path, folder: Path) -> None:
    """Raises EvaluatorError for a module elsewhere than in the problem's folder or the one above.

    A problem from somebody else could name a file of the person's, or link to it: it would be kept
    with the task and shown to models.
    """
    if not file.resolve().is_relative_to(folder.resolve().parent):
        raise EvaluatorError(
            f"{file} leads to {file.resolve()}, which lies neither beside the reference nor in the "
            "folder above: copy the file if it belongs to the reference"
        )


def _imports(text: str) -> set[str]:
    """Names of the modules that a text imports; none of a text that is no Python."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # of the last two: too deep
        return set()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


MOST_BYTES = 64 << 10
"""Largest size of the file in bytes."""
_MOST_DEPTH = 16
"""Lists and mappings inside each other."""
_MOST = 1 << 63
"""Whole numbers are smaller: a size is an `int64_t` of a kernel."""


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
    """YAML without repeated keys, deep nesting, and aliases of anything but one value.

    Somebody else wrote it: a few hundred bytes can stand for gigabytes (aliases of aliases), and of
    a key that is there twice readers take the first or the last.
    """

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
