"""Which parts of what a sandbox shows are hidden in it again: the program itself, and its tasks.

A task's file holds its hidden cases. Where it is installed below a folder that compilers need, such
as /usr, a source could print it with `#include`, `#embed` or `.incbin`.
"""

# pathlib would take longer to import than the rest of the launcher
# ruff: noqa: PTH208

from __future__ import annotations

import os


def hidden_below(source: str, hidden: list[str]) -> list[str]:
    """Where the hidden paths appear when `source` is shown under its own name.

    `hidden` holds real paths. Both may reach one file by different names, because of links.
    """
    real = os.path.realpath(source)
    return [
        source + path[len(real) :] for path in hidden if path == real or path.startswith(real + "/")
    ]


def kept(read: list[str], hidden: list[str]) -> list[str]:
    """The readable paths that lie inside hidden ones, and were asked for by name."""
    real = {path: os.path.realpath(path) for path in read}
    return [p for p in read if any(real[p].startswith(h + "/") for h in hidden)]


def without(path: str, hidden: list[str]) -> list[str]:
    """Paths that together show what `path` shows, but nothing hidden.

    For Landlock, which can allow what lies below a folder, and cannot take a part of it away.
    """
    real = os.path.realpath(path)
    if real in hidden:
        return []
    if not any(h.startswith(real + "/") for h in hidden):
        return [path]
    return [shown for name in os.listdir(real) for shown in without(f"{real}/{name}", hidden)]
