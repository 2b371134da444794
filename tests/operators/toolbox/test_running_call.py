"""What a tool that does several things says of them, and what is left of it when it is cut off."""

from collections.abc import Callable

import pytest

from avo_tui.domain import events as ev
from avo_tui.domain.report import EvaluationProgress
from avo_tui.operators.ports import Interrupted, StepEnded
from avo_tui.operators.toolbox import Toolbox
from avo_tui.operators.toolbox.running_call import SHOWN, RunningCall, so_far, unreturned
from tests.operators.fake_workbench import FakeWorkbench
from tests.operators.toy_task import source

SWEEP = {"TILE": ["1", "2", "3"]}


async def drafted(
    text: str = source(1.2), tell: Callable[[str, tuple[str, ...]], None] = lambda *told: None
) -> tuple[FakeWorkbench, Toolbox]:
    bench = FakeWorkbench()
    box = Toolbox(bench, tell=tell)
    await box.call("write_file", {"text": text})
    return bench, box


async def test_each_variant_is_told_with_what_those_before_gave() -> None:
    told: list[tuple[str, tuple[str, ...]]] = []
    bench, box = await drafted(tell=lambda *said: told.append(said))
    await box.run("c1", "bench", {"sweep": SWEEP})
    doing = [text for text, _ in told]
    assert doing[:3] == [f"check {n} of 3: TILE={n}" for n in (1, 2, 3)]
    assert "pair 1 of 1, 2 of 3: TILE=2" in doing
    last = told[-1][1]
    assert [line.split(" ")[0] for line in last] == ["TILE=1", "TILE=2", "TILE=3"]
    assert all("1.2000 by 1 pair" in line for line in last)
    assert bench.more == [True, True, False], "the device is kept for the next, and then no more"
    events = bench.of(ev.ToolProgressed)
    assert [e.result for e in events if e.result] == list(last), "and recorded"
    assert {e.call for e in events} == {"c1"} and not unreturned(bench.journal)


@pytest.mark.parametrize(
    ("tool", "work"), [("bench", "remeasure"), ("quick_bench", "compare_quickly")]
)
@pytest.mark.parametrize(
    "end", [lambda: Interrupted("pause now"), lambda: StepEnded("aborted", "by the person")]
)
async def test_what_was_measured_is_kept_when_the_call_is_cut_off(
    tool: str, work: str, end: Callable[[], Interrupted | StepEnded]
) -> None:
    bench, box = await drafted()

    def cut() -> None:
        if bench.runs.count(work) == 3:
            raise end()

    bench.on_work = cut
    with pytest.raises((Interrupted, StepEnded)) as caught:
        await box.run("c1", tool, {"sweep": SWEEP})
    cut_off = caught.value
    assert isinstance(cut_off, Interrupted | StepEnded)
    assert all(word in cut_off.brought for word in ("TILE=1", "TILE=2", "1.2000"))
    left = await box.call("read_result", {"call": "c1"})
    assert left.ok and "given no answer" in left.text and "TILE=2" in left.text
    again = Toolbox(bench)  # as after a kill of the engine
    assert "TILE=1" in (await again.call("read_result", {"call": "c1"})).text


async def test_variants_that_were_evaluated_can_be_submitted_after_an_interruption() -> None:
    bench, box = await drafted()
    bench.on_work = lambda: bench.cut("pause now") if bench.evaluations == 2 else None
    bench.evaluation_seconds = 0.01
    with pytest.raises(Interrupted) as caught:
        await box.run("c1", "evaluate_many", {"title": "tiles", "sweep": SWEEP})
    assert caught.value.brought.startswith("2 of 3 variants were evaluated")
    assert len(box.workspace.evaluated) == 2


async def test_no_pair_is_spent_on_a_wrong_variant() -> None:
    bench, box = await drafted(source(1.1))
    await box.call("evaluate", {"title": "a tenth faster"})
    await box.call("write_file", {"text": source(1.3) + "WRONG"})
    answer = await box.call("bench", {"attempts": ["1.1"], "pairs": 2})
    assert bench.runs.count("quick check") == 1, "what the record knows is not checked again"
    assert bench.runs.count("remeasure") == 2
    assert "wrong_result: off by 4" in answer.text and "attempt 1.1: 1.1000" in answer.text


async def test_a_candidate_is_checked_once() -> None:
    bench, box = await drafted()
    await box.call("check", {})
    await box.call("bench", {})
    await box.call("bench", {"sweep": SWEEP})
    await box.call("bench", {"sweep": SWEEP})
    assert bench.runs.count("quick check") == 3


async def test_an_error_of_the_compiler_is_said_once() -> None:
    _, box = await drafted(source(1.2) + "SYNTAX")
    answer = await box.call("bench", {"sweep": SWEEP})
    assert (
        answer.text.count("expected ';'") == 1 and "- all 3 variants: compile_error" in answer.text
    )
    assert "Speed over" not in answer.text, "nothing was timed"


def test_waiting_for_the_device_is_told_until_it_is_over() -> None:
    told: list[str] = []
    call = RunningCall("c1", tell=lambda doing, results: told.append(doing))
    call.begin("1 of 2: a")
    call.hear(EvaluationProgress(stage="waiting", state="started", detail="cpu is in use by x"))
    call.hear(EvaluationProgress(stage="waiting", state="started", detail="cpu is in use by x"))
    call.hear(EvaluationProgress(stage="waiting", state="finished"))
    progress = EvaluationProgress(
        stage="benchmark", state="configuration", configuration="small", index=1, count=4
    )
    call.hear(progress)
    assert told == [
        "1 of 2: a",
        "1 of 2: a; waits for the device: cpu is in use by x",
        "1 of 2: a",
        "1 of 2: a; measures small (1 of 4)",
    ]


def test_secrets_are_taken_out_of_what_is_told_and_recorded() -> None:
    told: list[str] = []
    recorded: list[ev.Event] = []
    call = RunningCall(
        "c1", recorded.append, lambda *said: told.append(str(said)), lambda t: t.replace("key", "•")
    )
    call.begin("key", "key")
    call.hear(EvaluationProgress(stage="waiting", state="started", detail="key"))
    assert len(told) == 2 and len(recorded) == 1
    assert "key" not in f"{told}{recorded}"


def test_many_results_are_cut_to_the_newest() -> None:
    text = so_far("now", [f"variant {n} {'x' * 40}" for n in range(100)])
    assert text.startswith("now. So far: …; ") and "variant 99" in text
    assert len(text) < SHOWN + 50
