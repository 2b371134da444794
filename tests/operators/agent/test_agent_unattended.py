"""What happens when nobody looks: breakers, drafts, deadlines, usage that cannot be true."""

import asyncio
from typing import Any

import pytest

from avo_tui.domain.events import CandidateEdited, Spent
from avo_tui.domain.secrets import redactor
from avo_tui.operators.agent.model.endpoint import AnthropicModel
from avo_tui.operators.agent.operator import AgentOperator
from avo_tui.operators.agent.setup import Setup
from avo_tui.operators.draft import CARRIED
from tests.loopback.server import Answer, Behaviour, Broken, Server, Status, text, tool
from tests.operators.agent.helpers import settings, step, work
from tests.operators.fake_workbench import FakeWorkbench
from tests.operators.toy_task import source


async def steps(bench: FakeWorkbench, server: Server, count: int, **more: Any) -> list[str]:
    """Runs so many steps with one operator, as the engine does; the outcomes' reasons."""
    own = settings(server, **more)
    model = AnthropicModel(own)
    operator = AgentOperator(Setup(own, model), redactor([]))
    reasons = []
    try:
        for number in range(1, count + 1):
            bench.begin(number)
            reasons.append((await operator.vary(bench)).reason)
    finally:
        await model.close()
    return reasons


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (Answer([], stop="refusal", details={"type": "refusal", "category": "cyber"}), "cyber"),
        (Answer([tool("end_step", reason="there is nothing to do here")]), "nothing to do"),
        (Answer([text("la la")]), "talked"),
        (Status(400, "invalid_request_error", "no"), "refuses the conversation"),
    ],
    ids=["refuses", "ends at once", "talks", "rejects"],
)
async def test_steps_without_work_wait_longer_and_then_ask_the_person(
    behaviour: Behaviour, words: str
) -> None:
    bench = FakeWorkbench()
    async with Server(lambda n, body: _fresh(behaviour)) as server:
        await steps(bench, server, 4, futile_limit=4, futile_wait=15)
        requests = len(server.requests)
    waits = [seconds for seconds, reason in bench.parked if "without any work" in reason]
    assert waits == [15, 60, 240]
    assert len(bench.paused) == 1 and words in bench.paused[0]
    assert "4 steps in a row without any work" in bench.paused[0]
    assert requests <= 4 * 12


def _fresh(behaviour: Behaviour) -> Behaviour:
    if isinstance(behaviour, Answer) and behaviour.content[:1]:
        block = behaviour.content[0]
        fresh = tool(block["name"], **block["input"]) if block["type"] == "tool_use" else block
        return Answer([fresh])
    return behaviour


async def test_pings_alone_do_not_keep_a_stream_alive() -> None:
    bench, script = FakeWorkbench(), work()
    first = [True]

    def answer(n: int, body: object) -> Behaviour:
        if first.pop() if first else False:
            return Broken("pings", events=3)
        return script.pop(0)

    async with Server(answer) as server:
        outcome = await asyncio.wait_for(
            step(bench, server, progress_timeout=0.5, read_timeout=60), 60
        )
    assert outcome.outcome == "committed"
    assert "no new piece of its answer" in bench.parked[0][1]


@pytest.mark.parametrize(
    "usage",
    [
        {"input_tokens": -5},
        {"input_tokens": 1e30},
        {"input_tokens": 10**12},
        {"input_tokens": 49_999_999},
        {"input_tokens": "many"},
        {"cache_read_input_tokens": -1},
        {"cache_creation": "x"},
    ],
    ids=str,
)
async def test_a_usage_that_cannot_be_true_is_not_money(usage: dict[str, Any]) -> None:
    bench = FakeWorkbench()
    script = work()
    script[0].usage = usage
    async with Server(script) as server:
        outcome = await step(bench, server, price_input=4.0, price_output=20.0)
    assert outcome.outcome == "committed"
    assert any("cannot be true" in t for t in bench.troubles())
    spends = [e.spend for e in bench.of(Spent) if e.spend.requests]
    assert all(0 <= s.usd < 1 and s.tokens >= 0 for s in spends)
    assert spends[0].input_tokens > 1000, "counted from the length instead"


async def test_a_draft_is_carried_into_the_next_step_and_told() -> None:
    bench = FakeWorkbench()
    wrong = source(2, "WRONG")
    script = [
        Answer([tool("write_file", file="kernel.cpp", text=wrong)]),
        Answer([tool("evaluate", title="twice as fast")]),
        Answer([tool("end_step", reason="wrong, and no time left")]),
        Answer([tool("write_file", file="kernel.cpp", text=source(1.3))]),
        Answer([tool("evaluate", title="mended")]),
        Answer([tool("submit", summary="The draft, mended: it is right now.")]),
    ]
    async with Server(script) as server:
        await steps(bench, server, 2)
    opening = str(server.requests[3]["messages"][0]["content"][0]["text"])
    assert "the draft that step 1 left" in opening
    assert "wrong_result" in opening and "off by 4" in opening
    assert "+WRONG" in opening, "its diff to the parent"
    assert [v.number for v in bench.reading.versions()] == [0, 1]
    edits = [e.title for e in bench.of(CandidateEdited) if e.step == 2]
    assert edits[0] == f"{CARRIED} of step 1"
    assert bench.reading.draft() is None or bench.reading.head.number == 0


async def test_a_draft_is_not_carried_for_ever() -> None:
    bench = FakeWorkbench()
    first = [Answer([tool("write_file", file="kernel.cpp", text=source(0.9))])]

    def answer(n: int, body: object) -> Behaviour:
        if first:
            return first.pop()
        return Answer([tool("compile"), tool("end_step", reason="I could not finish it")])

    async with Server(answer) as server:
        await steps(bench, server, 5, carry_drafts=2)
    carried = {e.step for e in bench.of(CandidateEdited) if e.title.startswith(CARRIED)}
    assert carried == {2, 3}


async def test_an_attempt_can_be_taken_up_again() -> None:
    bench = FakeWorkbench()
    script = [
        Answer([tool("write_file", file="kernel.cpp", text=source(0.8, "// mine\n"))]),
        Answer([tool("evaluate", title="slow")]),
        Answer([tool("reset_candidate")]),
        Answer([tool("reset_candidate", attempt="1.1")]),
        Answer([tool("reset_candidate", attempt="7.7")]),
        Answer([tool("reset_candidate", attempt="1.1", version=0)]),
        Answer([tool("end_step", reason="that is what I wanted to see")]),
    ]
    async with Server(script) as server:
        await step(bench, server)
    titles = [e.title for e in bench.of(CandidateEdited)]
    assert titles[-1] == "Took the source of attempt 1.1"
    told = str(server.requests[-1]["messages"])
    assert "There is no attempt 7.7" in told and "not both" in told


async def test_the_machine_and_the_profiles_are_before_the_agents_eyes() -> None:
    bench = FakeWorkbench()
    bench.profiler = True
    script = [
        Answer([tool("profile", configuration="large")]),
        Answer([tool("profile", configuration="tiny")]),
        Answer([tool("disassemble", function="attention")]),
        Answer([tool("end_step", reason="I have seen enough of it")]),
        Answer([tool("end_step", reason="I have seen enough of it")]),
    ]
    async with Server(script) as server:
        await steps(bench, server, 2)
    system = str(server.requests[0]["system"])
    assert "toy processor" in system and "peak, fp32: 50 GFLOP/s" in system
    assert "5 operations per byte" in system and "8 units at 3 GHz" in system
    answers = str(server.requests[3]["messages"])
    assert "There is no configuration" in answers and "mulps" in answers
    opening = str(server.requests[4]["messages"][0]["content"][0]["text"])
    assert "Profile of the head, v0" in opening and "Memory Throughput   93 %" in opening
    assert "Share of the machine's peak (fp32): small 20.0%" in opening


async def test_a_pointer_is_not_taken_for_a_source() -> None:
    """A model imitates what it sees: the stub of a cleared call must not become the kernel."""
    bench = FakeWorkbench()
    stub = "[cleared to save context: 27000 characters; read_candidate shows the file as it is now]"
    call = tool("write_file", file="kernel.cpp", text=stub)
    async with Server([Answer([call]), *work()]) as server:
        await step(bench, server)
    assert stub not in str([e.diff for e in bench.of(CandidateEdited)])
