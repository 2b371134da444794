"""The agent's settings, read from the run's settings."""

from __future__ import annotations

import json
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, field_validator

from avo_tui.domain.run_settings import RunSettings
from avo_tui.operators.settings import OperatorSettings
from avo_tui.operators.toolbox.tool import RESULT_LIMIT

DEFAULT_MODEL = "claude-opus-5-5"

Effort = Literal["low", "medium", "high", "xhigh", "max", "default"]
PREFIX = "agent."
"""Optional prefix of the option names, to distinguish them from those of other parts."""

ContextEditing = Literal["auto", "server", "local"]
Provider = Literal["anthropic", "bedrock", "vertex", "foundry"]


class AgentSettings(OperatorSettings):
    """All settings of the agent, by the names used in the run's options."""

    prefix: ClassVar[str] = PREFIX
    who: ClassVar[str] = "the agent"
    unlisted: ClassVar[frozenset[str]] = frozenset({"pace"})

    model: str = Field(default=DEFAULT_MODEL, pattern=r"\S")
    """The model that is asked, by the name that its endpoint knows it by."""
    provider: Provider = "anthropic"
    """Who serves the model: `anthropic` is any endpoint that speaks the Messages API."""
    base_url: str | None = None
    """Address of the endpoint; without one `ANTHROPIC_BASE_URL`, and else Anthropic's API."""
    api_key_file: str | None = None
    """A file with the API key; read again after the server refused the one before."""
    region: str | None = None
    """Bedrock and Vertex: the cloud's region; without one the cloud's own settings name it."""
    project: str | None = None
    """Vertex: the Google Cloud project."""
    resource: str | None = None
    """Foundry: the name of the Azure resource."""
    fallbacks: str = ""
    """Models that may answer where this one refuses, with commas between; `default` leaves the
    choice to the server; empty asks for none."""
    max_tokens: int = Field(default=32_000, ge=256)
    """Output tokens of one answer at most, thinking included."""
    effort: Effort = "high"
    """How much the model thinks and writes: low, medium, high, xhigh, max; `default` sends none."""
    thinking: Literal["adaptive", "budget", "off"] = "adaptive"
    """`adaptive`: the model decides how much; `budget` is for models that know no adaptive
    thinking; `off` sends nothing."""
    thinking_budget: int = Field(default=8_000, ge=1024)
    """Tokens of thinking, for `budget`."""
    display: Literal["summarized", "updates"] = "summarized"
    """What is shown of the thinking: a summary, or `updates`, only the short notes that newer
    models write between tool calls."""
    cache: bool = True
    """Mark the stable parts of each request for the prompt cache."""
    cache_ttl: Literal["auto", "5m", "1h"] = "auto"
    """How long the stable part stays in the prompt cache; `auto`: an hour where the API has it."""
    context_editing: ContextEditing = "auto"
    """Who takes old tool uses out of the context when the policy says so: `server` or we
    (`local`); `auto`: the server where it is known to do it."""
    clear_at: int = Field(default=100_000, ge=2_000)
    """Input tokens from which old tool uses must go; they go earlier where that is cheaper."""
    compact_at: int = Field(default=160_000, ge=3_000)
    """Input tokens from which the conversation is summarised."""
    keep_results: int = Field(default=8, ge=1)
    """Newest tool uses that clearing leaves alone."""
    result_limit: int = Field(default=RESULT_LIMIT, ge=500)
    """Characters of one tool result shown to the agent."""
    max_requests: int = Field(default=200, ge=1)
    """Requests of one step; then the step ends."""
    idle_limit: int = Field(default=4, ge=1)
    """Answers in a row without a tool call; then the step ends."""
    repeat_limit: int = Field(default=12, ge=2)
    """Answers in a row whose calls all failed, or repeated earlier ones with the same result, or
    failures in a row of one tool; then the step ends."""
    refusal_limit: int = Field(default=3, ge=1)
    """Refused answers in a row; then the step ends."""
    futile_limit: int = Field(default=4, ge=1)
    """Steps in a row in which the agent did no work at all; then the run pauses."""
    futile_wait: float = Field(default=15.0, ge=0)
    """Seconds of the wait after the first such step; four times as long after each further one."""
    carry_drafts: int = Field(default=3, ge=0)
    """Steps in a row that go on from the draft of the step before; 0 starts each at the parent."""
    breaker: int = Field(default=6, ge=2)
    """Faults in a row that waiting does not mend; then the run pauses for the person."""
    wait_first: float = Field(default=2.0, ge=0)
    """Seconds of the first wait after a fault without retry-after; doubled each time."""
    wait_longest: float = Field(default=300.0, ge=0)
    """Longest wait of our own; a server's retry-after is obeyed beyond it."""
    connect_timeout: float = Field(default=20.0, gt=0)
    """Seconds to connect."""
    read_timeout: float = Field(default=300.0, gt=0)
    """Seconds without a byte before a stream counts as dead."""
    progress_timeout: float = Field(default=900.0, gt=0)
    """Seconds without a new piece of the answer, whatever else the stream carries."""
    answer_timeout: float = Field(default=3600.0, gt=0)
    """Seconds of one answer from request to end."""
    price_input: float | None = Field(default=None, ge=0)
    """USD per million input tokens, for models that the price table does not know."""
    price_output: float | None = Field(default=None, ge=0)
    """USD per million output tokens, thinking included."""
    price_cache_read: float | None = Field(default=None, ge=0)
    """USD per million input tokens that are read from the prompt cache."""
    price_cache_write: float | None = Field(default=None, ge=0)
    """USD per million input tokens that are written to the prompt cache for five minutes."""
    extra_body: str = ""
    """A JSON object whose members are added to the body of each request, such as
    {"service_tier": "auto"}, for what this program has no option for."""
    pace: float = Field(default=400.0, gt=0)
    """Operator `recorded`: characters per second of the played text."""

    @field_validator("extra_body")
    @classmethod
    def _object(cls, value: str) -> str:
        try:
            valid = not value or isinstance(json.loads(value), dict)
        except (ValueError, RecursionError):
            valid = False
        if not valid:
            raise ValueError('it must be a JSON object, such as {"top_k": 20}')
        return value

    @classmethod
    def of(cls, settings: RunSettings) -> Self:
        """The agent's part of the run's settings; other options are ignored.

        Its options may also be written without the prefix. Raises ValueError, with one sentence
        that names the option.
        """
        options: dict[str, Any] = {}
        for name, value in sorted(settings.options.items(), key=lambda o: o[0].startswith(PREFIX)):
            own = name.removeprefix(PREFIX)
            if own in cls.model_fields or name.startswith(PREFIX):
                options[own] = value
        if settings.model and "model" not in options:
            options["model"] = settings.model
        return cls.checked(options)
