"""Hints of the form NAME=value, which pin tunables."""

from __future__ import annotations

import re
from collections.abc import Sequence

from avo_tui.domain.tunables import Tunable

_PART = re.compile(r"^\s*([A-Za-z_]\w*)\s*=\s*([^=]+?)\s*$")
_BETWEEN = re.compile(r"[,;\n]|\s+(?=[A-Za-z_]\w*\s*=)")


def read_hint(text: str, tunables: Sequence[Tunable]) -> tuple[dict[str, str], str]:
    """(pins, effect as text) of a person's hint.

    Nothing is pinned unless every part of the hint is understood.
    """
    known = {t.name.lower(): t for t in tunables}
    names = ", ".join(t.name for t in tunables) or "none"
    parts = [part for part in _BETWEEN.split(text) if part.strip()]
    matches = [_PART.match(part) for part in parts]
    if not parts or not all(matches):
        return {}, f"not understood by the tuner: write NAME=value; the tunables are {names}"
    pins: dict[str, str] = {}
    sentences: list[str] = []
    for match in matches:
        assert match is not None
        name, wanted = match.groups()
        tunable = known.get(name.lower())
        if tunable is None:
            return {}, f"{name} is not a tunable of this kernel; the tunables are {names}"
        choice = tunable.find(wanted)
        if choice is None:
            offered = ", ".join(str(c) for c in tunable.choices)
            return {}, f"{tunable.name} cannot be {wanted}; it may be {offered}"
        pins[tunable.name] = choice.token
        sentences.append(f"{tunable.name} is pinned to {choice}")
    return pins, "; ".join(sentences)
