"""The opening for an outside agent: short whatever the run holds, and nothing without a pointer."""

import pytest

from avo_tui.domain.base import now
from avo_tui.domain.events import CandidateProfiled, HintDelivered, HintQueued, NoteWritten
from avo_tui.domain.records import Hint, Note, Profile
from avo_tui.operators.agent.prompts.opening import opening, task_text
from avo_tui.operators.seat.opening import TOTAL, seat_opening
from avo_tui.operators.toolbox import Toolbox, Workspace
from avo_tui.store import SessionReader
from tests.operators.fake_workbench import FakeWorkbench
from tests.operators.toy_task import source
from tests.shipped import shipped_sessions

LONG = "// a line of the kernel that says nothing\n" * 900


async def grown(versions: int, rejected: int, notes: int, text: str) -> FakeWorkbench:
    """A run with so many versions, rejected attempts and notes; `text` pads each source."""
    bench = FakeWorkbench()
    for number in range(1, versions + 1):
        box = Toolbox(bench)
        await box.call("write_file", {"text": source(1.0 + 0.2 * number) + text})
        await box.call("evaluate", {"title": f"idea {number}: " + "why " * 30})
        await box.call("submit", {"summary": f"idea {number} paid: " + "because " * 100})
        bench.begin(bench.step + 1)
    box = Toolbox(bench)
    for number in range(rejected):
        await box.call("write_file", {"text": source(0.5) + f"// {number}\n" + text})
        await box.call("evaluate", {"title": f"vain {number}: " + "why " * 40})
    bench.begin(bench.step + 1)
    for number in range(notes):
        author = "person" if number == 0 else "agent"
        note = Note(
            id=f"n{number}", category="fact", text=f"note {number} " * 80, step=1, at=now(),
            author=author,
        )  # fmt: skip
        bench.record(NoteWritten(note=note))
    candidate = bench.head.candidate
    summary = "\n".join(f"{n}% of the time in a loop" + " and more" * 20 for n in range(24))
    profile = Profile(
        id="p", candidate=candidate, configuration="", report=bench.keep("x"), summary=summary,
        at=now(),
    )  # fmt: skip
    bench.record(CandidateProfiled(profile=profile))
    return bench


@pytest.mark.parametrize(
    ("versions", "rejected", "notes", "text"),
    [(0, 0, 0, ""), (1, 1, 2, ""), (2, 3, 30, LONG), (30, 30, 30, ""), (6, 60, 30, LONG)],
)
async def test_it_is_short_whatever_the_run_holds(
    versions: int, rejected: int, notes: int, text: str
) -> None:
    bench = await grown(versions, rejected, notes, text)
    shown = seat_opening(bench, (), Workspace.restore(bench), set())
    assert len(shown) <= TOTAL
    head = bench.candidate(bench.head.candidate).files["kernel.cpp"]
    if len(head) > TOTAL:
        assert "not shown here" in shown and "read_candidate(raw=true)" in shown
        assert f"{len(head.splitlines())} lines, {len(head)} characters" in shown
    else:
        assert head.rstrip() in shown or "read_candidate(raw=true)" in shown
    if notes > 10:
        assert "other notes: recall" in shown
        assert "[n0]" in shown, "the person's note comes before newer ones of the agent"
    if rejected > 20:
        assert "more or alike: list_attempts" in shown
    if versions > 20:
        assert "more: list_versions" in shown


async def test_a_step_taken_up_with_much_done_is_short_too() -> None:
    bench = await grown(2, 2, 2, "")
    box = Toolbox(bench)
    for number in range(40):
        await box.call("write_file", {"text": source(0.4) + f"// {number}\n" + LONG[:9000]})
        await box.run(f"c{number}", "evaluate", {"title": f"vain {number}: " + "why " * 40})
    shown = seat_opening(bench, (), box.workspace, set())
    assert len(shown) <= TOTAL and "show_diff shows all of it" in shown
    assert "earlier ones: list_attempts" in shown and "newest results" in shown


async def test_words_of_the_person_are_never_cut() -> None:
    bench = await grown(2, 3, 30, LONG)
    words = "Mind the registers. " * 150
    hint = Hint(id="h1", text=words, delivery="next_tool", scope="until_cleared", queued_at=now())
    bench.record(HintQueued(hint=hint))
    bench.record(HintDelivered(hint="h1", where="here"))
    shown = seat_opening(bench, (bench.state.hints["h1"],), Workspace.restore(bench), set())
    assert words.strip() in shown and len(shown) <= TOTAL + len(words) + 200


async def test_the_live_session_that_had_36_to_41_thousand_characters() -> None:
    """Its record of 61 evaluations, 10 versions and a full memory."""
    live = next(p for p in shipped_sessions() if p.name == "attention-cpu-live")
    reader = SessionReader.open(live)
    journal = list(reader.events())
    bench = FakeWorkbench(journal=journal, step=reader.state.session.step)
    bench.candidate = reader.candidate  # type: ignore[method-assign]
    bench.report = lambda step, number: None  # type: ignore[method-assign]
    shown = seat_opening(bench, (), Workspace.restore(bench), set())
    assert len(shown) <= TOTAL < len(opening(bench, ()))
    assert "v10" in shown and "read_candidate(raw=true)" in shown and "recall" in shown


async def test_what_a_client_has_read_is_not_told_again() -> None:
    bench = await grown(2, 2, 2, "")
    known: set[str] = set()
    first = seat_opening(bench, (), Workspace.restore(bench), known)
    head = bench.candidate(bench.head.candidate).files["kernel.cpp"].rstrip()
    assert head in first and bench.task.description.strip() in first
    second = seat_opening(bench, (), Workspace.restore(bench), known)
    assert head not in second and "read_candidate(raw=true)" in second
    assert bench.task.description.strip() not in second and "begin_step(whole=true)" in second
    assert len(second) < len(first) - len(head)


def test_what_a_task_asks_for_on_other_inputs_is_told_before_the_gate_refuses() -> None:
    task = FakeWorkbench().reading.task
    assert "is refused where it does not reach" not in task_text(task, None)
    asked = task_text(task.replaced(least_breadth=0.9), None)
    assert f"does not reach 0.9 × `{task.reference_baseline}` on each" in asked
