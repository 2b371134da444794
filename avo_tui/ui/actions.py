"""Actions: each object holds an action's name, keys, condition and function.

A screen lists its actions once. Key bindings, footer, help, command palette and mouse all use that
list, so that they always agree. The functions of an action receive the screen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from textual.binding import Binding
from textual.keys import format_key

Reason = str | None
"""None if the action can run; otherwise one sentence that says why not."""
S = TypeVar("S")
"""The class of the screen."""


def always(screen: object) -> Reason:
    return None


@dataclass(frozen=True)
class Action(Generic[S]):
    """Something a person can do on a screen."""

    id: str
    """Name of the action; settings use it to assign another key."""
    key: str
    """Default key or keys, separated by commas, in Textual's spelling."""
    label: str
    """Label of one to three words, for footer and palette."""
    help: str
    """Description in one sentence, for help and palette."""
    group: str
    """The heading under which the help lists it."""
    run: Callable[[S], object]
    """Function that carries out the action."""
    why_not: Callable[[S], Reason] = always
    """Condition: whether the action can run now."""
    footer: int = 0
    """Rank in the footer, 1 first; 0 keeps it out of the footer."""
    quiet: bool = False
    """True to show no message if the action cannot run, because pressing the key is harmless."""
    label_now: Callable[[S], str] | None = None
    """Label in the footer if it depends on the state, such as `pause` or `resume`."""


_Function = TypeVar("_Function", bound=Callable[..., object])


class Actions(list[Action[S]]):
    """The actions of one group of a screen, in the order in which the help lists them.

    A group is a decorator: it makes an action of a function. The action's id is the function's
    name, unless `id` gives another; its label is the id in words, unless `label` gives another.
    """

    def __init__(self, group: str) -> None:
        super().__init__()
        self._group = group

    def __call__(
        self,
        key: str,
        help: str,
        why_not: Callable[[S], Reason] = always,
        *,
        footer: int = 0,
        id: str = "",
        label: str = "",
        label_now: Callable[[S], str] | None = None,
        quiet: bool = False,
    ) -> Callable[[_Function], _Function]:
        """Parameters as the fields of `Action`."""

        def add(function: _Function) -> _Function:
            name = id or function.__name__.strip("_")
            words = label or name.replace("_", " ")
            self.append(
                Action(
                    name, key, words, help, self._group, function, why_not, footer, quiet, label_now
                )
            )
            return function

        return add


def bindings(actions: Iterable[Action[Any]]) -> list[Binding]:
    """Bindings for the class of a screen; their `id` lets a keymap move them to other keys."""
    return [
        Binding(a.key, f"act('{a.id}')", a.label, id=a.id, show=a.footer > 0, tooltip=a.help)
        for a in actions
        if a.key
    ]


def key_name(key: str) -> str:
    """A key as it is shown to people: `^p`, `esc`, `?`. Of several keys, the first."""
    modifier, _, name = key.split(",")[0].strip().rpartition("+")
    sign = {"ctrl": "^", "shift": "⇧"}.get(modifier, "")
    return sign + (name if name in {"enter", "delete"} else format_key(name))


def shown_key(action: Action[Any], keymap: Mapping[str, str]) -> str:
    """The key currently bound to an action; `keymap` holds the keys that were reassigned."""
    return key_name(keymap.get(action.id, action.key))
