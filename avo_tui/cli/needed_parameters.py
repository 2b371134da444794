"""The program with the parameters of one command: what a call needs of sixty commands.

typer reads the signatures of all commands before it looks at which one is called, a third of the
time of `avo --help`. In `only`'s result the other commands are names and help.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import typer
from typer.models import CommandInfo, TyperInfo


def only(app: typer.Typer, chosen: str | None) -> typer.Typer:
    """A copy of `app` in which the command or group `chosen` is whole; with None, none is.

    Its help and its messages are those of `app`.
    """
    copied = copy.copy(app)
    copied.registered_commands = [
        info if _name(info) == chosen else _without_parameters(info)
        for info in app.registered_commands
    ]
    copied.registered_groups = [
        info if info.name == chosen else _without_commands(info) for info in app.registered_groups
    ]
    return copied


def _name(info: CommandInfo) -> str:
    if info.name or info.callback is None:
        return info.name or ""
    return info.callback.__name__.lower().replace("_", "-")


def _without_parameters(info: CommandInfo) -> CommandInfo:
    assert info.callback is not None, "typer's decorator sets it"
    copied = copy.copy(info)
    copied.callback = _stand_in(info.callback)
    return copied


def _without_commands(info: TyperInfo) -> TyperInfo:
    copied = copy.copy(info)
    assert info.typer_instance is not None, "add_typer sets it"
    copied.typer_instance = only(info.typer_instance, None)
    return copied


def _stand_in(command: Callable[..., Any]) -> Callable[[], None]:
    def stand_in() -> None:
        raise RuntimeError(f"{command.__name__} was called without its parameters")

    stand_in.__name__, stand_in.__doc__ = command.__name__, command.__doc__
    return stand_in
