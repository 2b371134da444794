"""The way to a model: one request, one streamed answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from avo_tui.domain.budget import Spend
from avo_tui.operators.agent.faults import Fault

Block = dict[str, Any]
"""A content block of the Messages API, as JSON."""

NO_KEY = (
    "No credentials for the model: set ANTHROPIC_API_KEY (or ANTHROPIC_AUTH_TOKEN), and"
    " ANTHROPIC_BASE_URL for another endpoint. The tuner (--operator tuner) and the recorded"
    " demonstration (avo demo --agent) need none."
)


@dataclass(frozen=True)
class Request:
    """What the model is asked."""

    system: list[Block]
    tools: list[Block]
    messages: list[Block]
    max_tokens: int
    step: int = 0
    turn: int = 0
    """Answers that this conversation already holds."""
    plain: bool = False
    """True for a request beside the conversation: no context management."""


@dataclass(frozen=True)
class Reply:
    """A complete answer."""

    content: list[Block]
    stop_reason: str
    usage: dict[str, Any] = field(default_factory=dict)
    model: str = ""
    id: str = ""
    stop_detail: str = ""
    broken: dict[str, str] = field(default_factory=dict)
    """Tool calls whose arguments were not valid JSON: id → what was sent."""


class Sink(Protocol):
    """What listens while an answer streams in."""

    def text(self, block: int, text: str, thinking: bool) -> None:
        """A piece of prose."""
        ...

    def end(self, block: int) -> None:
        """A content block is complete."""
        ...

    def usage(self, usage: Mapping[str, Any]) -> None:
        """The usage as known so far; the latest counts."""
        ...


class Model(Protocol):
    """Something that answers."""

    name: str

    async def reply(self, request: Request, sink: Sink) -> Reply:
        """One answer, whole. Raises Fault; may be cancelled."""
        ...

    def spend(self, usage: Mapping[str, Any]) -> Spend:
        """What an answer with this usage costs."""
        ...

    def remarks(self) -> list[str]:
        """Sentences that the person should see before the first request."""
        ...

    def do_without(self, fault: Fault) -> str | None:
        """Give up an optional feature that the endpoint rejects; None if none is left."""
        ...

    def parameters(self) -> dict[str, Any]:
        """The parameters beside the messages, for the record."""
        ...

    @property
    def edits_context(self) -> bool:
        """True where the server clears and compacts the context by itself."""
        ...

    @property
    def reviews(self) -> bool:
        """True where it can be asked things beside the conversation."""
        ...
