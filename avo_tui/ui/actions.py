"""Actions: each object holds an action's name, keys, condition and function.

A screen lists its actions once. Key bindings, footer, help, command palette and mouse all use that
list, so that they always agree. The functions of an action receive the object it works on (its
*context*: a screen, or parts of one).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from textual.binding import Binding

Reason = str | None
"""None if the action can run; otherwise one sentence that says why not."""
Context = TypeVar("Context", contravariant=True)
_C = TypeVar("_C")


def always(context: object) -> Reason:
    """The condition of an action that can always run."""
    return None


@dataclass(frozen=True)
class Action(Generic[Context]):
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
    run: Callable[[Context], object]
    """Function that carries out the action."""
    why_not: Callable[[Context], Reason] = always
    """Condition: whether the action can run now."""
    footer: int = 0
    """Rank in the footer, 1 first; 0 keeps it out of the footer."""
    quiet: bool = False
    """True to show no message if the action cannot run, because pressing the key is harmless."""
    label_now: Callable[[Context], str] | None = None
    """Label in the footer if it depends on the state, such as `pause` or `resume`."""


_Function = TypeVar("_Function", bound=Callable[..., object])


class Actions(list[Action[_C]]):
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
        why_not: Callable[[_C], Reason] = always,
        *,
        footer: int = 0,
        id: str = "",
        label: str = "",
        label_now: Callable[[_C], str] | None = None,
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


@dataclass(frozen=True, slots=True)
class BoundAction:
    """An action together with the object it works on."""

    id: str
    key: str
    label: str
    help: str
    group: str
    footer: int
    run: Callable[[], object]
    why_not: Callable[[], Reason]
    label_now: Callable[[], str]
    quiet: bool = False


class ActionSet:
    """The actions of one screen, in the order in which the help lists them."""

    def __init__(self, actions: Iterable[BoundAction]) -> None:
        self._by_id = {action.id: action for action in actions}

    def __iter__(self) -> Iterator[BoundAction]:
        return iter(self._by_id.values())

    def get(self, name: str) -> BoundAction | None:
        """The action with this id, if there is one."""
        return self._by_id.get(name)

    def in_footer(self) -> list[BoundAction]:
        """What the footer shows now: the actions that can run, by rank."""
        ranked = sorted((a for a in self if a.footer), key=lambda a: a.footer)
        return [a for a in ranked if a.why_not() is None]


def bind(actions: Iterable[Action[_C]], context: _C) -> ActionSet:
    """Give actions the object they work on."""

    def one(action: Action[_C]) -> BoundAction:
        label_now = action.label_now
        return BoundAction(
            action.id,
            action.key,
            action.label,
            action.help,
            action.group,
            action.footer,
            run=lambda: action.run(context),
            why_not=lambda: action.why_not(context),
            label_now=lambda: action.label if label_now is None else label_now(context),
            quiet=action.quiet,
        )

    return ActionSet(one(action) for action in actions)


def bindings(actions: Iterable[Action[_C]]) -> list[Binding]:
    """Bindings for the class of a screen; their `id` lets a keymap move them to other keys."""
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
    "colon": ":",
    "left": "←",
    "right": "→",
    "up": "↑",
    "down": "↓",
}


def key_name(key: str) -> str:
    """A key as it is shown to people: `^p`, `esc`, `?`. Of several keys, the first."""
    first = key.split(",")[0].strip()
    if first.startswith("ctrl+"):
        return "^" + first[5:]
    if first.startswith("shift+"):
        return "⇧" + _NAMES.get(first[6:], first[6:])
    return _NAMES.get(first, first)


def shown_key(action: BoundAction, keymap: Mapping[str, str]) -> str:
    """The key currently bound to an action; `keymap` holds the keys that were reassigned."""
    return key_name(keymap.get(action.id, action.key))
