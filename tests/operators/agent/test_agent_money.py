"""Tokens and dollars: counted by the tool, checked by hand."""

import pytest

from avo_tui.domain.events import Spent
from avo_tui.operators.agent.model.prices import UNKNOWN, Pricing, Tokens, context_tokens
from avo_tui.operators.agent.settings import AgentSettings
from tests.loopback.server import Answer, Broken, Server, text, tool
from tests.operators.agent.helpers import step
from tests.operators.fake_workbench import FakeWorkbench

USAGE = {
    "input_tokens": 1_000,
    "output_tokens": 2_000,
    "cache_read_input_tokens": 30_000,
    "cache_creation_input_tokens": 4_000,
    "iterations": [
        {"type": "compaction", "input_tokens": 90_000, "output_tokens": 1_500,
         "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0},
        {"type": "message", "input_tokens": 1_000, "output_tokens": 2_000,
         "cache_read_input_tokens": 30_000, "cache_creation_input_tokens": 4_000},
    ],
}  # fmt: skip


def pricing(model: str = "claude-opus-5-5", **more: float) -> Pricing:
    return Pricing(AgentSettings.model_validate({"model": model, **more}))


def test_cache_and_compaction_tokens_are_counted() -> None:
    spend = pricing().spend(USAGE)
    assert spend.input_tokens == 91_000 and spend.output_tokens == 3_500
    assert (spend.cache_read_tokens, spend.cache_write_tokens) == (30_000, 4_000)
    assert spend.tokens == 128_500 and spend.requests == 1


def test_dollars_agree_with_a_count_by_hand() -> None:
    # claude-opus-5-5: $4 in, $20 out, $0.20 cache read, $5 cache write per million.
    by_hand = (91_000 * 4 + 3_500 * 20 + 30_000 * 0.2 + 4_000 * 5) / 1e6
    assert pricing().spend(USAGE).usd == pytest.approx(by_hand)


def test_a_longer_cache_costs_more() -> None:
    usage = {
        "input_tokens": 0,
        "output_tokens": 0,
        "cache_creation_input_tokens": 1_000_000,
        "cache_creation": {"ephemeral_1h_input_tokens": 1_000_000, "ephemeral_5m_input_tokens": 0},
    }
    assert pricing().spend(usage).usd == pytest.approx(8.0)
    del usage["cache_creation"]
    assert pricing().spend(usage).usd == pytest.approx(5.0)


def test_an_unknown_model_is_counted_dear_and_said_so() -> None:
    unknown = pricing("somebody-s-model-7b")
    assert not unknown.known and "guess" in unknown.source
    assert unknown.cost(Tokens(input=1_000_000)) == UNKNOWN.input
    assert pricing().known


def test_own_prices_come_first() -> None:
    own = pricing("somebody-s-model-7b", price_input=1.0, price_output=2.0)
    assert own.known
    tokens = Tokens(input=10**6, output=10**6, cache_read=10**6, cache_write=10**6)
    assert own.cost(tokens) == pytest.approx(1 + 2 + 0.1 + 1.25)
    assert pricing("local", price_input=0, price_output=0).cost(tokens) == 0


def test_the_context_is_measured_by_the_last_message_pass() -> None:
    assert context_tokens(USAGE) == 1_000 + 30_000 + 4_000 + 2_000


async def test_the_steps_spend_is_the_sum_of_its_answers() -> None:
    bench = FakeWorkbench()
    usage = USAGE
    script = [
        Answer([tool("list_versions")], usage=usage),
        Answer([tool("end_step", reason="that was enough")], usage=usage),
    ]
    async with Server(script) as server:
        await step(bench, server, model="claude-opus-5-5")
    spend = bench.state.session.spend
    assert spend.requests == 2 and spend.tokens == 2 * 128_500
    by_hand = 2 * (91_000 * 4 + 3_500 * 20 + 30_000 * 0.2 + 4_000 * 5) / 1e6
    assert spend.usd == pytest.approx(by_hand)
    assert bench.state.steps[1].spend == spend


def test_settings_are_read_from_the_runs_options() -> None:
    from avo_tui.domain.run_settings import RunSettings

    run = RunSettings(model="m", options={"effort": "low", "supervisor.attempts": 3})
    assert (AgentSettings.of(run).model, AgentSettings.of(run).effort) == ("m", "low")
    run = RunSettings(options={"agent.effort": "max", "agent.clear_at": 50_000})
    assert (AgentSettings.of(run).effort, AgentSettings.of(run).clear_at) == ("max", 50_000)
    with pytest.raises(
        ValueError, match=r"no option 'efort'; it has agent\.model, agent\.provider"
    ):
        AgentSettings.of(RunSettings(options={"agent.efort": "max"}))
    with pytest.raises(ValueError, match=r"option agent\.effort"):
        AgentSettings.of(RunSettings(options={"effort": "sometimes"}))


async def test_the_input_is_paid_for_as_soon_as_an_answer_begins() -> None:
    """An engine that is killed in mid-answer never sees its end, and has to pay for it."""
    bench = FakeWorkbench()
    usage = {"input_tokens": 50_000, "cache_read_input_tokens": 7_000, "output_tokens": 900}
    answer = Answer([text("word " * 30), tool("end_step", reason="that was all")], usage=usage)
    async with Server([answer]) as server:
        await step(bench, server, price_input=4.0, price_output=20.0, price_cache_read=0.4)
    kinds = [e.kind for e in bench.journal]
    answered = next(i for i, e in enumerate(bench.journal) if getattr(e, "role", "") == "assistant")
    assert kinds.index("spent") < kinds.index("agent_text") < answered
    first, rest = [e.spend for e in bench.of(Spent) if e.spend.tokens]
    assert (first.input_tokens, first.cache_read_tokens, first.requests) == (50_000, 7_000, 1)
    assert (rest.input_tokens, rest.cache_read_tokens, rest.requests) == (0, 0, 0)
    assert first.output_tokens + rest.output_tokens == 900
    by_hand = (50_000 * 4 + 900 * 20 + 7_000 * 0.4) / 1e6
    assert first.usd + rest.usd == pytest.approx(by_hand)


async def test_an_answer_that_breaks_off_is_counted_once() -> None:
    bench = FakeWorkbench()
    cut = Broken("reset", Answer([text("word " * 80)], usage={"input_tokens": 3_000}), events=6)
    end = Answer([tool("end_step", reason="that was all")], usage={"input_tokens": 4_000})
    async with Server([cut, end]) as server:
        await step(bench, server)
    assert bench.state.session.spend.input_tokens == 7_000
    assert bench.state.session.spend.requests == 2
