"""The registry of actions: footer, command palette, help, key bindings and remapping feed on it.

A screen lists the actions it has; the app binds their keys under their ids (so that a keymap in
the settings can move them) and asks `why_not` before one runs: a disabled key says its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from textual.binding import Binding

Reason = str | None
"""None: may run. Otherwise one sentence why not."""


def always(screen: Any) -> Reason:
    """Enabled everywhere."""
    return None


@dataclass(frozen=True, slots=True)
class Action:
    """Something a person can do."""

    id: str
    """Names the method `do_<id>` of the screen, and the key in the settings."""
    key: str
    """Default key or keys, separated by commas, in Textual's spelling."""
    label: str
    """One or two words for the footer."""
    help: str
    """One sentence for help and palette."""
    group: str
    footer: int = 0
    """Rank in the footer, 1 first; 0 is not there."""
    why_not: Callable[[Any], Reason] = always
    argument: str = ""


def by_id(actions: Iterable[Action]) -> dict[str, Action]:
    """Index by id."""
    return {action.id: action for action in actions}


def bindings(actions: Iterable[Action]) -> list[Binding]:
    """Bindings for a screen class; `id` makes them remappable."""
    return [
        Binding(a.key, f"act('{a.id}')", a.label, id=a.id, show=a.footer > 0, tooltip=a.help)
        for a in actions
        if a.key
    ]


_NAMES = {
    "escape": "esc",
    "question_mark": "?",
    "slash": "/",
    "space": "space",
    "enter": "enter",
    "apostrophe": "'",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "tab": "tab",
    "plus": "+",
    "minus": "-",
    "equals_sign": "=",
    "comma": ",",
    "full_stop": ".",
    "left": "←",
    "right": "→",
    "up": "↑",
    "down": "↓",
}


def key_name(key: str) -> str:
    """A key as people write it: `^p`, `esc`, `?`."""
    first = key.split(",")[0].strip()
    if first.startswith("ctrl+"):
        return "^" + first[5:]
    if first.startswith("shift+"):
        return "⇧" + _NAMES.get(first[6:], first[6:])
    return _NAMES.get(first, first)


def shown_key(action: Action, keymap: Mapping[str, str]) -> str:
    """The key of an action as it is bound now."""
    return key_name(keymap.get(action.id, action.key))
