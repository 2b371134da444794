"""The descriptor of a variation operator: the interface of a plug-in.

A package offers an operator by an entry point in the group `avo_tui.operators` that names an
`OperatorDescriptor`. The module of the descriptor is imported whenever operators are listed, so it
must be quick to import; `make` imports what is slow to load, such as an API client.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from avo_tui.domain.run_settings import OperatorTraits, RunSettings
from avo_tui.operators.ports import Operator


@dataclass(frozen=True)
class OptionInfo:
    """An option of a run that a person may set, at its creation or later."""

    name: str
    """Name of the option, such as `agent.effort`."""
    default: str
    """The default value; empty if there is none."""
    meaning: str
    """Description of the option with its unit, in a sentence or two."""


def _no_options() -> Sequence[OptionInfo]:
    return ()


def _unchecked(settings: RunSettings) -> None:
    pass


def _available() -> str | None:
    return None


def _free(settings: RunSettings) -> Sequence[str]:
    return ()


@dataclass(frozen=True)
class OperatorDescriptor:
    """Describes one variation operator."""

    name: str
    """Name used with `--operator` and in the records: lower-case letters, digits, `_` and `-`."""
    label: str
    """One line that helps a person choose: what it is, what it needs, what it costs."""
    make: Callable[[RunSettings], Operator]
    """Creates the operator for a session. Raises ValueError, with one sentence, if that is
    impossible, for example because a key is missing; any other exception is reported as a bug of
    the operator."""
    unavailable: Callable[[], str | None] = _available
    """Returns one sentence on why the operator cannot be used on this machine; None if it can. Must
    be quick."""
    accepts: Callable[[RunSettings], str | None] | None = None
    """Returns one sentence on why the operator cannot run with these settings; None if it can.
    Called instead of `unavailable` before a run is created. Must be quick."""
    traits: OperatorTraits = field(default_factory=OperatorTraits)
    """What the engine and the screens must know about it; stored in each new session."""
    repositories: bool = True
    """Whether it can work on a repository; False for one that needs a kernel's source."""
    offered: bool = True
    """Whether lists show it; False for an operator that is selected by its own option."""
    preference: int = 0
    """Priority: `auto` selects the available operator with the highest one."""
    models: tuple[str, ...] = ()
    """Models that it may be run with, the default first; empty if it uses none."""
    estimate: Callable[[RunSettings], Sequence[str]] = _free
    """Returns sentences about the possible cost of a run, before the first request; empty if it is
    free."""
    options: Callable[[], Sequence[OptionInfo]] = _no_options
    """Options of its own, for `avo set`; an operator that lists them follows
    `bench.reading.settings` from one request or step to the next."""
    check: Callable[[RunSettings], None] = _unchecked
    """Raises ValueError with one sentence where an option of its own has a value that it cannot
    be run with. Must be quick and must not ask the network."""
