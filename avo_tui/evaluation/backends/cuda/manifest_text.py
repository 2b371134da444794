"""Parses the launch manifest's text; reports position and reason of every error."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from avo_tui.domain.base import Value
from avo_tui.domain.candidate import Candidate
from avo_tui.evaluation.backends.cuda.manifest import Manifest

FILE_NAMES = ("launch.toml", "launch.json")

Path = tuple[str | int, ...]


class Issue(Value):
    """One error of the manifest."""

    path: str
    """Such as `stages[0].grid[1]`; empty where the text could not be read at all."""
    line: int | None
    reason: str


class ManifestError(ValueError):
    """The manifest is wrong. `issues` says where and why, first things first."""

    def __init__(self, issues: Sequence[Issue], file: str = FILE_NAMES[0]) -> None:
        self.issues = tuple(issues)
        self.file = file
        super().__init__("\n".join(self.lines()))

    def lines(self) -> list[str]:
        """One line per error: `launch.toml:7: stages[0].grid: …`."""
        messages = []
        for issue in self.issues:
            position = f"{self.file}:{issue.line}" if issue.line else self.file
            messages.append(f"{position}: {issue.path + ': ' if issue.path else ''}{issue.reason}")
        return messages


def file_of(candidate: Candidate) -> str:
    """The name of the candidate's manifest. Raises ManifestError where there is not exactly one."""
    names = [name for name in FILE_NAMES if name in candidate.files]
    if len(names) == 1:
        return names[0]
    reason = (
        "the candidate has no launch manifest; add launch.toml"
        if not names
        else "the candidate has both launch.toml and launch.json; keep one"
    )
    raise ManifestError([Issue(path="", line=None, reason=reason)])


def parse(text: str, file: str = FILE_NAMES[0]) -> Manifest:
    """The manifest in `text` (JSON where `file` ends so, else TOML). Raises ManifestError."""
    try:
        data: Any = json.loads(text) if file.endswith(".json") else tomllib.loads(text)
    except json.JSONDecodeError as error:
        raise ManifestError([Issue(path="", line=error.lineno, reason=error.msg)], file) from error
    except tomllib.TOMLDecodeError as error:
        match = re.search(r"line (\d+)", str(error))
        line = int(match[1]) if match else None
        raise ManifestError([Issue(path="", line=line, reason=str(error))], file) from error
    except RecursionError as error:
        reason = "is nested too deeply"
        raise ManifestError([Issue(path="", line=None, reason=reason)], file) from error
    try:
        return Manifest.model_validate(data)
    except ValidationError as error:
        raise ManifestError(_issues(error, text), file) from error


def _issues(error: ValidationError, text: str) -> list[Issue]:
    issues: list[Issue] = []
    seen: set[str] = set()
    for detail in error.errors(include_url=False):
        path = _clean(detail["loc"])
        name = dotted(path)
        reason = _reason(detail, path)
        # A union reports each of its members; the first says enough.
        if name in seen:
            continue
        seen.add(name)
        issues.append(Issue(path=name, line=line_of(text, path), reason=reason))
    return issues[:12]


def _reason(detail: Any, path: Path) -> str:
    kind, value = detail["type"], detail.get("input")
    if "macros" in path and kind in {"bool_type", "int_type", "float_type", "bool_parsing"}:
        return f"must be a number, true, false or one plain word (it is {value!r})"
    if kind in {"int_type", "int_parsing", "int_from_float"}:
        return f"must be an integer or an expression such as 'SEQ // 128' (it is {value!r})"
    if kind == "extra_forbidden":
        return "is not a field the manifest knows here"
    if kind == "missing":
        return "is missing"
    message = str(detail["msg"]).removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    shown = repr(value)
    if isinstance(value, str | int | float | bool) and len(shown) <= 80:
        return f"{message} (it is {shown})"
    return message


_UNION_TAGS = re.compile(r"^(int|float|str|bool|constrained-.*|function-.*|strict.*)$")


def _clean(location: tuple[str | int, ...]) -> Path:
    """The location without the names pydantic adds for the members of a union."""
    parts = list(location)
    while parts and isinstance(parts[-1], str) and _UNION_TAGS.match(parts[-1]):
        parts.pop()
    return tuple(p for p in parts if p != "[key]")


def dotted(path: Path) -> str:
    """`("stages", 0, "grid")` as `stages[0].grid`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f"{'.' if text else ''}{part}"
    return text


def undotted(name: str) -> Path:
    """The inverse of `dotted`."""
    return tuple(int(n) if n else w for w, n in re.findall(r"([^.\[\]]+)|\[(\d+)\]", name))


_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r'^\s*("[^"]*"|[A-Za-z0-9_.-]+(?:\s*\.\s*[A-Za-z0-9_-]+)*)\s*=')


def line_of(text: str, path: Path) -> int | None:
    """The line (from 1) of the longest part of `path` that TOML text names; None where none is.

    Tables written inline are found at the line of their key.
    """
    best: tuple[int, int] | None = None
    table: list[str | int] = []
    counts: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            table = list(_keys(header[2]))
            if header[1] == "[[":
                joined = ".".join(map(str, table))
                counts[joined] = counts.get(joined, -1) + 1
                table.append(counts[joined])
            here = tuple(_indexed(table, counts))
        elif key := _KEY.match(line):
            here = (*_indexed(table, counts), *_keys(key[1]))
        else:
            continue
        depth = _common(here, path)
        if depth == len(here) and (best is None or depth > best[0]):
            best = (depth, number)
    return best[1] if best and best[0] > 0 else None


def _keys(text: str) -> list[str]:
    return [part.strip().strip('"') for part in text.split(".")]


def _indexed(table: list[str | int], counts: dict[str, int]) -> list[str | int]:
    """`table` with the index of every array of tables it lies in."""
    indexed: list[str | int] = []
    names: list[str] = []
    for part in table:
        indexed.append(part)
        if isinstance(part, str):
            names.append(part)
            joined = ".".join(names)
            if joined in counts and len(names) < sum(isinstance(p, str) for p in table):
                indexed.append(counts[joined])
    return indexed


def _common(place: Sequence[str | int], path: Path) -> int:
    depth = 0
    for ours, theirs in zip(place, path, strict=False):
        if ours != theirs:
            break
        depth += 1
    return depth
