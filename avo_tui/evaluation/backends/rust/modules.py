"""A crate of several files as one text: `mod name;` replaced by the module's file."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping

from avo_tui.evaluation.ports import EvaluatorError

_MODULE = re.compile(
    r"^(?P<before>[ \t]*(?:pub(?:\([^)\n]*\))?[ \t]+)?mod[ \t]+(?P<name>\w+)[ \t]*);", re.MULTILINE
)
_MOST_DEPTH = 32


def inlined(files: Mapping[str, str], root: str) -> str:
    """The text of `root` with its modules in place; files are looked for as rustc does.

    Raises EvaluatorError where `root` is not there, or modules go in a circle.
    """
    if root not in files:
        raise EvaluatorError(f"of several files, one has to be {root}, with the others as modules")
    return _inlined(files, root, posixpath.dirname(root), 0)


def _inlined(files: Mapping[str, str], name: str, folder: str, depth: int) -> str:
    """The text of the file `name`, whose modules are in `folder`."""
    if depth > _MOST_DEPTH:
        raise EvaluatorError(f"{name} has itself as a module")

    def in_place(match: re.Match[str]) -> str:
        inner = posixpath.join(folder, match["name"])
        for path in (f"{inner}.rs", f"{inner}/mod.rs"):
            if path in files:
                return f"{match['before']} {{\n{_inlined(files, path, inner, depth + 1)}\n}}"
        return match[0]  # in a comment, or elsewhere: compiling the result tells

    return _MODULE.sub(in_place, files[name])
