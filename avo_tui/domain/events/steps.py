"""A step: the plan, the conversation, the tools and the edits of the variation operator."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from avo_tui.domain.base import ObjectId
from avo_tui.domain.events.base import EventBase
from avo_tui.domain.plain import Safe
from avo_tui.domain.records import Occupant, PlanItem, StepOutcomeName


class StepStarted(EventBase):
    kind: Literal["step_started"] = "step_started"
    parent: int
    command: str = ""
    """Id of the command that the step carries out; empty if the operator makes the step."""


class StepFinished(EventBase):
    kind: Literal["step_finished"] = "step_finished"
    outcome: StepOutcomeName
    reason: str = ""
    version: int | None = None


class PlanSet(EventBase):
    kind: Literal["plan_set"] = "plan_set"
    title: str
    items: tuple[PlanItem, ...] = ()


class AgentText(EventBase):
    """Text that the operator wrote, sent in pieces about every half second."""

    kind: Literal["agent_text"] = "agent_text"
    block: str
    """Pieces with the same number belong to one block of text."""
    text: str
    thinking: bool = False


class MessageRecorded(EventBase):
    """One complete message of the agent's conversation, stored as an object (JSON)."""

    kind: Literal["message_recorded"] = "message_recorded"
    role: Literal["system", "user", "assistant", "request"]
    ref: ObjectId
    summary: str = ""
    awaits_answer: bool = False
    """True while the model's answer to this message is awaited."""


class ModelStatusChanged(EventBase):
    """Optional features of requests to the model were switched off or on again."""

    kind: Literal["model_status_changed"] = "model_status_changed"
    degraded: tuple[str, ...] = ()
    """Features that are switched off for now, such as `cache`; empty when all are in use."""
    cause: str = ""
    """The error message of the model's endpoint."""


class ToolCalled(EventBase):
    kind: Literal["tool_called"] = "tool_called"
    call: str
    tool: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the tool; long values are cut, the recorded message contains them in full."""


class ToolProgressed(EventBase):
    """A tool that does several things one after the other began with the next of them."""

    kind: Literal["tool_progressed"] = "tool_progressed"
    call: str
    doing: Safe = ""
    """What it does now, such as `2 of 10: TILE=64`; empty where it has done all."""
    result: Safe = ""
    """What the one before gave, in a line: kept even if the call never returns."""


class ToolReturned(EventBase):
    kind: Literal["tool_returned"] = "tool_returned"
    call: str
    tool: str
    ok: bool
    summary: str = ""
    """First lines of the result."""
    ref: ObjectId | None = None
    """Id of the object with the whole result."""
    seconds: float = 0.0


class CandidateEdited(EventBase):
    """The working candidate changed."""

    kind: Literal["candidate_edited"] = "candidate_edited"
    candidate: ObjectId
    parent: int
    """Number of the version that the diff is against."""
    diff: str = ""
    """Unified diff against the parent; long diffs are cut."""
    added: int = 0
    removed: int = 0
    title: str = ""


class SeatTaken(EventBase):
    """An outside agent took the seat; it replaces any agent that had it."""

    kind: Literal["seat_taken"] = "seat_taken"
    occupant: Occupant


class SeatLeft(EventBase):
    """The outside agent left the seat; the step waits for another one."""

    kind: Literal["seat_left"] = "seat_left"
    why: str = ""
