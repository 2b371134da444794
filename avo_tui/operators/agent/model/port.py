"""The interface of a model: one request, one streamed answer."""

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
    """One request to the model."""

    system: list[Block]
    tools: list[Block]
    messages: list[Block]
    max_tokens: int
    step: int = 0
    turn: int = 0
    """Number of answers that this conversation already contains."""
    plain: bool = False
    """True for a request outside the conversation, whose context the server must not edit."""
    keep_results: int | None = None
    """Number of newest tool uses that the server keeps when it clears; None: it does not clear."""
    previous: str = ""
    """Id of the answer before, if the conversation has only grown since."""
    schema: dict[str, Any] | None = None
    """JSON schema that the answer must follow, if the endpoint supports that."""


@dataclass(frozen=True)
class Reply:
    """A complete answer."""

    content: list[Block]
    stop_reason: str
    usage: dict[str, Any] = field(default_factory=dict)
    model: str = ""
    id: str = ""
    stop_detail: str = ""
    """Why the model refused: category and explanation, if the server sends them."""
    cache_miss: str = ""
    """Why the server could not read what was sent before from its prompt cache."""
    broken: dict[int, str] = field(default_factory=dict)
    """Tool calls whose arguments were not valid JSON: position in `content` → arguments as sent."""


class Sink(Protocol):
    """Receives the pieces of an answer while it is streamed."""

    def text(self, block: int, text: str, thinking: bool) -> None:
        """Receive a piece of text or thinking."""
        ...

    def arguments(self, characters: int) -> None:
        """Receive the length of a piece of a tool call's arguments: not shown, but paid for."""
        ...

    def end(self, block: int) -> None:
        """A content block is complete."""
        ...

    def usage(self, usage: Mapping[str, Any]) -> None:
        """Receive the usage so far; it replaces the previous one."""
        ...


class Model(Protocol):
    """A model that answers requests."""

    name: str
    features: Features
    """The optional features of the protocol, in use or suspended after the endpoint rejected
    them."""

    async def reply(self, request: Request, sink: Sink) -> Reply:
        """Send a request and return the complete answer. Raises Fault; may be cancelled."""
        ...

    def spend(self, usage: Mapping[str, Any], model: str = "") -> Spend:
        """Cost of an answer with this usage; `model` names the model that answered, if another
        did."""
        ...

    def relative_price(self) -> Price:
        """Prices per token, relative to an uncached input token."""
        ...

    def remarks(self) -> list[str]:
        """Sentences that the person should see before the first request."""
        ...

    def parameters(self) -> dict[str, Any]:
        """The parameters beside the messages, for the record."""
        ...

    def renew(self) -> str:
        """Reload the credentials if possible; otherwise returns what the person should do."""
        ...

    async def close(self) -> None:
        """Close the connections; the model is not used again."""
        ...

    @property
    def reviews(self) -> bool:
        """Whether it can be asked outside the conversation, for a review."""
        ...

    @property
    def checks_signatures(self) -> bool:
        """Whether thinking without a signature is rejected when it is sent back."""
        ...
