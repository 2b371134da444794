"""What the agent asks of a model: one request, one streamed answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from avo_tui.domain.budget import Spend
from avo_tui.operators.agent.model.features import Features
from avo_tui.operators.agent.model.prices import Price

Block = dict[str, Any]
"""A content block or message of the Messages API, as JSON."""

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
    """True for a request beside the conversation: the server does not edit its context."""
    keep_results: int | None = None
    """Newest tool uses that the server leaves alone when it clears; None: it clears nothing."""
    schema: dict[str, Any] | None = None
    """JSON schema of the answer, where the endpoint can hold the model to one."""


@dataclass(frozen=True)
class Reply:
    """A complete answer."""

    content: list[Block]
    stop_reason: str
    usage: dict[str, Any] = field(default_factory=dict)
    model: str = ""
    id: str = ""
    stop_detail: str = ""
    """Why the model refused: category and explanation, where the server gives them."""
    broken: dict[str, str] = field(default_factory=dict)
    """Tool calls whose arguments were not valid JSON: id → what was sent."""


class Sink(Protocol):
    """What listens while an answer streams in."""

    def text(self, block: int, text: str, thinking: bool) -> None:
        """A piece of prose."""
        ...

    def arguments(self, characters: int) -> None:
        """A piece of a tool call's arguments: not shown, but paid for."""
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
    features: Features
    """Optional parts of the protocol, in use or suspended after the endpoint rejected them."""

    async def reply(self, request: Request, sink: Sink) -> Reply:
        """One answer, whole. Raises Fault; may be cancelled."""
        ...

    def spend(self, usage: Mapping[str, Any], model: str = "") -> Spend:
        """What an answer with this usage costs; `model` is the one that served it, if another."""
        ...

    def relative_price(self) -> Price:
        """Prices per token in units of one uncached input token."""
        ...

    def remarks(self) -> list[str]:
        """Sentences that the person should see before the first request."""
        ...

    def parameters(self) -> dict[str, Any]:
        """The parameters beside the messages, for the record."""
        ...

    def renew(self) -> str:
        """Read the credentials again, where they can change; what the person should do else."""
        ...

    async def close(self) -> None:
        """Give up its connections; it is not asked again."""
        ...

    @property
    def reviews(self) -> bool:
        """True where it can be asked things beside the conversation."""
        ...

    @property
    def checks_signatures(self) -> bool:
        """True where thinking without a signature is rejected when it is sent back."""
        ...
