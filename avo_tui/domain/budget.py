"""The limits on what a run may spend, what it has spent, and when a limit will be reached."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from avo_tui.domain.base import Value

BudgetUnit = Literal["usd", "tokens", "hours", "evaluations", "steps"]

SOFT_WARNING = 0.8
"""Fraction of a cap at which the person is warned that it is nearly used up."""


class Caps(Value):
    """Upper limits; None means no limit."""

    usd: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    tokens: int | None = Field(default=None, ge=0)
    hours: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Running hours; paused and parked time does not count."""
    evaluations: int | None = Field(default=None, ge=0)
    steps: int | None = Field(default=None, ge=0)


class Budget(Value):
    """Caps for the run, and for each step."""

    run: Caps = Caps()
    step: Caps = Caps()


class Spend(Value):
    """What has been used so far. Two values can be added with `+`."""

    usd: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    requests: int = 0
    evaluations: int = 0
    seconds: float = 0.0
    """Running seconds; paused and parked time does not count."""
    steps: int = 0

    @property
    def tokens(self) -> int:
        """All tokens that were billed, cached ones included."""
        return (
            self.input_tokens
            + self.output_tokens
            + self.cache_read_tokens
            + self.cache_write_tokens
        )

    def __add__(self, other: Spend) -> Spend:
        mine = self.model_dump()
        return self.replaced(**{k: mine[k] + value for k, value in other.model_dump().items()})

    def __sub__(self, other: Spend) -> Spend:
        mine = self.model_dump()
        return Spend(**{key: mine[key] - value for key, value in other.model_dump().items()})


def used(spend: Spend, unit: BudgetUnit) -> float:
    if unit == "hours":
        return spend.seconds / 3600
    return float(getattr(spend, unit))


UNITS: tuple[BudgetUnit, ...] = ("usd", "tokens", "hours", "evaluations", "steps")


class CapState(Value):
    unit: BudgetUnit
    cap: float
    used: float

    @property
    def fraction(self) -> float:
        """Used over cap; 1 for a cap of zero."""
        return self.used / self.cap if self.cap > 0 else 1.0

    @property
    def exhausted(self) -> bool:
        """True once the cap is used up."""
        return self.used >= self.cap

    @property
    def text(self) -> str:
        """`8 of 8 evaluations`, `$1.10 of $1.00`, `192 of 108 s of running`."""
        if self.unit == "usd":
            return f"${self.used:,.2f} of ${self.cap:,.2f}"
        if self.unit == "hours":
            sizes = ((3.0, 1.0, "h"), (0.05, 1 / 60, "min"), (0.0, 1 / 3600, "s"))
            size, word = next((s, w) for least, s, w in sizes if self.cap >= least)
            return f"{_rounded(self.used / size)} of {_rounded(self.cap / size)} {word} of running"
        return f"{_rounded(self.used)} of {_rounded(self.cap)} {self.unit}"


def _rounded(amount: float) -> str:
    """With one decimal where it is small, with commas where it is large."""
    return f"{amount:,.0f}" if amount >= 100 or amount == int(amount) else f"{amount:.1f}"


def cap_states(caps: Caps, spend: Spend) -> list[CapState]:
    states = []
    for unit in UNITS:
        cap = getattr(caps, unit)
        if cap is not None:
            states.append(CapState(unit=unit, cap=float(cap), used=used(spend, unit)))
    return states


def exhausted(caps: Caps, spend: Spend) -> CapState | None:
    """The first cap that is used up, if any."""
    return next((s for s in cap_states(caps, spend) if s.exhausted), None)


def nearest(caps: Caps, spend: Spend) -> CapState | None:
    """The cap of which the largest fraction is used; None if no cap is set."""
    return max(cap_states(caps, spend), key=lambda s: s.fraction, default=None)


def hours_left(state: CapState, spend: Spend) -> float | None:
    """Forecast of the running hours until a cap is reached; None if nothing has been used yet."""
    hours = spend.seconds / 3600
    if state.unit == "hours":
        return max(0.0, state.cap - state.used)
    if hours <= 0 or state.used <= 0:
        return None
    return max(0.0, (state.cap - state.used) / (state.used / hours))
