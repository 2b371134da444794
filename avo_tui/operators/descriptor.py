"""What a variation operator says about itself before it is made: the face of a plug-in.

A package offers an operator by an entry point of the group `avo_tui.operators` that names an
`OperatorDescriptor`. The module of the descriptor is imported to list what there is, so it must
be light: what is heavy (a client, a model) is imported by `make`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from avo_tui.domain.records import OperatorTraits, RunSettings
from avo_tui.operators.ports import Operator

GROUP = "avo_tui.operators"


@dataclass(frozen=True)
class OptionInfo:
    """An option of a run that a person may set, when it is created and while it goes on."""

    name: str
    """As it is written, such as `agent.effort`."""
    default: str
    """The value it has where none is set; "" for none."""
    meaning: str
    """What it is, with its unit, in a sentence or two."""


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
    """One variation operator."""

    name: str
    """What `--operator` and the records say: lower-case letters, digits, `_` and `-`."""
    label: str
    """One line for a person who chooses: what it is, what it needs, what it costs."""
    make: Callable[[RunSettings], Operator]
    """The operator of a session. Raises ValueError with one sentence where it cannot be made,
    such as for a missing key; any other exception is reported as a fault of the operator."""
    unavailable: Callable[[], str | None] = _available
    """One sentence that says why it cannot be used here; None where it can. Must be quick."""
    accepts: Callable[[RunSettings], str | None] | None = None
    """One sentence that says why it cannot run with these settings; None where it can. Asked in
    the place of `unavailable` where a run is about to be made. Must be quick."""
    traits: OperatorTraits = field(default_factory=OperatorTraits)
    """What engine and screens must know of it; written into each new session."""
    offered: bool = True
    """Whether lists show it; one that is chosen by an option of its own is not."""
    preference: int = 0
    """Among those that are available, `auto` takes the one with the highest."""
    models: tuple[str, ...] = ()
    """Models that it may be run with, the default first; () where it has none."""
    estimate: Callable[[RunSettings], Sequence[str]] = _free
    """Sentences about what a run may cost, before the first request; () where it costs nothing."""
    options: Callable[[], Sequence[OptionInfo]] = _no_options
    """Options of its own, for `avo set`; an operator that lists them follows
    `bench.reading.settings` from one request or step to the next."""
    check: Callable[[RunSettings], None] = _unchecked
    """Raises ValueError with one sentence where an option of its own has a value that it cannot
    be run with. Must be quick and must not ask the network."""
