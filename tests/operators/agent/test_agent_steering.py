"""The person speaks, pauses, aborts, rewinds: at any moment, in any order."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from avo_tui.domain.base import now
from avo_tui.domain.events import (
    InterventionChanged,
    MessageRecorded,
    NoteRemoved,
    NoteWritten,
    StepStarted,
    SupervisorIntervened,
    ToolCalled,
    ToolReturned,
)
from avo_tui.domain.records import Direction, Intervention
from avo_tui.operators.agent.conversation.turns import Conversation
from avo_tui.operators.ports import StepEnded
from tests.loopback.server import Answer, Behaviour, Server, text, tool
from tests.operators.agent.helpers import last_user, results, step, well_formed, whole, work
from tests.operators.fake_workbench import FakeWorkbench
from tests.operators.toy_task import source


async def test_a_hint_at_the_next_tool_skips_the_rest_of_the_batch() -> None:
    bench = FakeWorkbench()
    batch = [tool("list_versions"), tool("read_candidate"), tool("list_knowledge")]

    def press(place: str) -> None:
        if place == "before tool 2 (read_candidate)":
            bench.queue_hint("use wider loads")

    bench.on_boundary = press
    async with Server([Answer(batch), *work()]) as server:
        assert (await step(bench, server)).outcome == "committed"
    assert [results(bench)[c["id"]].ok for c in batch] == [True, False, False]
    assert "Skipped, not run: operator message" in whole(bench, batch[1]["id"])
    told = last_user(server.requests[1])
    assert [b["type"] for b in told] == ["tool_result"] * 3 + ["text"]
    assert "use wider loads" in told[-1]["text"]
    hint = bench.state.hints["hint1"]
    assert (hint.state, hint.where) == ("delivered", "step 1, before tool 2 (read_candidate)")


async def test_a_hint_at_the_end_of_the_turn_lets_the_batch_finish() -> None:
    bench = FakeWorkbench()
    batch = [tool("list_versions"), tool("read_candidate")]

    def press(place: str) -> None:
        if place.startswith("before tool 1 "):
            bench.queue_hint("later", delivery="end_of_turn")

    bench.on_boundary = press
    async with Server([Answer(batch), *work()]) as server:
        await step(bench, server)
    assert all(results(bench)[c["id"]].ok for c in batch)
    assert "later" in last_user(server.requests[1])[-1]["text"]
    assert bench.state.hints["hint1"].where == "step 1, before request 2"


async def test_a_hint_now_cuts_the_stream() -> None:
    bench = FakeWorkbench()
    slow = Answer([text("an endless explanation " * 60)], pause=0.05)
    async with Server([slow, *work()]) as server:
        running = asyncio.ensure_future(step(bench, server))
        await asyncio.wait_for(server.started.wait(), 120)
        bench.queue_hint("stop talking", delivery="now")
        assert (await asyncio.wait_for(running, 120)).outcome == "committed"
    assert "endless" not in str(server.requests[1]["messages"])
    assert "stop talking" in last_user(server.requests[1])[-1]["text"]


async def test_a_hint_now_cuts_a_slow_tool() -> None:
    bench = FakeWorkbench()
    bench.evaluation_seconds = 60.0
    slow, rest = tool("compile"), tool("list_versions")
    begun = asyncio.Event()
    bench.on_work = begun.set
    async with Server([Answer([slow, rest]), *work()]) as server:
        running = asyncio.ensure_future(step(bench, server))
        await asyncio.wait_for(begun.wait(), 120)
        bench.queue_hint("not that", delivery="now")
        bench.evaluation_seconds = 0.0
        assert (await asyncio.wait_for(running, 120)).outcome == "committed"
    assert "Interrupted before it was finished" in whole(bench, slow["id"])
    assert "Skipped" in whole(bench, rest["id"])
    assert bench.runs.count("compile") == 1
    for body in server.requests:
        well_formed(body)


@pytest.mark.parametrize("outcome", ["aborted", "rewound", "stopped"])
async def test_the_end_of_a_step_in_mid_batch_leaves_no_call_open(outcome: Any) -> None:
    bench = FakeWorkbench()

    def press(place: str) -> None:
        if place.startswith("before tool 2 "):
            bench.end(outcome, "the person said so")

    bench.on_boundary = press
    batch = [tool("list_versions"), tool("read_candidate"), tool("compile")]
    async with Server([Answer(batch)]) as server:
        with pytest.raises(StepEnded) as caught:
            await step(bench, server)
    assert caught.value.outcome == outcome
    assert len(results(bench)) == 3 and bench.runs == []
    assert "the person said so" in whole(bench, batch[2]["id"])


async def test_standing_hints_return_in_the_next_steps_opening() -> None:
    bench = FakeWorkbench()
    bench.queue_hint("never touch the mask", scope="until_cleared")
    bench.queue_hint("only today", scope="once")
    async with Server(work()) as server:
        await step(bench, server)
        again = FakeWorkbench(journal=bench.journal, objects=bench.objects, step=2)
        server.script = [Answer([tool("end_step", reason="nothing to add here")])]
        await step(again, server)
    opening = server.requests[-1]["messages"][0]["content"][0]["text"]
    assert "never touch the mask" in opening and 'holds="until the person clears it"' in opening
    assert "only today" not in opening


async def test_text_of_a_hint_cannot_pose_as_its_end() -> None:
    bench = FakeWorkbench()
    bench.queue_hint("x</operator_message>y")
    async with Server(work()) as server:
        await step(bench, server)
    opening = server.requests[0]["messages"][0]["content"][0]["text"]
    assert opening.count("</operator_message>") == 1


def intervention(level: Any, identity: str = "i1", by: Any = "supervisor") -> Intervention:
    return Intervention(
        id=identity,
        at=now(),
        step=1,
        level=level,
        trigger="8 attempts since the last commit (limit 8)",
        directions=(Direction(text="mechanical advice"),),
        by=by,
        review_wanted=level == "redirect",
    )


async def test_a_nudge_reaches_the_agent_once() -> None:
    bench = FakeWorkbench()

    def press(place: str) -> None:
        if place.startswith("before tool 1 "):
            bench.recording.record(SupervisorIntervened(intervention=intervention("nudge")))

    bench.on_boundary = press
    async with Server(work()) as server:
        await step(bench, server)
    assert "8 attempts since the last commit" in last_user(server.requests[1])[-1]["text"]
    assert str(server.requests[-1]["messages"]).count("8 attempts since") == 1


async def test_edited_directions_are_told_again() -> None:
    bench = FakeWorkbench()

    def press(place: str) -> None:
        if place.startswith("before tool 1 "):
            bench.recording.record(SupervisorIntervened(intervention=intervention("nudge")))
        if place.startswith("before tool 3 "):
            new = (Direction(text="the person's own direction"),)
            bench.recording.record(
                InterventionChanged(intervention="i1", state="active", directions=new)
            )

    bench.on_boundary = press
    async with Server(work()) as server:
        await step(bench, server)
    assert "the person's own direction" in last_user(server.requests[3])[-1]["text"]


async def test_a_redirection_is_reviewed_by_the_model() -> None:
    bench = FakeWorkbench()
    bench.recording.record(SupervisorIntervened(intervention=intervention("redirect")))
    review = Answer(
        [
            text(
                'Here: {"diagnosis": "loads are the limit", "directions": ['
                '{"text": "pack K", "parent": 0}, {"text": "go wide", "parent": 99}]}'
            )
        ]
    )
    async with Server([review, *work()]) as server:
        assert (await step(bench, server)).outcome == "committed"
    assert "tools" not in server.requests[0]
    assert "You review the work" in str(server.requests[0]["system"])
    assert server.requests[0]["output_config"]["format"]["type"] == "json_schema"
    asked = server.requests[0]["messages"][0]["content"][0]["text"]
    assert "const float speed = 1.00;" in asked, "the review sees the head's source"
    kept = bench.state.supervision["i1"]
    assert [(d.text, d.parent) for d in kept.directions] == [("pack K", 0), ("go wide", None)]
    assert kept.review == "loads are the limit" and not kept.review_wanted
    opening = server.requests[1]["messages"][0]["content"][0]["text"]
    assert "pack K (start from v0)" in opening and "mechanical advice" not in opening
    assert "Review of the trajectory: loads are the limit" in opening


async def test_a_review_is_made_once_whatever_is_restarted() -> None:
    bench = FakeWorkbench()
    bench.recording.record(SupervisorIntervened(intervention=intervention("redirect")))
    words = '{"diagnosis": "loads", "directions": [{"text": "pack K"}]}'
    async with Server([Answer([text(words)]), *work()]) as server:
        await step(bench, server)
    again = FakeWorkbench(journal=bench.journal, objects=bench.objects, step=2)
    again.record(StepStarted(step=2, parent=1))
    assert [i.review for i in again.interventions()] == ["loads"]
    async with Server([Answer([tool("end_step", reason="nothing is left to try")])]) as server:
        await step(again, server)
    assert not any("You review the work" in str(r["system"]) for r in server.requests)
    opening = server.requests[0]["messages"][0]["content"][0]["text"]
    assert "Review of the trajectory: loads" in opening and "pack K" in opening


async def test_the_persons_directions_outlast_a_review_under_way() -> None:
    bench = FakeWorkbench()
    bench.recording.record(SupervisorIntervened(intervention=intervention("redirect")))
    mine = (Direction(text="the person's own"),)
    words = '{"diagnosis": "loads", "directions": [{"text": "pack K"}]}'

    rest = work()

    def answer(number: int, body: dict[str, Any]) -> Behaviour:
        if number:
            return rest[number - 1]
        bench.recording.record(
            InterventionChanged(intervention="i1", state="active", directions=mine)
        )
        return Answer([text(words)])

    async with Server(answer) as server:
        await step(bench, server)
    kept = bench.state.supervision["i1"]
    assert kept.directions == mine and kept.review == ""
    assert "the person's own" in server.requests[1]["messages"][0]["content"][0]["text"]


async def test_what_the_person_does_to_the_memory_is_told_once() -> None:
    bench = FakeWorkbench()
    kept, gone = (
        bench.recording.write_note("fact", f"{word} by the agent") for word in ("kept", "gone")
    )

    def press(place: str) -> None:
        if place.startswith("before tool 2 "):
            mine = kept.model_copy(update={"text": "mended by the person", "author": "person"})
            bench.recording.record(NoteWritten(note=mine))
            bench.recording.record(NoteRemoved(note=gone.id, author="person"))

    bench.on_boundary = press
    answers = work()
    answers[0].content.insert(0, tool("remember", category="fact", text="written meanwhile"))
    async with Server(answers) as server:
        await step(bench, server)
    told = last_user(server.requests[1])[-1]["text"]
    assert f"changed [{kept.id}] fact: mended by the person" in told
    assert f"removed [{gone.id}]" in told and "written meanwhile" not in told
    assert str(server.requests[-1]["messages"]).count("mended by the person") == 1


@pytest.mark.parametrize("words", ["I do not know", '{"directions": "none"}', '{"directions": []}'])
async def test_a_review_that_cannot_be_read_leaves_the_directions(words: str) -> None:
    bench = FakeWorkbench()
    bench.recording.record(SupervisorIntervened(intervention=intervention("redirect")))
    async with Server([Answer([text(words)]), *work()]) as server:
        assert (await step(bench, server)).outcome == "committed"
    assert bench.state.supervision["i1"].directions[0].text == "mechanical advice"
    assert any("review could not be read" in t for t in bench.troubles())


# -- anything, in any order

CALLS = [
    ("list_versions", {}),
    ("compile", {}),
    ("write_file", {"file": "kernel.cpp", "text": source(1.3)}),
    ("evaluate", {"title": "a try"}),
    ("submit", {"summary": "it is faster, I believe"}),
    ("no_such_tool", {}),
    ("replace_text", {"old": "tile"}),
]
PRESSES = ["hint", "hint_end", "hint_now", "pause_now", "abort", "rewind", "die"]

batches = st.lists(
    st.lists(st.sampled_from(range(len(CALLS))), min_size=0, max_size=3), min_size=1, max_size=5
)
presses = st.lists(st.tuples(st.integers(0, 25), st.sampled_from(PRESSES)), min_size=0, max_size=6)


def press(bench: FakeWorkbench, what: str, running: asyncio.Task[Any]) -> None:
    if what == "hint":
        bench.queue_hint("a word")
    elif what == "hint_end":
        bench.queue_hint("a word at the end", delivery="end_of_turn", scope="step")
    elif what == "hint_now":
        bench.queue_hint("now!", delivery="now")
    elif what == "pause_now":
        bench.cut("paused")
    elif what == "abort":
        bench.end("aborted", "abort")
    elif what == "rewind":
        bench.end("rewound", "rewind")
    else:
        running.cancel()


class Pressing:
    """Presses a key at a given number of boundaries and runs of tools after the start."""

    running: asyncio.Task[Any]

    def __init__(self, bench: FakeWorkbench, due: dict[int, str]) -> None:
        self.bench = bench
        self.due = due
        self.count = 0

    def boundary(self, place: str) -> None:
        self.moment()

    def moment(self) -> None:
        what = self.due.pop(self.count, None)
        self.count += 1
        if what is not None:
            asyncio.get_running_loop().call_soon(press, self.bench, what, self.running)


@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(batches, presses)
def test_no_tool_runs_twice_and_no_call_is_left_open(
    plan: list[list[int]], pressed: list[tuple[int, str]]
) -> None:
    asyncio.run(_steered(plan, pressed))


async def _steered(plan: list[list[int]], pressed: list[tuple[int, str]]) -> None:
    script: list[Behaviour] = []
    for batch in plan:
        blocks = [tool(CALLS[i][0], **CALLS[i][1]) for i in batch]
        script.append(Answer(blocks or [text("just words")]))

    def answer(n: int, body: object) -> Behaviour:
        if script:
            return script.pop(0)
        return Answer([tool("end_step", reason="the script is over")])

    due = dict(pressed)
    bench = FakeWorkbench()
    ended = ""
    async with Server(answer) as server:
        for _ in range(10):
            pressing = Pressing(bench, due)
            bench.on_boundary, bench.on_work = pressing.boundary, pressing.moment
            running = pressing.running = asyncio.ensure_future(step(bench, server))
            try:
                ended = (await asyncio.wait_for(asyncio.shield(running), 120)).outcome
                break
            except StepEnded as end:
                ended = end.outcome
                break
            except asyncio.CancelledError:
                # The engine died; another one goes on from what was recorded.
                bench = FakeWorkbench(journal=bench.journal, objects=bench.objects)
    assert ended
    started = Counter(e.call for e in bench.of(ToolCalled))
    answered = Counter(e.call for e in bench.of(ToolReturned))
    assert not [c for c, n in started.items() if n > 1], "a tool ran twice"
    assert not [c for c, n in answered.items() if n > 1], "a call was answered twice"
    talk = Conversation.restore(bench.reading.step_events(), bench.reading.fetch, lambda t, c: t)
    asked = {c["id"] for e in _assistant(bench) for c in e["content"] if c["type"] == "tool_use"}
    assert asked == set(answered), "a call was left open"
    talk.messages()
    for body in server.requests:
        well_formed(body)
    delivered = [h for h in bench.state.hints.values() if h.state == "delivered"]
    told = {k for k in talk.told if k.startswith("hint:")}
    if ended not in {"aborted", "rewound"}:
        assert told == {f"hint:{h.id}" for h in delivered}


def _assistant(bench: FakeWorkbench) -> list[dict[str, Any]]:
    import json

    return [
        json.loads(bench.reading.fetch(e.ref))
        for e in bench.of(MessageRecorded)
        if e.role == "assistant"
    ]
