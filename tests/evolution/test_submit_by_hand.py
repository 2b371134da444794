"""Candidates of the person, notes, memory and bookmarks."""

import asyncio

import pytest

from avo_tui.domain import commands as cmd
from avo_tui.domain import events as ev
from avo_tui.domain.budget import Budget, Caps
from avo_tui.domain.records import Author
from avo_tui.domain.run_settings import RunSettings
from avo_tui.operators.ports import StepOutcome, Workbench
from avo_tui.store import send_command
from tests.evolution.fake_evaluator import FakeEvaluator, seed
from tests.evolution.laboratory import MakeLab
from tests.evolution.test_control import slow_lab
from tests.evolution.test_engine import Scripted, with_values


async def test_bookmark_and_note(make_lab: MakeLab) -> None:
    lab = await slow_lab(make_lab)
    assert (
        await lab.send(cmd.SetBookmark(version=0, label="start"))
    ).effect == "v0 is marked start"
    await lab.send(cmd.Annotate(version=0, text="where it began"))
    version = lab.state.versions[0]
    assert (version.bookmark, version.note) == ("start", "where it began")
    await lab.send(cmd.SetBookmark(version=0, label=None))
    version = lab.state.versions[0]
    assert (version.bookmark, version.note) == (None, "where it began")
    assert (await lab.send(cmd.SetBookmark(version=7, label="x"))).refused is not None
    for name in ("best", " HEAD ", "v12", "3"):
        refused = (await lab.send(cmd.SetBookmark(version=0, label=name))).refused
        assert refused is not None and "choose another name" in refused
    assert (await lab.send(cmd.Annotate(version=7, text="x"))).refused is not None


async def test_memory(make_lab: MakeLab) -> None:
    lab = await slow_lab(make_lab)
    await lab.send(cmd.EditMemory(text="tiles of 64 spill", category="failed"))
    (note,) = lab.state.memory.values()
    assert (note.text, note.category, note.author) == ("tiles of 64 spill", "failed", "person")
    await lab.send(cmd.EditMemory(note=note.id, text="tiles of 128 spill"))
    assert lab.state.memory[note.id].text == "tiles of 128 spill"
    too_much = "x" * 10_000
    await lab.send(cmd.EditMemory(text=too_much))
    refused = await lab.send(cmd.EditMemory(text=too_much))
    assert refused.refused is not None and "limit is 16000" in refused.refused
    await lab.send(cmd.EditMemory(note=note.id, text=None))
    assert note.id not in lab.state.memory
    assert (await lab.send(cmd.EditMemory(note="nope", text="x"))).refused is not None


async def test_remeasure_keeps_the_score_at_the_gate(make_lab: MakeLab) -> None:
    lab = make_lab(None, FakeEvaluator(seconds=0.01))
    lab.start()
    await lab.versions(2)
    gate = lab.state.versions[1].aggregate
    answer = await lab.send(cmd.Remeasure(version=1))
    assert "v1 measured again" in answer.effect
    version = lab.state.versions[1]
    assert version.aggregate == gate and len(version.remeasurements) == 1
    assert (await lab.send(cmd.Remeasure(version=99))).refused is not None


async def test_a_submission_waits_for_the_seed(make_lab: MakeLab) -> None:
    lab = make_lab(None, FakeEvaluator(seconds=0.01))
    lab.hold_from(0)
    lab.start()
    await lab.held()
    early = cmd.Submit(candidate=with_values(ALGORITHM="2", WIDTH="16"), plan="early")
    identity = send_command(lab.folder, early)
    await lab.until(lambda: list(lab.run.control.jobs))
    assert not lab.state.versions
    lab.evaluator.let_go()
    await lab.until(lambda: identity in lab.state.commands)
    assert "committed as v" in lab.state.commands[identity].effect


async def test_without_a_run_that_would_measure_the_seed_it_is_refused(make_lab: MakeLab) -> None:
    lab = make_lab(None, FakeEvaluator(seconds=0.01))
    early = cmd.Submit(candidate=with_values(ALGORITHM="2", WIDTH="16"), plan="early")
    identity = send_command(lab.folder, early)
    lab.start(brief=True)
    await lab.ended()
    refused = lab.state.commands[identity].refused
    assert refused is not None and f"avo run --resume {lab.folder.name}" in refused


async def test_submit_by_hand_while_paused(make_lab: MakeLab) -> None:
    lab = make_lab(None, FakeEvaluator(seconds=0.01))
    lab.hold_from(1)
    lab.start()
    await lab.held()
    await lab.send(cmd.Pause(mode="after_step"))
    lab.evaluator.let_go()
    await lab.in_state("paused")
    best = with_values(ALGORITHM="2", WIDTH="16", FAST_EXP="true", TILE_K="64", UNROLL="4")
    answer = await lab.send(cmd.Submit(candidate=best, plan="everything", summary="by hand"))
    assert "committed as" in answer.effect
    newest = lab.state.versions[max(lab.state.versions)]
    assert newest.author == "person" and newest.plan == "everything"
    assert lab.state.session.head == newest.number
    assert lab.state.session.state == "paused", "still paused"
    edited = [e for e in lab.of(ev.CandidateEdited) if e.candidate == best.id]
    assert edited and edited[0].added > 0 and "+constexpr int WIDTH = 16" in edited[0].diff
    again = await lab.send(cmd.Submit(candidate=best))
    assert again.effect == f"the same source is v{newest.number} already"
    missing = await lab.send(cmd.Submit(candidate=seed(), parent=99))
    assert missing.refused is not None


async def test_submit_by_hand_in_the_middle_of_a_step(make_lab: MakeLab) -> None:
    lab = await slow_lab(make_lab)
    worse = with_values(UNROLL="8")
    identity = send_command(lab.folder, cmd.Submit(candidate=worse, plan="try 8"))
    await lab.until(lambda: lab.run.control.jobs)
    lab.evaluator.let_go()
    await lab.until(lambda: identity in lab.state.commands)
    answer = lab.state.commands[identity]
    assert "not committed" in answer.effect
    await lab.stop()
    lab.check_whole()


async def test_a_submission_is_judged_by_its_own_result(make_lab: MakeLab) -> None:
    """Not by that of the attempt before it in the same step."""

    async def vary(bench: Workbench) -> StepOutcome:
        await bench.evaluating.evaluate(with_values(UNROLL="8"), "slower")
        while True:  # ends: the engine ends the step
            await bench.control.boundary("waiting")
            await asyncio.sleep(0.005)

    lab = make_lab()
    lab.start(Scripted(vary))
    await lab.until(lambda: (1, 1) in lab.state.attempts and lab.state.attempts[1, 1].verdict)
    best = with_values(ALGORITHM="2", WIDTH="16", FAST_EXP="true")
    answer = await lab.send(cmd.Submit(candidate=best, plan="by hand"))
    assert "committed as v1" in answer.effect and lab.state.versions[1].candidate == best.id
    await lab.stop()


async def test_a_command_on_a_version_whose_source_is_lost_is_refused(make_lab: MakeLab) -> None:
    lab = make_lab()
    lab.start()
    await lab.until(lambda: lab.state.versions)
    lab.writer.objects.path(lab.state.versions[0].candidate).unlink()
    answer = await lab.send(cmd.Remeasure(version=0))
    assert answer.refused is not None and "is missing" in answer.refused
    assert lab.task is not None and not lab.task.done()
    await lab.stop()


@pytest.mark.parametrize(
    ("author", "origin", "evaluated"),
    [("tuner", "other:3", False), ("external", "", False), ("person", "", True)],
)
async def test_a_used_up_budget_holds_for_what_no_person_wrote(
    make_lab: MakeLab, author: Author, origin: str, evaluated: bool
) -> None:
    budget = Budget(run=Caps(evaluations=1))  # the seed's
    lab = make_lab(RunSettings(operator="external", budget=budget))
    identity = send_command(
        lab.folder,
        cmd.Submit(candidate=with_values(ALGORITHM="2"), author=author, origin=origin, plan="x"),
    )
    lab.start()
    assert await lab.ended() == "finished"
    refused = lab.state.commands[identity].refused or ""
    assert ("budget of the run: 1 of 1 evaluations; it was not evaluated" in refused) != evaluated
    assert lab.state.session.spend.evaluations == 1 + evaluated
    assert lab.state.current_step is None
