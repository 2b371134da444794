"""The settings of the operator `tuner`."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from avo_tui.operators.settings import OperatorSettings


class TunerSettings(OperatorSettings):
    """The options `tuner.…` of a run; a change holds from the next attempt on."""

    prefix: ClassVar[str] = "tuner."
    who: ClassVar[str] = "the tuner"

    attempts: int = Field(default=8, ge=1)
    """Proposals that are evaluated in one step, unless one of them is committed before."""
    boldness: int = Field(default=0, ge=0, le=8)
    """Tunables that each mutation changes beyond the usual one to three."""
    ask_gate_from: float = Field(default=0.995, ge=0.5, le=2)
    """Share of the best score from which a correct attempt is put to the gate, which measures
    more exactly than an evaluation does."""
    remembers: int = Field(default=1500, ge=20)
    """Newest attempts that the search learns from; takes effect when the engine starts."""
