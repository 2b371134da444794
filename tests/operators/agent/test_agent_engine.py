"""The agent inside the real engine, over a real session folder; only the evaluation is a toy."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from avo_tui.domain import events as ev
from avo_tui.domain.budget import Budget, Caps
from avo_tui.domain.commands import (
    AbortStep,
    Approve,
    Pause,
    Reject,
    Resume,
    Rewind,
    SendHint,
    Stop,
)
from avo_tui.domain.run_settings import RunSettings
from avo_tui.operators.agent import make
from avo_tui.operators.agent.settings import AgentSettings
from avo_tui.operators.recorded.player import RecordedOperator
from avo_tui.operators.recorded.recording import Recording, from_events
from tests.evolution.fake_evaluator import FakeEvaluator
from tests.evolution.laboratory import Laboratory
from tests.loopback.server import Answer, Behaviour, Body, Broken, Server, Status, text, tool
from tests.operators.agent.helpers import well_formed

NEXT = {
    "ALGORITHM = 0": "ALGORITHM = 1",
    "ALGORITHM = 1": "ALGORITHM = 2",
    "UNROLL = 1": "UNROLL = 4",
}


class Mind:
    """A model that works: per step one edit that helps, an evaluation, a submission."""

    def __init__(self) -> None:
        self.interject: list[Behaviour] = []
        self.seen: list[Body] = []
        self.wait: Callable[[Body], Behaviour | None] = lambda body: None
        self.prefix = 0

    def __call__(self, number: int, body: Body) -> Behaviour:
        well_formed(body)
        self.seen.append(body)
        if self.interject:
            return self.interject.pop(0)
        special = self.wait(body)
        if special is not None:
            return special
        done = [
            b["name"]
            for m in body["messages"]
            if m["role"] == "assistant"
            for b in m["content"]
            if b["type"] == "tool_use"
        ]
        source = body["messages"][0]["content"][0]["text"]
        if "replace_text" not in done:
            old = next(o for o in NEXT if f" {o};" in source)
            plan = tool("set_plan", title=f"Leave {old}", items=[{"text": "edit"}])
            edit = tool("replace_text", old=old, new=NEXT[old])
            return Answer([text("I change one thing."), plan, edit])
        if "evaluate" not in done:
            return Answer([tool("evaluate", title="one thing changed")])
        if "submit" not in done:
            return Answer([tool("submit", summary="one thing changed, so it is faster")])
        return Answer([tool("end_step", reason="nothing more to be had here")])


def settings(server: Server, **more: Any) -> RunSettings:
    given = {"budget": Budget(run=Caps(steps=3)), **more}
    options = {"base_url": server.url, "price_input": 1.0, "price_output": 5.0}
    return RunSettings(operator="agent", model="test-model", options=options, **given)


@pytest.fixture
async def mind() -> Mind:
    return Mind()


@pytest.fixture
async def server(mind: Mind) -> AsyncIterator[Server]:
    async with Server(mind) as running:
        yield running


@pytest.fixture
async def lab(tmp_path: Path, server: Server) -> AsyncIterator[Laboratory]:
    made = Laboratory(tmp_path / "s", settings(server))
    yield made
    if made.task is not None and not made.task.done():
        await made.stop()


def started(lab: Laboratory, **more: Any) -> Laboratory:
    session = lab.settings.model_copy(update=more)
    lab.start(make(session))
    return lab


async def test_a_hint_and_a_rewind_in_mid_step(lab: Laboratory, mind: Mind) -> None:
    holding = Broken("hang", Answer([text("hm")]), events=3)

    def wait(body: Body) -> Behaviour | None:
        opening = body["messages"][0]["content"][0]["text"]
        if "# Step 2" in opening and "whole words" not in str(body["messages"]):
            return holding
        if "# Step 2" in opening:
            return holding
        return None

    mind.wait = wait
    started(lab)
    await lab.until(lambda: len(lab.state.versions) == 2 and len(mind.seen) >= 4)
    record = await lab.send(SendHint(text="use whole words", delivery="now", scope="step"))
    assert record.refused is None
    await lab.until(lambda: "use whole words" in str(mind.seen[-1]["messages"]))
    hint = next(iter(lab.state.hints.values()))
    assert hint.state == "delivered" and hint.where.startswith("step 2, before request")
    await lab.send(Rewind(version=0, reason="v1 was a mistake"))
    await lab.until(lambda: any("v1 was a mistake" in str(b["messages"]) for b in mind.seen))
    assert await lab.ended() == "finished"
    state = lab.check_whole()
    assert state.steps[2].outcome == "rewound"
    assert state.steps[3].parent == 0, "the run goes on from where the person rewound to"
    opening = next(b for b in mind.seen if "# Step 3" in str(b["messages"][0]))
    assert "rewound the run to v0: v1 was a mistake" in str(opening["messages"][0])


@pytest.mark.parametrize("command", [Pause(mode="now"), AbortStep(reason="not this"), Stop()])
async def test_what_the_person_says_is_heard_in_mid_stream(
    lab: Laboratory, mind: Mind, command: Pause | AbortStep | Stop
) -> None:
    mind.interject = [Broken("hang", Answer([text("hm")]), events=3)]
    started(lab)
    await lab.until(lambda: len(mind.seen) == 1)
    await lab.send(command)
    if isinstance(command, Pause):
        await lab.in_state("paused")
        await lab.send(Resume())
    assert await lab.ended() == ("stopped" if isinstance(command, Stop) else "finished")
    state = lab.check_whole()
    if isinstance(command, AbortStep):
        assert state.steps[1].outcome == "aborted" and len(state.versions) == 3
    elif isinstance(command, Pause):
        assert mind.seen[0]["messages"] == mind.seen[1]["messages"], "the same conversation"
        assert len(state.versions) == 4


async def test_a_long_rate_limit_is_parked_and_cut_short(lab: Laboratory, mind: Mind) -> None:
    mind.interject = [Status(429, "rate_limit_error", "slow", {"retry-after": "7200"})]
    started(lab)
    await lab.in_state("parked")
    session = lab.state.session
    assert session.parked_until is not None and "rate limit" in session.state_reason
    assert (session.parked_until - session.last_event_at).total_seconds() > 7000  # type: ignore[operator]
    await lab.send(Resume())
    assert await lab.ended() == "finished"


@pytest.mark.parametrize("approve", [True, False])
async def test_the_person_has_the_last_word(
    tmp_path: Path, server: Server, mind: Mind, approve: bool
) -> None:
    lab = Laboratory(
        tmp_path / "s", settings(server, approve_commits=True, budget=Budget(run=Caps(steps=1)))
    )
    started(lab)
    await lab.until(lambda: lab.state.pending_approval is not None)
    await lab.send(Approve() if approve else Reject(reason="too clever"))
    assert await lab.ended() == "finished"
    assert len(lab.check_whole().versions) == (2 if approve else 1)
    if not approve:
        assert "too clever" in str(mind.seen[-1]["messages"])


@pytest.mark.parametrize("place", [3, 7, 11, 16, 20, 25, 31])
async def test_killed_anywhere_the_step_goes_on(
    tmp_path: Path, server: Server, mind: Mind, place: int
) -> None:
    lab = Laboratory(tmp_path / "s", settings(server))
    started(lab)
    await lab.until(lambda: sum(e.step == 1 for e in lab.events) >= place)
    await lab.killed()
    before = len(mind.seen)
    started(lab)
    assert await lab.ended() == "finished"
    state = lab.check_whole()
    assert len(state.versions) >= 3, "a call that was cut off may cost its step, no more"
    called = [e.call for e in lab.events if isinstance(e, ev.ToolCalled) and e.step == 1]
    assert len(set(called)) == len(called)
    assert len(mind.seen) > before


async def test_a_session_is_recorded_and_played_with_real_evaluation(
    lab: Laboratory, mind: Mind, tmp_path: Path
) -> None:
    from avo_tui.store import SessionReader

    started(lab)
    assert await lab.ended() == "finished"
    state = lab.check_whole()
    assert [state.versions[n].maker for n in range(4)] == ["seed", *["agent (test-model)"] * 3]
    assert state.session.spend.usd == pytest.approx(len(mind.seen) * (100 + 5 * 20) / 1e6)
    reader = SessionReader.open(lab.folder)
    recording = from_events("pretend", reader.events(), reader.get, title="three steps")
    again = Recording.model_validate_json(recording.model_dump_json())
    assert [len(s.turns) for s in again.steps] == [3, 3, 3]
    for evaluator, versions in ((FakeEvaluator(), 4), (_refusing(), 1)):
        run = RunSettings(operator="recorded", options={"pace": 1e9})
        played = Laboratory(tmp_path / f"p{versions}", run, evaluator)
        played.start(RecordedOperator(AgentSettings.of(run), again))
        assert await played.ended() == "finished"
        state = played.check_whole()
        assert state.session.state_reason.endswith("the recording is over")
        assert sorted(state.steps) == [1, 2, 3]
        notices = [e for e in played.of(ev.AgentText) if "This is a recording" in e.text]
        assert [e.step for e in notices] == [1, 2, 3], "each step says what it is"
        assert len(state.versions) == versions
        assert state.session.spend.usd == 0 and state.session.spend.requests == 0
        assert {v.author for v in state.versions.values()} <= {"seed", "recorded"}
        assert len(played.evaluator.evaluations) >= 3, "evaluation is real"
        if versions == 1:
            bridges = [e for e in played.of(ev.AgentText) if "another source" in e.text]
            assert bridges, "where the head is another, the player says so"
            assert all("gate decided" in s.reason for s in state.steps.values() if s.number)


def _refusing() -> FakeEvaluator:
    evaluator = FakeEvaluator()
    evaluator.paired_bias = 0.2
    return evaluator
