"""Computes the cost of a request from the API's usage, with prices of genai-prices or the
options."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from genai_prices import Usage, calc_price

from avo_tui.domain.base import Value
from avo_tui.domain.budget import Spend
from avo_tui.operators.agent.model.address import is_local
from avo_tui.operators.agent.settings import AgentSettings


class Tokens(Value):
    """Billed tokens of one sampling pass. `cache_write_1h` is included in `cache_write`."""

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
        return (
            tokens.input * self.input
            + tokens.output * self.output
            + tokens.cache_read * self.cache_read
            + (tokens.cache_write - tokens.cache_write_1h) * self.cache_write
            + tokens.cache_write_1h * max(self.cache_write, 2 * self.input)
        ) / 1_000_000


FREE = Price(input=0.0, output=0.0, cache_read=0.0, cache_write=0.0)
UNKNOWN = Price(input=10.0, output=50.0, cache_read=1.0, cache_write=12.5)
"""Price for a model without a known price: the most expensive tier, so that a cap is reached too
early rather than too late."""

MOST_TOKENS = 10_000_000
"""Largest believable token count in a usage; no model takes or produces that many at once."""


class Pricing:
    """The prices of one model at one endpoint."""

    def __init__(self, settings: AgentSettings, endpoint: str = "") -> None:
        """`endpoint` is its address: a model without a price is free on this machine or network."""
        self.model = settings.model
        self._own = _own_price(settings)
        self._local = self._own is None and not _listed(self.model) and is_local(endpoint)
        if self._local:
            self._own = FREE
        self.known = self._own is not None or _listed(self.model)

    @property
    def source(self) -> str:
        """Where the price comes from, as text for the person."""
        if self._local:
            return "none: the endpoint is on this machine or network, so its tokens cost nothing"
        if self._own is not None:
            return "the prices in the run's options"
        if self.known:
            return "genai-prices"
        return (
            f"a guess: no price of {self.model} is known, so it is counted at"
            f" ${UNKNOWN.input:g} in, ${UNKNOWN.output:g} out per million tokens;"
            " set price_input and price_output"
        )

    def relative(self) -> Price:
        """Prices per token, relative to an uncached input token, for comparing costs.

        Uses typical ratios if no price is known or everything is free, because the cache still
        saves time then.
        """
        million = 1_000_000
        one = self.cost(Tokens(input=million))
        if not self.known or one <= 0:
            return Price(input=1.0, output=5.0, cache_read=0.1, cache_write=1.25)
        return Price(
            input=1.0,
            output=self.cost(Tokens(output=million)) / one,
            cache_read=self.cost(Tokens(cache_read=million)) / one,
            cache_write=self.cost(Tokens(cache_write=million)) / one,
        )

    def cost(self, tokens: Tokens, model: str = "") -> float:
        """USD for these tokens, at the price of `model` if another model answered and has a
        price."""
        if self._own is not None:
            return self._own.cost(tokens)
        served = model if model and _listed(model) else self.model
        if not _listed(served):
            return UNKNOWN.cost(tokens)
        usage = Usage(
            input_tokens=tokens.input + tokens.cache_read + tokens.cache_write,
            output_tokens=tokens.output,
            cache_read_tokens=tokens.cache_read,
            cache_write_tokens=tokens.cache_write,
            cache_write_1h_tokens=tokens.cache_write_1h,
        )
        return float(calc_price(usage, plain_name(served), provider_id="anthropic").total_price)

    def spend(self, usage: Mapping[str, Any], model: str = "") -> Spend:
        """One request's spend, from the `usage` of its answer (an object of the Messages API)."""
        total = Spend(requests=1)
        for tokens, served in passes(usage):
            total = total + Spend(
                usd=self.cost(tokens, served or model),
                input_tokens=tokens.input,
                output_tokens=tokens.output,
                cache_read_tokens=tokens.cache_read,
                cache_write_tokens=tokens.cache_write,
            )
        return total


def passes(usage: Mapping[str, Any]) -> Iterator[tuple[Tokens, str]]:
    """The billed passes of one answer, each with the model that made it where the usage names one.

    They are the totals, and the iterations not included in them: `message` ones are, `compaction`
    ones are not. Where another model took over, each iteration has a price of its own.
    """
    iterations = _iterations(usage)
    if any(iteration.get("type") == "fallback_message" for iteration in iterations):
        for iteration in iterations:
            yield _tokens(iteration), str(iteration.get("model") or "")
        return
    yield _tokens(usage), ""
    for iteration in iterations:
        if iteration.get("type") == "compaction":
            yield _tokens(iteration), ""


def context_tokens(usage: Mapping[str, Any]) -> int:
    """Number of tokens of the conversation after this answer, as far as the usage says."""
    last: Mapping[str, Any] = usage
    for iteration in _iterations(usage):
        if iteration.get("type") in {"message", "fallback_message"}:
            last = iteration
    tokens = _tokens(last)
    return tokens.input + tokens.cache_read + tokens.cache_write + tokens.output


def believable(usage: Mapping[str, Any]) -> bool:
    """Whether every relevant count is a number of tokens that a model could have used.

    A usage without any tokens of input comes from a server that does not count, so it is not
    believed. (A recording has no usage at all.)
    """
    if usage and not any(_count(usage.get(name)) for name in _COUNTS if name != "output_tokens"):
        return False
    entries = [usage, *_iterations(usage)]
    return all(
        name not in entry or entry[name] is None or _count(entry[name]) is not None
        for entry in entries
        for name in _COUNTS
    ) and isinstance(usage.get("cache_creation") or {}, Mapping)


_COUNTS = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
)


def _iterations(usage: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    entries = usage.get("iterations")
    return [e for e in entries if isinstance(e, Mapping)] if isinstance(entries, list) else []


def _count(value: Any) -> int | None:
    """A count of tokens; None for a value that cannot be one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not math.isfinite(value) or not 0 <= value <= MOST_TOKENS:
        return None
    return int(value)


def _tokens(usage: Mapping[str, Any]) -> Tokens:
    creation = usage.get("cache_creation")
    hour = creation.get("ephemeral_1h_input_tokens") if isinstance(creation, Mapping) else 0
    written = _count(usage.get("cache_creation_input_tokens")) or 0
    return Tokens(
        input=_count(usage.get("input_tokens")) or 0,
        output=_count(usage.get("output_tokens")) or 0,
        cache_read=_count(usage.get("cache_read_input_tokens")) or 0,
        cache_write=written,
        cache_write_1h=min(written, _count(hour) or 0),
    )


def plain_name(model: str) -> str:
    """A model's own name in what clouds and gateways call it: `us.anthropic.NAME-v1:0`,
    `NAME@20251101`, `anthropic/NAME`."""
    name = re.sub(r"^(?:[a-z-]+\.)?anthropic\.", "", model.rpartition("/")[2])
    return re.sub(r"(?:-v\d+)?(?::\d+|@\w+)$", "", name)


@cache
def _listed(model: str) -> bool:
    try:
        usage = Usage(input_tokens=1, output_tokens=1)
        calc_price(usage, plain_name(model), provider_id="anthropic")
    except LookupError:
        return False
    return True


def _own_price(settings: AgentSettings) -> Price | None:
    """The price set by the options; missing parts are derived from the others or the list.

    None if no price is set. A price that is not set must never make its tokens free.
    """
    into, out = settings.price_input, settings.price_output
    read, write = settings.price_cache_read, settings.price_cache_write
    if into is None and out is None and read is None and write is None:
        return None
    usual = _listed_price(settings.model)
    given = usual.input if into is None else into
    if into is not None:
        usual = usual.replaced(cache_read=given * 0.1, cache_write=given * 1.25)
    return Price(
        input=given,
        output=usual.output if out is None else out,
        cache_read=usual.cache_read if read is None else read,
        cache_write=usual.cache_write if write is None else write,
    )


def _listed_price(model: str) -> Price:
    """The listed price of a model; the guess for a model that is not listed."""
    if not _listed(model):
        return UNKNOWN

    def of(**tokens: int) -> float:
        usage = Usage(**tokens)
        return float(calc_price(usage, plain_name(model), provider_id="anthropic").total_price)

    few = 1_000  # prices below the surcharge for long contexts
    return Price(
        input=of(input_tokens=few) * 1_000,
        output=of(output_tokens=few) * 1_000,
        cache_read=of(input_tokens=few, cache_read_tokens=few) * 1_000,
        cache_write=of(input_tokens=few, cache_write_tokens=few) * 1_000,
    )
