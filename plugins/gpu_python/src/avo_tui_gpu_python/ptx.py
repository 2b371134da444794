"""PTX texts as one, so that one run launches kernels of all of them from one cubin.

Two texts may use one name for different things; where there are several, each name gets the number
of its text.
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


def merged(texts: Sequence[str]) -> tuple[str, list[dict[str, str]]]:
    """(one PTX text, for each of `texts` how its symbols are called in it where they changed).

    A single text is left as it is, with its line numbers. Variables that nothing reads are left
    out of all: a cubin with variables has to be loaded anew for each run.
    """
    if len(texts) == 1:
        return _without_unread(texts[0]), [{}]
    header = "\n".join(_HEADER.findall(texts[0]))
    externals: dict[str, None] = {}
    bodies, renamed = [], []
    for number, text in enumerate(texts):
        debug = _DEBUG.search(text)
        text = _HEADER.sub("", _LINES.sub("", text[: debug.start()] if debug else text))
        externals.update(dict.fromkeys(m[0].strip() for m in _EXTERNAL.finditer(text)))
        text = _without_unread(_EXTERNAL.sub("", text))
        names = {m["name"]: f"{m['name']}__{number}" for m in _SYMBOL.finditer(text)}
        for name, unique in names.items():
            text = re.sub(rf"(?<![\w$%.]){re.escape(name)}(?![\w$])", unique, text)
        bodies.append(text)
        renamed.append(names)
    return "\n".join([header, *externals, *bodies]), renamed
