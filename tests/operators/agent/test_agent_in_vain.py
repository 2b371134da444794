"""What a model does in vain, and what does not fit: repeats, small windows, lost reviews."""

import json
from typing import Any

import pytest

from avo_tui.domain.events import SupervisorIntervened
from avo_tui.operators.agent.model.bounds import ENOUGH_OUTPUT, shorter
from tests.loopback.server import Answer, Behaviour, Broken, Server, Status, text, tool
from tests.operators.agent.helpers import last_user, step, work
from tests.operators.agent.test_agent_steering import intervention
from tests.operators.agent.test_agent_unattended import steps
from tests.operators.fake_workbench import FakeWorkbench
from tests.operators.toy_task import source


@pytest.mark.parametrize("name", ["no_such_tool", "read_candidate"])
async def test_calls_that_bring_nothing_new_end_the_step(name: str) -> None:
    bench = FakeWorkbench()
    async with Server(lambda n, body: Answer([tool(name)])) as server:
        outcome = await step(bench, server, repeat_limit=6)
    assert outcome.outcome == "nothing" and "repeated earlier ones" in outcome.reason
    assert len(server.requests) == 6 + (name == "read_candidate"), "the first reading was new"
    said = [b["text"] for b in last_user(server.requests[-1]) if b["type"] == "text"]
    everything = json.dumps(server.requests[-1]["messages"])
    assert not said and everything.count("brought nothing new") == 1


async def test_a_tool_that_always_fails_is_no_work_whatever_its_arguments_are() -> None:
    """Also where each answer reads something new besides."""
    bench = FakeWorkbench()

    def answer(n: int, body: object) -> Behaviour:
        note = tool("remember", category="idea", text=f"idea number {n} of many")
        return Answer([tool("replace_text", old=f"never there {n}", new="x"), note])

    async with Server(answer) as server:
        outcome = await step(bench, server, repeat_limit=6)
    assert outcome.outcome == "nothing" and "replace_text failed 6 times in a row" in outcome.reason
    assert len(server.requests) == 6
    everything = json.dumps(server.requests[-1]["messages"])
    assert everything.count("replace_text has failed 3 times in a row") == 1


async def test_a_tool_that_works_now_and_then_does_not_end_the_step() -> None:
    bench = FakeWorkbench()

    def answer(n: int, body: object) -> Behaviour:
        if n == 20:
            return Answer([tool("end_step", reason="that is all there is")])
        note = tool("remember", category="idea", text=f"idea number {n} of many")
        there = ("tile = 16", "tile = 32") if n % 8 < 4 else ("tile = 32", "tile = 16")
        old, new = there if n % 4 == 0 else (f"never there {n}", "x")
        return Answer([tool("replace_text", old=old, new=new), note])

    async with Server(answer) as server:
        outcome = await step(bench, server, repeat_limit=6)
    assert "that is all" in outcome.reason, outcome


async def test_the_count_of_repeats_outlasts_a_restart() -> None:
    bench = FakeWorkbench()
    bench.on_boundary = lambda place: bench.end("stopped", "x") if "request 5" in place else None
    async with Server(lambda n, body: Answer([tool("list_versions")])) as server:
        with pytest.raises(Exception, match="x"):
            await step(bench, server, repeat_limit=6)
        again = FakeWorkbench(journal=bench.journal, objects=bench.objects)
        outcome = await step(again, server, repeat_limit=6)
    assert "repeated" in outcome.reason and len(server.requests) == 7


async def test_something_new_in_between_begins_the_count_again() -> None:
    bench = FakeWorkbench()

    def answer(n: int, body: object) -> Behaviour:
        if n == 20:
            return Answer([tool("end_step", reason="that is all there is")])
        look = [tool("list_versions")]
        return Answer([*look, tool("read_version", version=0)] if n == 4 else look)

    async with Server(answer) as server:
        outcome = await step(bench, server, repeat_limit=6)
    assert "repeated" in outcome.reason and len(server.requests) == 11


@pytest.mark.parametrize("name", ["write_file", "compile", "remember"])
async def test_steps_that_only_edit_or_only_compile_the_parent_are_no_work(name: str) -> None:
    """Else a model that does so and ends would begin steps as fast as it answers."""
    bench = FakeWorkbench()

    def answer(n: int, body: object) -> Behaviour:
        given: dict[str, dict[str, str]] = {
            "write_file": {"file": "kernel.cpp", "text": source(0.9, f"// {n}\n")},
            "remember": {"category": "idea", "text": f"idea {n}"},
        }
        act = tool(name, **given.get(name, {}))
        return Answer([act, tool("end_step", reason="I leave it at that")])

    async with Server(answer) as server:
        await steps(bench, server, 4, futile_limit=4, futile_wait=15)
    assert [s for s, _ in bench.parked] == [15, 60, 240] and len(bench.paused) == 1


async def test_benchmarks_are_work() -> None:
    bench = FakeWorkbench()
    end = "it is as fast as before"
    script = [Answer([tool("bench"), tool("end_step", reason=end)]) for _ in range(3)]
    async with Server(script) as server:
        await steps(bench, server, 3)
    assert not bench.parked


# -- what does not fit


def is_summary(body: dict[str, Any]) -> bool:
    return "replaced by a summary that you write now" in str(body["messages"][-1])


async def test_an_opening_that_fills_the_limit_is_not_summarised_again_and_again() -> None:
    bench, script = FakeWorkbench(), work()

    def answer(n: int, body: dict[str, Any]) -> Behaviour:
        return Answer([text("so far")]) if is_summary(body) else script.pop(0)

    async with Server(answer) as server:
        outcome = await step(bench, server, compact_at=3_000, clear_at=2_000)
    assert outcome.outcome == "committed"
    assert not any(is_summary(body) for body in server.requests)


async def test_a_summary_far_longer_than_asked_for_is_cut() -> None:
    bench, script = FakeWorkbench(), work()
    aloud = [text("I think aloud. " * 4_000), tool("list_versions")]
    script.insert(1, Answer(aloud, usage={"input_tokens": 25_000}))

    def answer(n: int, body: dict[str, Any]) -> Behaviour:
        return Answer([text("word " * 40_000)]) if is_summary(body) else script.pop(0)

    async with Server(answer) as server:
        outcome = await step(bench, server, compact_at=20_000, clear_at=19_000)
    assert outcome.outcome == "committed"
    assert sum(is_summary(body) for body in server.requests) == 1
    assert len(str(server.requests[-1]["messages"])) < 60_000


VLLM = (
    "This model's maximum context length is {window} tokens. However, you requested {now} output"
    " tokens and your prompt contains at least {used} input tokens, for a total of at least {all}"
    " tokens. Please reduce the length of the input prompt or the number of output tokens."
)
OLDER = (
    "This model's maximum context length is {window} tokens. However, you requested {all} tokens"
    " ({used} in the messages, {now} in the completion). Please reduce the length of the messages"
    " or completion."
)
API = "input length and `max_tokens` exceed context limit: {used} + {now} > {window}, decrease it"


@pytest.mark.parametrize("message", [VLLM, OLDER, API])
@pytest.mark.parametrize(
    ("window", "used", "can_clear", "lower"),
    [
        (32_768, 12_000, False, 10_384),  # half of what fits beside the input
        (32_768, 20_000, True, ENOUGH_OUTPUT),
        (32_768, 28_000, True, None),  # too little fits: the conversation is cleared
        (32_768, 28_000, False, 4_768),  # nothing to clear
        (8_192, 9_000, False, None),
    ],
)
def test_an_answer_is_shortened_to_what_fits(
    message: str, window: int, used: int, can_clear: bool, lower: int | None
) -> None:
    words = message.format(window=window, used=used, now=32_000, all=used + 32_000)
    assert shorter(words, 32_000, can_clear) == lower


async def test_a_server_with_a_small_window_is_asked_for_what_fits() -> None:
    """The default of 32,000 output tokens leaves no room in a window of 32,768."""
    bench, script = FakeWorkbench(), work()

    def answer(n: int, body: dict[str, Any]) -> Behaviour:
        if body["max_tokens"] + 12_000 > 32_768:
            words = VLLM.format(window=32_768, now=body["max_tokens"], used=12_000, all=44_000)
            return Status(400, "BadRequestError", words)
        return script.pop(0)

    async with Server(answer) as server:
        outcome = await step(bench, server)
    assert outcome.outcome == "committed" and not bench.paused
    assert [b["max_tokens"] for b in server.requests] == [32_000, *[10_384] * 4]


async def test_a_context_that_nothing_fits_pauses_with_what_to_do() -> None:
    bench = FakeWorkbench()
    bench.on_pause = lambda reason: bench.end("stopped", "over")
    full = "the request exceeds the available context size, try increasing it"  # llama.cpp
    never = Status(400, "exceed_context_size_error", full)
    async with Server(lambda n, body: never) as server:
        with pytest.raises(Exception, match="over"):
            await step(bench, server)
    assert "larger context" in bench.paused[0] and "max_tokens" in bench.paused[0]
    assert not bench.state.session.degraded, "no feature has anything to do with it"


# -- the review

REVIEW = {"diagnosis": "loads", "stop": [], "directions": [{"text": "go left", "parent": None}]}


async def test_a_review_is_not_lost_to_a_server_that_is_overloaded() -> None:
    bench = FakeWorkbench()
    bench.recording.record(SupervisorIntervened(intervention=intervention("redirect")))
    busy = Status(529, "overloaded_error")
    async with Server([busy, busy, Answer([text(json.dumps(REVIEW))]), *work()]) as server:
        assert (await step(bench, server)).outcome == "committed"
    assert bench.state.supervision["i1"].review == "loads" and len(bench.parked) == 2
    assert "go left" in str(server.requests[3]["messages"])


async def test_a_review_that_a_hint_interrupts_is_asked_for_again() -> None:
    bench = FakeWorkbench()
    reviews = 0

    def press(place: str) -> None:
        if place.startswith("before tool 1 "):
            bench.recording.record(SupervisorIntervened(intervention=intervention("redirect")))

    def answer(n: int, body: dict[str, Any]) -> Behaviour:
        nonlocal reviews
        if "You review the work" not in str(body["system"]):
            return script.pop(0)
        reviews += 1
        if reviews == 1:
            bench.queue_hint("look at the loads", delivery="now")
            return Broken("hang", events=2)
        return Answer([text(json.dumps(REVIEW))])

    bench.on_boundary, script = press, work()
    async with Server(answer) as server:
        assert (await step(bench, server)).outcome == "committed"
    assert reviews == 2 and bench.state.supervision["i1"].review == "loads"
    told = str(server.requests[-1]["messages"])
    assert told.count("go left") == 1 and "mechanical advice" not in told


async def test_a_review_that_is_refused_in_every_form_is_given_up() -> None:
    bench = FakeWorkbench()
    bench.recording.record(SupervisorIntervened(intervention=intervention("redirect")))

    def answer(n: int, body: dict[str, Any]) -> Behaviour:
        if "You review the work" in str(body["system"]):
            return Status(400, "invalid_request_error", "I never review")
        return script.pop(0)

    script = work()
    async with Server(answer) as server:
        assert (await step(bench, server)).outcome == "committed"
    assert any("given up" in t for t in bench.troubles())
