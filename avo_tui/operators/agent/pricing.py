"""What a request costs: tokens from the API's usage, prices from genai-prices or our own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from genai_prices import Usage, calc_price

from avo_tui.domain.base import Value
from avo_tui.domain.budget import Spend
from avo_tui.operators.agent.settings import AgentSettings


class Tokens(Value):
    """Billed tokens of one sampling pass. `cache_write_1h` is a part of `cache_write`."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0


class Price(Value):
    """USD per million tokens."""

    input: float
    output: float
    cache_read: float
    cache_write: float

    def cost(self, tokens: Tokens) -> float:
        """USD for these tokens."""
        return (
            tokens.input * self.input
            + tokens.output * self.output
            + tokens.cache_read * self.cache_read
            + tokens.cache_write * self.cache_write
        ) / 1_000_000


UNKNOWN = Price(input=8.0, output=40.0, cache_read=0.8, cache_write=10.0)
"""For a model that nobody prices: that of the dearest tier, so that a cap errs on the safe side."""


class Pricing:
    """The prices that hold for one model."""

    def __init__(self, settings: AgentSettings) -> None:
        self.model = settings.model
        self._own = _own_price(settings)
        self.known = self._own is not None or _listed(self.model)

    @property
    def source(self) -> str:
        """Where the price is from, for the person."""
        if self._own is not None:
            return "the prices in the run's options"
        if self.known:
            return "genai-prices"
        return (
            f"a guess: no price of {self.model} is known, so it is counted at"
            f" ${UNKNOWN.input:g} in, ${UNKNOWN.output:g} out per million tokens;"
            " set price_input and price_output"
        )

    def cost(self, tokens: Tokens) -> float:
        """USD for these tokens."""
        if self._own is not None:
            return self._own.cost(tokens)
        if not self.known:
            return UNKNOWN.cost(tokens)
        usage = Usage(
            input_tokens=tokens.input + tokens.cache_read + tokens.cache_write,
            output_tokens=tokens.output,
            cache_read_tokens=tokens.cache_read,
            cache_write_tokens=tokens.cache_write,
            cache_write_1h_tokens=tokens.cache_write_1h,
        )
        return float(calc_price(usage, self.model, provider_id="anthropic").total_price)

    def spend(self, usage: Mapping[str, Any]) -> Spend:
        """One request's spend, from the `usage` of its answer (an object of the Messages API)."""
        total = Spend(requests=1)
        for tokens in passes(usage):
            total = total + Spend(
                usd=self.cost(tokens),
                input_tokens=tokens.input,
                output_tokens=tokens.output,
                cache_read_tokens=tokens.cache_read,
                cache_write_tokens=tokens.cache_write,
            )
        return total


def passes(usage: Mapping[str, Any]) -> Iterator[Tokens]:
    """The billed passes of one answer: its totals, and the iterations that the totals leave out.

    Iterations of kind `message` are in the totals; `compaction` ones are not.
    """
    yield _tokens(usage)
    for iteration in usage.get("iterations") or ():
        if iteration.get("type") == "compaction":
            yield _tokens(iteration)


def context_tokens(usage: Mapping[str, Any]) -> int:
    """Tokens that the conversation takes after this answer, as far as the usage tells."""
    last: Mapping[str, Any] = usage
    for iteration in usage.get("iterations") or ():
        if iteration.get("type") == "message":
            last = iteration
    tokens = _tokens(last)
    return tokens.input + tokens.cache_read + tokens.cache_write + tokens.output


def _tokens(usage: Mapping[str, Any]) -> Tokens:
    creation = usage.get("cache_creation") or {}
    return Tokens(
        input=int(usage.get("input_tokens") or 0),
        output=int(usage.get("output_tokens") or 0),
        cache_read=int(usage.get("cache_read_input_tokens") or 0),
        cache_write=int(usage.get("cache_creation_input_tokens") or 0),
        cache_write_1h=int(creation.get("ephemeral_1h_input_tokens") or 0),
    )


@cache
def _listed(model: str) -> bool:
    try:
        calc_price(Usage(input_tokens=1, output_tokens=1), model, provider_id="anthropic")
    except LookupError:
        return False
    return True


def _own_price(settings: AgentSettings) -> Price | None:
    if settings.price_input is None and settings.price_output is None:
        return None
    given = settings.price_input or 0.0
    read, write = settings.price_cache_read, settings.price_cache_write
    return Price(
        input=given,
        output=settings.price_output or 0.0,
        cache_read=given * 0.1 if read is None else read,
        cache_write=given * 1.25 if write is None else write,
    )
