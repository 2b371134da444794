"""A kernel that is exported as one source: its files as one text, and names as C has them.

The evaluation compiles the files as they are.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.task_static_checks import CPP_WORDS

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


_RESERVED = CPP_WORDS | {
    "alignas", "alignof", "constexpr", "nullptr", "restrict", "shape", "stream", "workspace",
}  # fmt: skip
"""Words of C and C++, and the parameters that the functions have beside the task's own."""


def c_name(name: str) -> str:
    """A name that C takes, such as `mha_forward` for `mha-forward`."""
    plain = re.sub(r"\W", "_", name, flags=re.ASCII) or "kernel"
    if plain[0].isdigit() or plain in _RESERVED:
        plain = f"{plain}_" if not plain[0].isdigit() else f"_{plain}"
    return plain


def c_string(text: str) -> str:
    escaped = "".join(
        chr(byte) if chr(byte).isalnum() and byte < 128 else f"\\{byte:03o}"
        for byte in text.encode()
    )
    return f'"{escaped}"'


def enumerator(function: str, configuration: str) -> str:
    """The name of a shape's number, such as `ATTENTION_CAUSAL_4K`."""
    return re.sub(r"\W", "_", f"{function}_{configuration}", flags=re.ASCII).upper()


def finder(configurations: Sequence[Configuration]) -> str:
    """Parameters of the function that looks a shape up: all of the task's, in order."""
    kinds = {bool: "int ", int: "int64_t ", float: "double ", str: "const char *"}
    first = configurations[0].parameters
    return ", ".join(f"{kinds[type(v)]}{c_name(n)}" for n, v in first.items()) or "void"


def parameter_lines(function: str, configurations: Sequence[Configuration]) -> str:
    """A Markdown list of shapes, each with its parameters."""
    return "\n".join(
        f"- `{enumerator(function, c.name)}`: "
        + ", ".join(f"{name}={value}" for name, value in c.parameters.items())
        for c in configurations
    )
