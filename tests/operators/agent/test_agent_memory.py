"""Memory and the supervisor's review in the real engine: what is kept, whatever happens."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from avo_tui.domain import events as ev
from avo_tui.domain import memory
from avo_tui.domain.commands import EditMemory, Supervise
from avo_tui.domain.records import Note
from avo_tui.operators.agent import make
from avo_tui.store import SessionReader
from tests.evolution.laboratory import Laboratory
from tests.loopback.server import Answer, Behaviour, Body, Server, text, tool
from tests.operators.agent.test_agent_engine import Mind, settings


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


def reviews(mind: Mind) -> list[Body]:
    return [b for b in mind.seen if "You review the work" in str(b["system"])]


async def test_a_review_is_on_record_and_outlasts_its_engine(lab: Laboratory, mind: Mind) -> None:
    said = '{"diagnosis": "the loads are the limit", "directions": [{"text": "pack the keys"}]}'

    def wait(body: Body) -> Behaviour | None:
        return Answer([text(said)]) if "You review" in str(body["system"]) else None

    mind.wait = wait
    lab.hold_from(1)
    lab.start(make(lab.settings))
    await lab.held()
    assert (await lab.send(Supervise(level="redirect"))).refused is None
    lab.evaluator.let_go()
    await lab.until(lambda: any(i.review for i in lab.state.supervision.values()))
    await lab.killed()
    (made,) = SessionReader.open(lab.folder).state.supervision.values()
    assert made.review == "the loads are the limit" and made.by == "person"
    assert [d.text for d in made.directions] == ["pack the keys"]

    lab.start(make(lab.settings))
    assert await lab.ended() == "finished"
    assert len(reviews(mind)) == 1, "it is not asked for again"
    (kept,) = lab.check_whole().supervision.values()
    assert kept.review == "the loads are the limit"
    told = [b for b in mind.seen if "Review of the trajectory: the loads" in str(b["messages"])]
    assert told, "the agent reads it"


def notes(count: int, size: int) -> list[Note]:
    return [
        Note.model_validate(
            {"id": f"old{n}", "text": f"{n} " + "x" * size, "at": "2026-01-01T00:00:00Z"}
        )
        for n in range(count)
    ]


async def test_a_memory_that_fills_up_in_mid_step_loses_nothing(
    lab: Laboratory, mind: Mind
) -> None:
    """Crowded at the opening, full at a note, condensed, written, and named by the version."""
    fresh = "the horizontal sum costs 4 percent: " + "y" * 600
    new = memory.new_id("worked", fresh, ())
    old = notes(20, 740)
    mind.interject = [
        Answer([tool("remember", category="worked", text="z" * 799)]),
        Answer([tool("remember", category="worked", text=fresh)]),
        Answer([tool("condense", notes=["old0", "old1"], category="fact", text="both are known")]),
        Answer([tool("remember", category="worked", text=fresh)]),
    ]

    def wait(body: Body) -> Behaviour | None:
        measured = any(e.step == 1 for e in lab.of(ev.AttemptFinished))
        if not measured or lab.of(ev.GateDecided):
            return None
        return Answer([tool("submit", summary="the sum is gone, faster", built_on=[new, "old3"])])

    mind.wait = wait
    lab.start(make(lab.settings))
    for note in old:
        lab.run.record(ev.NoteWritten(note=note))
    assert await lab.ended() == "finished"

    opening = mind.seen[0]["messages"][0]["content"][0]["text"]
    assert all(note.text in opening for note in old), "no note is cut out of the opening"
    assert "Make room in this step" in opening
    state = lab.check_whole()
    answers = {e.call: e for e in lab.of(ev.ToolReturned) if e.tool in {"remember", "condense"}}
    assert [e.ok for e in answers.values()] == [True, False, True, True]
    refusal = next(e for e in answers.values() if not e.ok)
    assert "Nothing was written" in refusal.summary
    held = {n.text for n in state.memory.values()}
    assert {n.text for n in old[2:]} | {fresh, "z" * 799, "both are known"} == held
    assert memory.size(state.memory.values()) <= state.session.memory_limit
    first = state.versions[1]
    assert [n.id for n in first.built_on] == [new, "old3"]
    assert [n.text for n in first.built_on] == [fresh, old[3].text]
    assert "v1 built on it" in mind.seen[-1]["messages"][0]["content"][0]["text"]


async def test_the_person_edits_the_memory_of_a_running_step(lab: Laboratory, mind: Mind) -> None:
    lab.hold_from(1)
    lab.start(make(lab.settings))
    await lab.held()
    assert (await lab.send(EditMemory(category="idea", text="try wider rows"))).refused is None
    too_long = await lab.send(EditMemory(category="idea", text="y" * 17_000))
    assert too_long.refused is not None and "the limit is 16000" in too_long.refused
    lab.evaluator.let_go()
    assert await lab.ended() == "finished"
    told = [b for b in mind.seen if "The person edited the memory" in str(b["messages"])]
    assert told and "try wider rows" in str(told[0]["messages"][-1])
    (note,) = lab.check_whole().memory.values()
    assert note.author == "person" and note.text == "try wider rows"
