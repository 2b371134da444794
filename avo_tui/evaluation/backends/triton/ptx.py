"""PTX texts of several kernels as one module, so that one run launches all of them from one cubin.

Each compiled kernel is a module of its own; names that two of them share get the module's number.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_HEADER = re.compile(r"^[ \t]*\.(?:version|target|address_size)\b.*$", re.MULTILINE)
_LINES = re.compile(r"^[ \t]*\.(?:loc|file)\b.*$", re.MULTILINE)
_DEBUG = re.compile(r"^[ \t]*\.section[ \t]+\.debug_", re.MULTILINE)
_EXTERNAL = re.compile(r"^[ \t]*\.extern[ \t]+\.func\b[^;]*;", re.MULTILINE | re.DOTALL)
_VARIABLE = re.compile(
    r"^[ \t]*\.global\b(?:[ \t]+(?:\.\w+|\d+))*[ \t]+(?P<name>[A-Za-z_$][\w$]*)[^;{]*"
    r"(?:=[ \t]*(?:\{[^}]*\}|[^;{]*))?;",
    re.MULTILINE,
)
_SYMBOL = re.compile(
    r"^[ \t]*(?:\.(?:visible|extern|weak|common)[ \t]+)*"
    r"(?:\.(?:entry|func)[ \t]+(?:\([^)]*\)[ \t]*)?"
    r"|\.(?:global|shared|const)\b(?:[ \t]+(?:\.\w+|\d+))*[ \t]+)"
    r"(?P<name>[A-Za-z_$][\w$]*)",
    re.MULTILINE,
)


def _without_unread(text: str) -> str:
    """Without global variables that are named once, such as a flag that libdevice leaves behind."""
    for match in list(_VARIABLE.finditer(text)):
        if len(re.findall(rf"(?<![\w$%.]){re.escape(match['name'])}(?![\w$])", text)) == 1:
            text = text.replace(match[0], "", 1)
    return text


def merged(modules: Sequence[tuple[str, str]]) -> tuple[str, list[str]]:
    """(one PTX text, the kernel's symbol in it for each module); each module is (PTX, symbol).

    A single module is left as it is, with its line numbers. Variables that nothing reads are left
    out of all: a cubin with variables has to be loaded anew for each run.
    """
    if len(modules) == 1:
        return _without_unread(modules[0][0]), [modules[0][1]]
    header = "\n".join(_HEADER.findall(modules[0][0]))
    externals: dict[str, None] = {}
    bodies, symbols = [], []
    for number, (text, symbol) in enumerate(modules):
        debug = _DEBUG.search(text)
        text = _HEADER.sub("", _LINES.sub("", text[: debug.start()] if debug else text))
        externals.update(dict.fromkeys(m[0].strip() for m in _EXTERNAL.finditer(text)))
        text = _without_unread(_EXTERNAL.sub("", text))
        names = dict.fromkeys(m["name"] for m in _SYMBOL.finditer(text))
        for name in names:
            text = re.sub(rf"(?<![\w$%.]){re.escape(name)}(?![\w$])", f"{name}__{number}", text)
        bodies.append(text)
        symbols.append(f"{symbol}__{number}" if symbol in names else symbol)
    return "\n".join([header, *externals, *bodies]), symbols
