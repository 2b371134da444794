"""The files that a reference consists of: one, or a folder as GPU MODE lays out its problems.

Such a folder has `reference.py`, modules that it imports (`task.py`, and a `utils.py` that the
folders share), and `task.yml` with the arguments of `generate_input` for tests and benchmarks.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

from pydantic import Field

from avo_tui.domain.base import Value
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
    from avo_tui.evaluation.references.settings import first_arguments

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
    try:
        return read_file(file)
    except UnicodeDecodeError as error:
        raise EvaluatorError(f"{file} is not UTF-8 text") from error
    except OSError as error:
        raise EvaluatorError(f"{file} cannot be read: {error.strerror}") from error


def _settings(folder: Path) -> dict[str, Any]:
    """`task.yml`, or nothing where there is none. Raises EvaluatorError."""
    from avo_tui.evaluation.references.settings import MOST_BYTES, read_settings

    file = folder / _SETTINGS
    if not file.is_file():
        return {}
    text = _read(file)
    if len(text.encode()) > MOST_BYTES:
        raise EvaluatorError(f"{file} is longer than {MOST_BYTES >> 10} KiB")
    return read_settings(text, file)


def _imported(text: str, folder: Path, settings: dict[str, Any]) -> dict[str, str]:
    """Modules that the text imports and that lie beside it, or where `task.yml` says, or above."""
    from avo_tui.evaluation.references.settings import sources

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
