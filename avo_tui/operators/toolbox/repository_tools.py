"""Tools for a task that is a repository: its files beside the candidate's, and a worktree."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from pydantic import Field

from avo_tui.domain.plain import safe
from avo_tui.operators.toolbox.errors import ToolError
from avo_tui.operators.toolbox.tool import tool
from avo_tui.operators.toolbox.workspace import Workspace
from avo_tui.patches import ChangeError, numbered
from avo_tui.worktree import MARK, read_change

_MOST_LISTED, _MOST_HITS, _MOST_BYTES = 300, 120, 2 << 20
_LINE = 240
_SEARCH_SECONDS = 20.0


def _tree(space: Workspace) -> Path:
    tree = Path(space.bench.reading.task.tree)
    if not tree.is_dir():
        raise ToolError(f"The base's files are not on this machine any more: {tree}.")
    return tree


def _protected(space: Workspace, folder: str) -> Iterator[str]:
    """Names of files that no candidate changes, as the base has them."""
    tree, seed = _tree(space), set(space.bench.reading.candidate(_first(space)).files)
    for inside, folders, names in os.walk(tree / folder):
        folders.sort()
        for name in sorted(names):
            path = (Path(inside) / name).relative_to(tree).as_posix()
            if path not in seed:
                yield path


def _first(space: Workspace) -> str:
    return space.bench.reading.versions()[0].candidate


def _below(name: str, folder: str) -> bool:
    return not folder or name == folder or name.startswith(f"{folder}/")


@tool("candidate")
async def list_files(
    space: Workspace,
    folder: str = Field(default="", description="Folder to list; the whole repository without."),
    editable_only: bool = Field(default=False, description="Only files that may be changed."),
) -> str:
    """List files of the repository: which may be changed, which you have changed. Of many, the
    folders."""
    folder = _folder(folder)
    mine, parent = space.working.files, space.parent.files
    rows = {
        name: f"{name}  {len(text.splitlines())} lines, editable"
        + ("" if parent.get(name) == text else ", changed")
        for name, text in mine.items()
        if _below(name, folder)
    }
    if not editable_only:
        rows |= {name: name for name in _protected(space, folder)}
    if not rows:
        raise ToolError(f"There is no file below {folder or 'the repository'}.")
    if len(rows) > _MOST_LISTED:
        depth = len(Path(folder).parts) + 1 if folder else 1
        counts = Counter("/".join(Path(name).parts[:depth]) for name in rows)
        lines = [f"{name}  {n} file{'s' if n > 1 else ''}" for name, n in sorted(counts.items())]
        head = f"{len(rows)} files; by folder, list_files folder=… shows one:"
        return "\n".join([head, *lines[:_MOST_LISTED]])
    return "\n".join(rows[name] for name in sorted(rows))


def _folder(text: str) -> str:
    folder = text.strip().strip("/").removeprefix("./")
    if ".." in Path(folder).parts:
        raise ToolError(f"{text!r} leads out of the repository.")
    return "" if folder == "." else folder


@tool("candidate")
async def search_files(
    space: Workspace,
    pattern: str = Field(min_length=1, description="Regular expression to find within a line."),
    folder: str = Field(default="", description="Only below this folder."),
    editable_only: bool = Field(default=False, description="Only files that may be changed."),
) -> str:
    """Find a regular expression in all files of the repository, the working candidate's as they
    are now."""
    try:
        wanted = re.compile(pattern)
    except re.error as error:
        raise ToolError(f"The pattern is no regular expression: {error}.") from None
    folder, end = _folder(folder), time.monotonic() + _SEARCH_SECONDS

    def found() -> Iterator[str]:
        texts = {name: text for name, text in space.working.files.items() if _below(name, folder)}
        for name, text in texts.items():
            yield from _hits(name, text, wanted)
        for name in () if editable_only else _protected(space, folder):
            if time.monotonic() > end:
                yield f"(stopped after {_SEARCH_SECONDS:g} s, at {name}: name a folder)"
                return
            if (own := _text(_tree(space) / name)) is not None:
                yield from _hits(name, own, wanted)

    hits = await asyncio.to_thread(lambda: list(islice(found(), _MOST_HITS + 1)))
    if not hits:
        return "Nothing was found."
    more = ["(more: narrow the pattern or the folder)"] if len(hits) > _MOST_HITS else []
    return safe("\n".join([*hits[:_MOST_HITS], *more]))


def _hits(name: str, text: str, pattern: re.Pattern[str]) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), start=1):
        if pattern.search(line):
            yield f"{name}:{number}: {line.strip()[:_LINE]}"


def _text(path: Path) -> str | None:
    """A file that is no candidate's; None for a link, and for what is binary or too long."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size > _MOST_BYTES:
        return None
    data = path.read_bytes()
    return None if b"\0" in data else data.decode(errors="replace")


@tool("candidate")
async def read_file(
    space: Workspace,
    file: str = Field(min_length=1, description="Path in the repository."),
    first_line: int = Field(default=1, ge=1, description="First line to read, from 1."),
    last_line: int | None = Field(
        default=None, ge=1, description="Last line; 400 lines are read without it."
    ),
) -> str:
    """Read a range of lines of any file of the repository, editable or not, with line numbers."""
    name = _folder(file)
    text: str | None = space.working.files.get(name)
    kind = "editable"
    if text is None:
        if not (path := _tree(space) / name).is_file():
            raise ToolError(f"There is no file {name!r}; list_files shows what there is.")
        if (text := _text(path)) is None:
            raise ToolError(f"{name} is a link, binary, or too long to be read.")
        kind = "stays as it is"
    total = len(text.splitlines())
    if first_line > max(total, 1):
        raise ToolError(f"{name} has {total} lines.")
    last = last_line or first_line + 399
    body = numbered(text, first_line, last)
    return safe(f"=== {name}, {total} lines, {kind}\n{body}")


@tool("candidate")
async def take_worktree(
    space: Workspace,
    folder: str = Field(min_length=1, description="The worktree's folder."),
) -> str:
    """Make the working candidate what stands in a worktree that `avo worktree` laid out and you
    edited with your own tools."""
    path = Path(folder)
    if not path.is_absolute():
        raise ToolError("Give the worktree's whole path: this runs in another folder than yours.")
    if not (path / MARK).is_file():
        raise ToolError(f"{path} is no worktree of avo; avo worktree NAME FOLDER makes one.")
    try:
        candidate = await asyncio.to_thread(read_change, path, space.bench.reading.task)
    except ChangeError as error:
        raise ToolError(f"{error}.") from None
    return space.change(candidate, f"Took the worktree {path.name}")
