"""Estimates the cost of a run before the first request, as a range based on stated assumptions."""

from __future__ import annotations

from avo_tui.domain.base import Value
from avo_tui.domain.budget import UNITS
from avo_tui.domain.run_settings import RunSettings
from avo_tui.operators.agent.model.prices import Pricing, Tokens
from avo_tui.operators.agent.settings import AgentSettings


class Assumptions(Value):
    """Assumed properties of a step, used until one was measured."""

    requests: int
    context: int
    """Average number of tokens of the conversation; all but the newest are read from the cache."""
    fresh: int
    """New input tokens of each request: tool results, written to the cache."""
    output: int
    """Output tokens of each answer, thinking included."""


SHORT = Assumptions(requests=8, context=25_000, fresh=1_500, output=800)
LONG = Assumptions(requests=60, context=90_000, fresh=3_000, output=2_000)


class Estimate(Value):
    """Lower and upper estimate of the dollars and tokens of one step."""

    model: str
    usd: tuple[float, float]
    tokens: tuple[int, int]
    price_source: str
    price_known: bool

    def lines(self, settings: RunSettings) -> list[str]:
        """What to show before the first request."""
        low, high = self.usd
        few, many = self.tokens
        lines = [
            f"Model {self.model}; prices from {self.price_source}."
            if self.price_known
            else f"Model {self.model}; the price is {self.price_source}.",
            f"A step costs about ${low:.2f} to ${high:.2f} ({few:,} to {many:,} tokens, mostly from"
            f" the cache), if it takes {SHORT.requests} to {LONG.requests} requests. This is a"
            " guess from typical lengths; the screen shows what is really spent.",
        ]
        caps = [
            f"{getattr(c, unit):g} {unit} per {scope}"
            for scope, c in (("run", settings.budget.run), ("step", settings.budget.step))
            for unit in UNITS
            if getattr(c, unit) is not None
        ]
        if caps:
            lines.append("Caps: " + ", ".join(caps) + ".")
        else:
            lines.append("No cap is set: the run goes on until you stop it. --budget-usd sets one.")
        usd = settings.budget.run.usd
        if usd is not None and high > 0:
            steps = f"{max(0, int(usd / high))} to {int(usd / low)}" if low > 0 else "many"
            lines.append(f"${usd:g} is enough for about {steps} steps.")
        return lines


def estimate(settings: RunSettings) -> Estimate:
    """The estimate for a run. Raises ValueError for an option that is not valid."""
    own = AgentSettings.of(settings)
    pricing = Pricing(own)
    costs, tokens = [], []
    for guess in (SHORT, LONG):
        one = Tokens(
            input=guess.fresh // 10,
            output=guess.output,
            cache_read=guess.context if own.cache else 0,
            cache_write=guess.fresh,
        )
        if not own.cache:
            one = Tokens(input=guess.context + guess.fresh, output=guess.output)
        costs.append(pricing.cost(one) * guess.requests)
        sum_of_one = one.input + one.output + one.cache_read + one.cache_write
        tokens.append(sum_of_one * guess.requests)
    return Estimate(
        model=own.model,
        usd=(costs[0], costs[1]),
        tokens=(tokens[0], tokens[1]),
        price_source=pricing.source,
        price_known=pricing.known,
    )
