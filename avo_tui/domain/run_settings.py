"""How a session is run: operator, gate, budget, devices and options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from avo_tui.domain.base import Value
from avo_tui.domain.budget import Budget
from avo_tui.domain.gate_rules import GateName

PLUGIN_NAME = r"^[a-z][a-z0-9_-]*$"

OperatorName = Annotated[str, Field(max_length=40, pattern=PLUGIN_NAME)]
"""Name of a variation operator; `avo_tui.operators.registry` knows which ones exist."""
Level = Literal["nudge", "redirect", "stop_step", "restart"]
"""Kinds of intervention by the supervisor, from mild to strong."""
HintForm = Literal["text", "tunables", "none"]
"""Which hints an operator understands: any text, `NAME=value` for a tunable, or none at all."""


class OperatorTraits(Value):
    """What the engine and the screens need to know about a variation operator.

    Each session stores a copy in its settings, so that the session can be read on a machine where
    the operator is not installed.
    """

    title: str = "operator of variation"
    """Name of the operator on the screen, such as `tuner`."""
    steps_by_itself: bool = True
    """False where candidates come from outside and each becomes a step."""
    hints: HintForm = "text"
    ladder: tuple[Level, ...] = ("nudge", "redirect", "stop_step")
    """The kinds of intervention in the order in which the supervisor uses them; empty if it never
    intervenes."""
    stall_attempts: int = Field(default=8, ge=0)
    """Default for the number of attempts without a commit after which the supervisor intervenes."""
    recording: bool = False
    """True if the operator replays a recorded conversation; the screen says so."""


BEFORE_TRAITS: dict[OperatorName, OperatorTraits] = {
    "tuner": OperatorTraits(
        title="tuner", hints="tunables", ladder=("nudge", "restart"), stall_attempts=16
    ),
    "external": OperatorTraits(
        title="outside agent", steps_by_itself=False, hints="none", ladder=()
    ),
    "recorded": OperatorTraits(title="agent", recording=True),
    "agent": OperatorTraits(title="agent"),
}
"""Traits for sessions recorded before the field `traits` existed. Do not add entries."""


OptionValue = str | int | float | bool
"""The value of an option. A value that was typed is kept as text; the part that owns the option
parses it."""


class RunSettings(Value):
    """How a session is run. Chosen when it is created; its options can be changed later."""

    operator: OperatorName = "tuner"
    traits: OperatorTraits | None = None
    """Traits of the operator; None in old sessions. Use `operator_traits` to read them."""
    model: str | None = None
    gate: GateName = "strict"
    approve_commits: bool = False
    budget: Budget = Budget()
    origin: str | None = None
    """`SESSION:VERSION` that the first version was carried over from (transfer)."""
    random_seed: int = 0
    recording: str | None = None
    """For the operator `recorded`: the session or file whose conversation is replayed."""
    evaluator: str | None = None
    """URLs of the evaluators to measure on, separated by spaces; None means this machine."""
    devices: str | None = None
    """Devices to measure on, such as `0,1`; each measures one candidate at a time. None means only
    the first device."""
    options: dict[str, OptionValue] = Field(default_factory=dict)
    """Values of the options that were changed, such as limits of the supervisor or the agent's
    effort."""

    @property
    def operator_traits(self) -> OperatorTraits:
        """What the engine and the screens need to know of this session's operator."""
        return self.traits or BEFORE_TRAITS.get(self.operator, OperatorTraits())

    @property
    def model_option(self) -> str:
        """Name of the option that `model` stands for, such as `agent.model`."""
        return f"{self.operator}.model"

    def option(self, name: str) -> OptionValue | None:
        """The value of an option; None if it has its default."""
        if name == self.model_option and self.options.get(name) is None:
            return self.model
        return self.options.get(name)

    def with_options(self, changes: Mapping[str, OptionValue | None]) -> RunSettings:
        """A copy of these settings with some options changed; None restores an option's default."""
        options, model = dict(self.options), self.model
        for name, value in changes.items():
            options.pop(name, None)
            if name == self.model_option:
                model = None if value is None else str(value)
            elif value is not None:
                options[name] = value
        return self.replaced(options=options, model=model)
