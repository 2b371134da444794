"""The session, its engine and its budget."""

from __future__ import annotations

from typing import Literal

from avo_tui.domain.base import Moment, ObjectId
from avo_tui.domain.budget import Budget, BudgetUnit, Spend
from avo_tui.domain.events.base import EventBase
from avo_tui.domain.records import EngineRecord, PauseMode, RunState, SessionRecord
from avo_tui.domain.run_settings import OptionValue


class SessionCreated(EventBase):
    kind: Literal["session_created"] = "session_created"
    session: SessionRecord


class EngineStarted(EventBase):
    kind: Literal["engine_started"] = "engine_started"
    engine: EngineRecord


class EngineStopped(EventBase):
    """The engine stopped in an orderly way."""

    kind: Literal["engine_stopped"] = "engine_stopped"
    state: RunState
    reason: str = ""


class Recovered(EventBase):
    """An engine was started after one that crashed or was killed; lists what it repaired."""

    kind: Literal["recovered"] = "recovered"
    actions: tuple[str, ...]


class StateChanged(EventBase):
    kind: Literal["state_changed"] = "state_changed"
    state: RunState
    reason: str = ""
    until: Moment | None = None
    """For `parked`: the time at which the run continues by itself."""
    pause_mode: PauseMode | None = None


class BudgetChanged(EventBase):
    kind: Literal["budget_changed"] = "budget_changed"
    budget: Budget


class OptionsChanged(EventBase):
    """The person changed options of the run; each applies from its next use."""

    kind: Literal["options_changed"] = "options_changed"
    options: dict[str, OptionValue | None]
    """Option name → new value; None restores the default."""


class BudgetWarned(EventBase):
    kind: Literal["budget_warned"] = "budget_warned"
    unit: BudgetUnit
    cap: float
    used: float
    exhausted: bool = False
    hours_left: float | None = None


class Spent(EventBase):
    """An amount that was used; it is added to the spend of the run and of the step."""

    kind: Literal["spent"] = "spent"
    spend: Spend


class TroubleNoted(EventBase):
    """A problem that the person should know of."""

    kind: Literal["trouble"] = "trouble"
    where: str
    message: str
    ref: ObjectId | None = None
