"""The macros that a launch manifest sets: for the compiler, and as names for its expressions."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from typing import Any

from avo_tui.domain.candidate import Candidate

_READ: Mapping[str, Callable[[str], Any]] = {
    "launch.toml": tomllib.loads,
    "launch.json": json.loads,
}


def with_macros(candidate: Candidate, values: Mapping[str, str]) -> tuple[Candidate, set[str]]:
    """The candidate with these values for those of the names that its manifest sets, wherever it
    sets them, and which names those are.

    Raises ValueError, with a sentence, for a macro whose place in the text was not found, or not
    told from another's.
    """
    files, in_manifest = dict(candidate.files), set[str]()
    for file, read in _READ.items():
        held = _tables(read, files.get(file, ""))
        for name in values:
            if not any(name in table for table in held):
                continue
            literal, before = _literal(values[name]), files[file]
            files[file] = _set(before, name, literal)
            now = [table[name] for table in _tables(read, files[file]) if name in table]
            missed = not now or any(value != json.loads(literal) for value in now)
            if missed or _without(read(before), name) != _without(read(files[file]), name):
                raise ValueError(f"{name} stands in {file} in a form that a sweep cannot set")
            in_manifest.add(name)
    return candidate.replaced(files=files), in_manifest


def _tables(read: Callable[[str], Any], text: str) -> list[dict[str, Any]]:
    """The tables of macros in a manifest, that of each variant too; none in one that is wrong."""
    try:
        manifest = read(text)
        parts = [manifest, *manifest.get("variants", [])]
        return [dict(part.get("macros", {})) for part in parts]
    except (ValueError, TypeError, AttributeError):
        return []


def _without(manifest: dict[str, Any], name: str) -> dict[str, Any]:
    for part in (manifest, *manifest.get("variants", [])):
        part.get("macros", {}).pop(name, None)
    return manifest


def _set(text: str, name: str, literal: str) -> str:
    assignment = re.compile(rf'((?<![\w."])"?{name}"?[ \t]*[=:][ \t]*)(?:"[^"\n]*"|[\w.+-]+)')
    return assignment.sub(lambda match: match[1] + literal, text)


def _literal(value: str) -> str:
    """The value as TOML and JSON write it: a number or a truth as it is, else quoted."""
    try:
        return str(int(value, 0))
    except ValueError:
        pass
    try:
        json.loads(value)
    except ValueError:
        return json.dumps(value)
    return value
