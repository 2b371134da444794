"""Each fault: it is seen by the person, handled as the design says, and does not end the run."""

import asyncio
import email.utils
import time
from typing import Any

import pytest

from avo_tui.domain.events import (
    MessageRecorded,
    ModelStatusChanged,
    StateChanged,
    TroubleNoted,
)
from avo_tui.operators.ports import StepEnded
from tests.loopback.server import Answer, Behaviour, Broken, Server, Status, text, thinking, tool
from tests.operators.agent.helpers import (
    answers,
    bills,
    last_user,
    results,
    step,
    well_formed,
    whole,
    work,
)
from tests.operators.fake_workbench import FakeWorkbench
from tests.operators.toy_task import source


async def recovers(first: list[Behaviour], **settings: Any) -> tuple[FakeWorkbench, Server]:
    """Runs a step in which `first` precedes the ordinary work; it must end in a commit."""
    bench = FakeWorkbench()
    async with Server([*first, *work()]) as server:
        outcome = await step(bench, server, **settings)
    assert outcome.outcome == "committed", outcome
    for body in server.requests:
        well_formed(body)
    return bench, server


async def test_a_rate_limit_parks_as_long_as_the_server_says() -> None:
    limit = Status(429, "rate_limit_error", "slow down", {"retry-after": "3600"})
    bench, server = await recovers([limit])
    assert bench.parked[0][0] == 3600 and "rate limit" in bench.parked[0][1]
    states = [e.state for e in bench.of(StateChanged)]
    assert states == ["parked", "running"]
    assert len(server.requests) == 5, "no request was made behind our back"


async def test_a_date_and_milliseconds_are_understood_as_retry_after() -> None:
    date = email.utils.formatdate(time.time() + 10_000, usegmt=True)
    bench, _ = await recovers(
        [
            Status(429, "rate_limit_error", headers={"retry-after": date}),
            Status(429, "rate_limit_error", headers={"retry-after-ms": "7500"}),
            Status(429, "rate_limit_error", headers={"retry-after": "nonsense"}),
            Status(429, "rate_limit_error", headers={"retry-after": "inf"}),
            Status(429, "rate_limit_error", headers={"retry-after": "nan"}),
            Status(429, "rate_limit_error", headers={"retry-after": "1e300"}),
        ]
    )
    first, second, *own, endless = (seconds for seconds, _ in bench.parked)
    assert 9000 < first <= 10_000 and second == 7.5 and max(own) < 100
    assert endless == 24 * 3600, "a day, then it is tried again"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Status(529, "overloaded_error"), "overloaded"),
        (Status(500, "api_error"), "failed (500)"),
        (Status(503, "api_error"), "failed (503)"),
        (Status(504, "timeout_error"), "failed (504)"),
        (Status(408, "timeout_error"), "failed (408)"),
        (Status(409, "conflict_error"), "failed (409)"),
        (Broken("error"), "overloaded"),
        (Broken("error", kind="api_error"), "failed"),
        (Broken("error", kind="rate_limit_error"), "rate limit"),
        (Broken("eof"), "ended before"),
        (Broken("eof", events=0), "ended before"),
        (Broken("eof", Answer([text("whole")]), events=4), "ended before"),
        (Broken("reset"), "connection was lost"),
        (Broken("garbage"), "not valid"),
    ],
    ids=lambda value: str(getattr(value, "how", getattr(value, "code", ""))),
)
async def test_transient_faults_are_waited_out(fault: Behaviour, words: str) -> None:
    bench, server = await recovers([fault])
    assert len(bench.parked) == 1 and words in bench.parked[0][1]
    assert any(words in t for t in bench.troubles())
    assert server.requests[0]["messages"] == server.requests[1]["messages"]


async def test_waits_grow_and_are_bounded() -> None:
    bench, _ = await recovers([Status(529, "overloaded_error")] * 12, wait_longest=60)
    waits = [seconds for seconds, _ in bench.parked]
    assert waits[0] < 3 and waits[3] > 8 and max(waits) <= 60 * 1.25
    assert not bench.paused, "time mends this fault; the person need not come"


async def test_nobody_listens() -> None:
    bench = FakeWorkbench()

    def give_up(reason: str) -> None:
        bench.end("stopped", "enough")

    bench.on_boundary = lambda place: give_up("") if len(bench.parked) >= 3 else None
    with pytest.raises(StepEnded):
        await step(bench, None)
    assert len(bench.parked) == 3 and "no connection" in bench.parked[0][1]


@pytest.mark.parametrize("events", [3, 0], ids=["in mid-stream", "before the answer"])
async def test_silence_is_a_timeout(events: int) -> None:
    bench, script = FakeWorkbench(), work()

    def answer(number: int, body: dict[str, Any]) -> Behaviour:
        # by what was heard, not by the number of the request: a slow machine may ask again
        return script[answers(bench)] if number else Broken("hang", events=events)

    async with Server(answer) as server:
        assert (await step(bench, server, read_timeout=0.3)).outcome == "committed"
    assert "in time" in bench.parked[0][1]


async def test_a_cut_answer_is_paid_for_but_not_part_of_the_conversation() -> None:
    cut = Broken("reset", Answer([text("lost words " * 40)]), events=8)
    bench, server = await recovers([cut])
    assert "lost words" not in str(server.requests[-1])
    spends = bills(bench.journal)
    assert len(spends) == 5 and spends[0].input_tokens == 100
    assert spends[0].output_tokens == 60, "a quarter of the characters that came"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Status(401, "authentication_error", "invalid x-api-key"), "ANTHROPIC_API_KEY"),
        (Status(403, "permission_error", "no access"), "no access"),
        (Status(402, "billing_error", "no money"), "cannot pay"),
        (Status(400, "invalid_request_error", "Your credit balance is too low"), "cannot pay"),
        (Status(404, "not_found_error", "model: test-model"), "model's name (test-model)"),
        (Status(404, "", "Not Found"), "does not speak the Messages API"),
        (Status(405, "", "Method Not Allowed"), "does not speak the Messages API"),
        (
            Status(302, "", "", {"location": "https://elsewhere.example/v1/messages"}),
            "redirects to elsewhere.example (302)",
        ),
    ],
)
async def test_what_only_the_person_can_mend_pauses_the_run(fault: Status, words: str) -> None:
    bench, _ = await recovers([fault])
    assert len(bench.paused) == 1 and words in bench.paused[0]
    assert not bench.parked
    assert [e.state for e in bench.of(StateChanged)] == ["paused", "running"]


async def test_features_that_the_endpoint_rejects_are_gone_without_one_by_one() -> None:
    answers = work()

    def picky(n: int, body: dict[str, Any]) -> Behaviour:
        if "thinking" in body:
            return Status(400, "invalid_request_error", "adaptive thinking is not supported")
        if "output_config" in body:
            return Status(400, "invalid_request_error", "output_config: unknown field")
        if "cache_control" in str(body):
            return Status(400, "invalid_request_error", "cache_control: Extra inputs")
        return answers.pop(0)

    bench = FakeWorkbench()
    async with Server(picky) as server:
        outcome = await step(bench, server)
    assert outcome.outcome == "committed"
    assert sum("asked again without" in t for t in bench.troubles()) == 3
    assert not bench.parked and not bench.paused
    assert len(server.requests) == 7
    assert set(bench.state.session.degraded) == {"cache", "display", "effort", "thinking"}


async def test_a_feature_lost_to_an_odd_moment_comes_back() -> None:
    """One 400 that names the cache must not cost the cache for the rest of the run."""
    bench, script = FakeWorkbench(), work()
    odd = Status(400, "invalid_request_error", "cache_control: the moon is in the wrong phase")

    def answer(n: int, body: dict[str, Any]) -> Behaviour:
        if n == 2:
            return odd
        return Answer([tool("recall", containing=str(n))]) if n < 20 else script.pop(0)

    async with Server(answer) as server:
        assert (await step(bench, server)).outcome == "committed"
    cached = ["cache_control" in str(body["messages"]) for body in server.requests]
    assert cached[:3] == [True] * 3 and not cached[3] and cached[-1]
    assert cached.count(False) == 10, "tried again after ten answers"
    changes = [e.degraded for e in bench.of(ModelStatusChanged)]
    assert changes == [("cache",), ()]


async def test_a_refusal_of_one_request_costs_no_feature() -> None:
    """An unrelated 400 is asked again as it was."""
    bench, server = await recovers([Status(400, "invalid_request_error", "try to be nicer")])
    assert len(bench.parked) == 1 and not bench.state.session.degraded
    assert server.requests[0]["messages"] == server.requests[1]["messages"]
    assert server.requests[1]["thinking"]


async def test_a_conversation_that_is_always_refused_ends_the_step_with_the_reason() -> None:
    bench = FakeWorkbench()
    never = Status(400, "invalid_request_error", "we do not like you")
    async with Server([Answer([thinking("mm"), tool("list_versions")]), *[never] * 20]) as server:
        outcome = await step(bench, server)
    assert outcome.outcome == "nothing" and "we do not like you" in outcome.reason
    assert len(server.requests) < 12, "each remedy is tried once"
    assert not bench.state.session.degraded, "what did not help is given back"


async def test_a_refusal_is_told_and_the_work_goes_on() -> None:
    details = {"type": "refusal", "category": "cyber", "explanation": "it looked odd"}
    refusal = Answer([text("I can")], stop="refusal", details=details)
    bench, server = await recovers([refusal])
    assert any("refused" in t and "it looked odd" in t for t in bench.troubles())
    assert "I can" not in str(server.requests[1]["messages"])


async def test_refusals_without_end_end_the_step_not_the_run() -> None:
    bench = FakeWorkbench()
    async with Server([Answer([], stop="refusal")] * 5) as server:
        outcome = await step(bench, server)
    assert outcome.outcome == "nothing" and "refused 3 times" in outcome.reason
    assert len(server.requests) == 3


async def test_an_answer_cut_at_its_limit_goes_on_in_smaller_pieces() -> None:
    half = tool("write_file", file="kernel.cpp", text="half of a ker")
    bench, server = await recovers([Answer([text("long"), half], stop="max_tokens")])
    assert half["id"] not in results(bench), "half a call must not run"
    assert "smaller pieces" in last_user(server.requests[1])[-1]["text"]


async def test_a_complete_call_before_the_cut_is_run() -> None:
    first = tool("list_versions")
    cut = Answer([first, tool("list_attempts")], stop="max_tokens")
    bench, server = await recovers([cut])
    assert results(bench)[first["id"]].ok
    assert last_user(server.requests[1])[0]["tool_use_id"] == first["id"]


async def test_a_paused_turn_is_sent_back_as_it_is() -> None:
    bench = FakeWorkbench()
    async with Server([Answer([text("wait")], stop="pause_turn"), *work()]) as server:
        outcome = await step(bench, server)
    assert outcome.outcome == "committed"
    assert server.requests[1]["messages"][-1]["role"] == "assistant"
    assert server.requests[1]["messages"][-1]["content"][0]["text"] == "wait"


@pytest.mark.parametrize(
    "full",
    [
        Status(400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000"),
        Status(413, "request_too_large", "too large"),
        Answer([text("so many wor")], stop="model_context_window_exceeded"),
    ],
    ids=["400", "413", "stop"],
)
async def test_a_full_context_is_cleared_and_summarised(full: Behaviour) -> None:
    long = [Answer([tool("read_knowledge", id="doc#1", limit=14000)]) for _ in range(4)]
    plan = Answer([tool("set_plan", title="The great plan", items=[{"text": "do it"}])])
    script = [plan, *long, full, full, *work()]
    bench = FakeWorkbench()
    async with Server(script) as server:
        outcome = await step(bench, server, keep_results=1)
    assert outcome.outcome == "committed"
    kinds = [e.summary for e in bench.of(MessageRecorded) if e.summary.startswith("context")]
    assert len(kinds) == 2 and "cleared" in kinds[0] and "summary" in kinds[1]
    final = server.requests[-1]["messages"]
    assert "The great plan" in final[0]["content"][1]["text"]
    assert len(str(final)) < len(str(server.requests[4]["messages"])) / 2
    for body in server.requests:
        well_formed(body)


async def test_an_unknown_tool_is_answered_with_those_there_are() -> None:
    wrong = tool("evaluates", title="x")
    bench, _ = await recovers([Answer([wrong])])
    assert not results(bench)[wrong["id"]].ok
    assert "Did you mean evaluate?" in whole(bench, wrong["id"])


async def test_invalid_arguments_are_answered_with_what_is_wrong() -> None:
    wrong = tool("replace_text", old="", new=3, file="kernel.cpp", wat=1)
    bench, server = await recovers([Answer([wrong])])
    answer = whole(bench, wrong["id"])
    assert "old: String should have at least 1 character" in answer and "wat" in answer
    assert last_user(server.requests[1])[0]["is_error"] is True


@pytest.mark.parametrize("sent", ['{"title": "unfin', '{"title": }', "[1, 2]", '"text"', "{]"])
async def test_arguments_that_are_no_json_do_not_run(sent: str) -> None:
    wrong = tool("evaluate", title="x")
    bench, _ = await recovers([Answer([wrong], broken_json=sent)])
    assert bench.evaluations == 1
    assert any("JSON" in t for t in bench.troubles())


async def test_a_tool_that_fails_inside_is_reported_not_fatal() -> None:
    bench = FakeWorkbench()

    def explode() -> None:
        if bench.runs == ["compile"]:
            raise RuntimeError("the disk is on fire")

    bench.on_work = explode
    bad = tool("compile")
    async with Server([Answer([bad]), *work()]) as server:
        outcome = await step(bench, server)
    assert outcome.outcome == "committed"
    assert "the disk is on fire" in whole(bench, bad["id"])
    assert any(isinstance(e, TroubleNoted) and "disk" in e.message for e in bench.journal)


async def test_an_empty_answer_is_asked_for_again() -> None:
    bench, server = await recovers([Answer([]), Answer([text("  ")]), Answer([thinking("mm")])])
    assert sum("empty" in t for t in bench.troubles()) == 3
    assert all(m["role"] == "user" for m in server.requests[3]["messages"])


async def test_an_agent_that_only_talks_is_nudged_then_the_step_ends() -> None:
    bench, server = await recovers([Answer([text("Hello, how can I help?")])])
    assert "Nobody answers here" in last_user(server.requests[1])[-1]["text"]
    bench = FakeWorkbench()
    async with Server([Answer([text("la la")])] * 9) as server:
        outcome = await step(bench, server, idle_limit=4)
    assert outcome.outcome == "nothing" and "talked" in outcome.reason
    assert len(server.requests) == 4


async def test_a_repeated_candidate_is_answered_from_the_record() -> None:
    bench = FakeWorkbench()
    again = [
        Answer([tool("write_file", file="kernel.cpp", text=source(0.9))]),
        Answer([tool("evaluate", title="slower")]),
        Answer([tool("reset_candidate")]),
        Answer([tool("write_file", file="kernel.cpp", text=source(0.9))]),
        Answer([tool("evaluate", title="slower once more")]),
    ]
    async with Server([*again, *work()]) as server:
        outcome = await step(bench, server)
    assert outcome.outcome == "committed" and bench.evaluations == 2
    edit, repeat = again[3].content[0]["id"], again[4].content[0]["id"]
    assert "evaluated before, as attempt 1.1" in whole(bench, edit)
    assert "Its score is the one on record" in whole(bench, repeat)


async def test_submitting_evaluates_first_what_was_not_evaluated() -> None:
    early = tool("submit", summary="I am sure that it is faster")
    edit = tool("write_file", file="kernel.cpp", text=source(1.1))
    bench = FakeWorkbench()
    async with Server([Answer([edit, early])]) as server:
        outcome = await step(bench, server)
    assert outcome.outcome == "committed"
    assert bench.evaluations == 1 and bench.runs.count("submit") == 1
    assert next(iter(bench.attempts(1))).title == "I am sure that it is faster"


async def test_submitting_what_is_wrong_or_too_slow_is_refused() -> None:
    wrong, slow = (
        tool("submit", summary="it is wrong, though"),
        tool("submit", summary="it is slow"),
    )
    script: list[Behaviour] = [
        Answer([tool("write_file", file="kernel.cpp", text=source(2, "WRONG"))]),
        Answer([tool("evaluate", title="wrong")]),
        Answer([wrong]),
        Answer([tool("write_file", file="kernel.cpp", text=source(1.0, "// other\n"))]),
        Answer([tool("evaluate", title="within noise")]),
        Answer([slow]),
    ]
    bench, _ = await recovers(script)
    assert "wrong_result" in whole(bench, wrong["id"])
    assert "Not committed" in whole(bench, slow["id"])


async def test_a_fault_while_cancelling_leaves_nothing_behind() -> None:
    bench = FakeWorkbench()
    async with Server([Answer([text("x" * 4000)], pause=0.05), *work()]) as server:
        task = asyncio.ensure_future(step(bench, server))
        await asyncio.wait_for(server.started.wait(), 120)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not [t for t in bench.troubles() if "price" not in t]
    assert not [e for e in bench.of(MessageRecorded) if e.role == "assistant"]
