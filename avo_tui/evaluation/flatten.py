"""Several source files of a candidate as one text: its own includes put in place.

For the single source that a kernel is exported as; the evaluation compiles the files as they are.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:<([^>"\n]+)>|"([^">\n]+)")[^\n]*$')
_ONCE = re.compile(r"^[ \t]*#[ \t]*pragma[ \t]+once\b[^\n]*$")
_DEFINE = re.compile(r"^[ \t]*#[ \t]*define[ \t]+([A-Za-z_]\w*)", re.MULTILINE)
_MOST_DEPTH = 32


@dataclass(frozen=True)
class Flat:
    """One text that needs none of the candidate's other files."""

    text: str
    """With a comment where each of the files begins."""
    headers: tuple[str, ...]
    """Headers from outside, in the order they were met; left out of `text`."""

    @property
    def macros(self) -> tuple[str, ...]:
        """Names that the text defines for the preprocessor."""
        return tuple(dict.fromkeys(_DEFINE.findall(self.text)))


class FlattenError(ValueError):
    """The files cannot be put into one; the text says why."""


class _Flattener:
    def __init__(self, files: Mapping[str, str], ignored: Sequence[str]) -> None:
        self._files = files
        self._ignored = frozenset(ignored)
        self._included_once: set[str] = set()
        self.headers: dict[str, None] = {}

    def text(self, name: str, depth: int = 0) -> str:
        """A file with its includes in place. Raises FlattenError where they go in a circle."""
        if depth > _MOST_DEPTH:
            raise FlattenError(f"{name} includes itself")
        lines = [f"// ---- {name}"]
        for line in self._files[name].splitlines():
            if _ONCE.match(line):
                self._included_once.add(name)
                continue
            match = _INCLUDE.match(line)
            if match is None:
                lines.append(line)
                continue
            own = self._own(name, match[2]) if match[2] else None
            target = match[1] or match[2]
            if own is not None:
                if own not in self._included_once:
                    lines += [self.text(own, depth + 1), f"// ---- {name}, continued"]
            elif target not in self._ignored:
                self.headers[target] = None
        return "\n".join(lines)

    def _own(self, name: str, target: str) -> str | None:
        beside = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
        return next((path for path in (beside, target) if path in self._files), None)


def flatten(
    files: Mapping[str, str],
    roots: Sequence[str],
    *,
    ignored: Sequence[str] = (),
    edit: Callable[[str], str] = lambda text: text,
) -> Flat:
    """The `roots` one after another, each with what it includes of `files`.

    `ignored` are headers to leave out altogether; `edit` changes the whole text. Conditions around
    an include of a header from outside are not looked at: such headers are all included first.
    """
    flattener = _Flattener(files, ignored)
    text = "\n".join(flattener.text(root) for root in roots)
    return Flat(edit(text), tuple(flattener.headers))
