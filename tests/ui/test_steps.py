from avo_tui.domain import events as ev
from avo_tui.ui.session.step_view import STREAM_LIMIT, TEXT_LIMIT, StepFold, fold
from tests.ui.make_session import MemorySource


def test_the_running_step_is_folded(recorded: MemorySource) -> None:
    view = fold(recorded.events(step=25))
    assert view.number == 25 and view.ended is None
    assert [i.status for i in view.items] == ["done", "doing", "todo", "todo"]
    assert view.attempt is not None and view.attempt.attempt.number == 3
    assert [(s.stage, s.state) for s in view.attempt.stages] == [
        ("compile", "done"),
        ("check", "done"),
        ("benchmark", "running"),
    ]
    assert view.attempt.current is not None and (
        view.attempt.current.index,
        view.attempt.current.count,
    ) == (3, 4)
    hint = next(e for e in view.stream if e.kind == "hint")
    assert hint.ok and "before tool 7" in hint.detail


def test_a_finished_step_knows_its_version(recorded: MemorySource) -> None:
    view = fold(recorded.events(step=24))
    assert view.outcome == "committed" and view.version == 20
    assert view.attempt is not None and view.attempt.version == 20


def test_chunks_of_a_block_are_joined_and_bounded() -> None:
    made = StepFold()
    for i in range(300):
        made.apply(ev.AgentText(block="b", text=f"{i:04d}" * 25))
    (entry,) = made.snapshot().stream
    assert len(entry.text) == TEXT_LIMIT and entry.text.endswith("0299")


def test_the_stream_is_bounded() -> None:
    made = StepFold()
    for i in range(STREAM_LIMIT * 2):
        made.apply(ev.ToolCalled(call=f"c{i}", tool="read"))
    stream = made.snapshot().stream
    assert len(stream) == STREAM_LIMIT and stream[-1].key == f"c{STREAM_LIMIT * 2 - 1}"


def test_a_result_without_its_call_is_shown() -> None:
    made = StepFold()
    made.apply(ev.ToolReturned(call="x", tool="compile", ok=False, summary="interrupted"))
    (entry,) = made.snapshot().stream
    assert entry.ok is False and entry.detail == "interrupted"


def test_a_tool_that_does_several_things_shows_which_it_does_now() -> None:
    made = StepFold()
    made.apply(ev.ToolCalled(call="c1", tool="bench", arguments={"pairs": 2}))
    made.apply(ev.ToolProgressed(call="c1", doing="2 of 3: TILE=64", result="TILE=32 1.0213"))
    assert made.snapshot().stream[-1].detail == "2 of 3: TILE=64 · TILE=32 1.0213"
    made.apply(ev.ToolProgressed(call="c1", doing="", result=""))
    assert made.snapshot().stream[-1].detail == "2 of 3: TILE=64 · TILE=32 1.0213"
    made.apply(ev.ToolReturned(call="c1", tool="bench", ok=True, summary="Speed over v3"))
    assert len(made.snapshot().stream) == 1 and made.snapshot().stream[-1].detail == "Speed over v3"


def test_the_snapshot_is_the_same_object_while_nothing_changes(recorded: MemorySource) -> None:
    made = StepFold()
    for event in recorded.events(step=25):
        made.apply(event)
    assert made.snapshot() is made.snapshot()


def test_why_an_attempt_is_no_version_is_said_once(recorded: MemorySource) -> None:
    step = StepFold()
    for event in recorded.events(step=25):
        step.apply(event)
        if isinstance(event, ev.GateDecided):
            break
    assert isinstance(event, ev.GateDecided)
    gates = [e for e in step.snapshot().stream if e.kind == "gate"]
    assert len(gates) == 1
    step.apply(ev.AttemptRejected(attempt=event.attempt, reason=event.decision.reason))
    assert not any(e.text == "not committed" for e in step.snapshot().stream)
    step.apply(ev.AttemptRejected(attempt=event.attempt, reason="measured again: no answer"))
    last = step.snapshot().stream[-1]
    assert (last.text, last.detail, last.ok) == (
        "not committed",
        "measured again: no answer",
        False,
    )
