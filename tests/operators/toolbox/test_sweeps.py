"""Variants and pairs: sweeps, what a change over a version is worth, a busy machine."""

import re

import pytest

from avo_tui.domain.events import (
    PairMeasured,
)
from avo_tui.domain.evidence import Comparison
from avo_tui.domain.score import PairedMeasurement
from avo_tui.operators.agent.prompts.opening import opening
from avo_tui.operators.toolbox import Toolbox, timing_tools
from tests.operators.fake_workbench import FakeWorkbench
from tests.operators.toolbox.calls import bad, ok
from tests.operators.toy_task import source


async def test_a_sweep_says_that_its_figures_are_of_different_runs(box: Toolbox) -> None:
    answer = await ok(box, "evaluate_many", title="tiles", sweep={"TILE": ["1", "2"]})
    assert "Each was measured in a run of its own" in answer and "bench times" in answer


async def test_variants_that_share_a_mistake_cost_no_evaluation(
    box: Toolbox, bench: FakeWorkbench
) -> None:
    await ok(box, "write_file", text=f"{source(1.2)}\nSYNTAX\n")
    told = await bad(box, "evaluate_many", title="tiles", sweep={"TILE": ["1", "2"]})
    assert "no evaluation was spent" in told and "all 2 variants: compile_error" in told
    assert "No attempts" in await ok(box, "list_attempts")


async def test_an_attempt_of_the_step_is_submitted_by_its_name(
    box: Toolbox, bench: FakeWorkbench
) -> None:
    await ok(box, "write_file", text=source(1.2))
    await ok(box, "evaluate", title="a fifth faster")
    first = box.workspace.working.id
    await ok(box, "write_file", text=source(1.1))
    await ok(box, "evaluate", title="a tenth faster")
    told = await bad(box, "submit", summary="the first of them", attempt="1.9")
    assert "There is no attempt 1.9" in told
    assert "Committed as v1" in await ok(box, "submit", summary="the first of them", attempt="1.1")
    assert box.workspace.working.id == first == bench.reading.versions()[1].candidate


async def test_compiler_flags_are_swept_as_macros_are(box: Toolbox) -> None:
    """By bench and by evaluate_many; a candidate that takes no flags is told so."""
    await ok(box, "write_file", file="kernel.cpp", text=source(1.2))
    answer = await ok(box, "bench", flags=["-O2", ""])
    assert "flags `-O2`" in answer and "no flags" in answer
    answer = await ok(box, "evaluate_many", title="flags", flags=["-O2", "-O3"])
    assert "flags `-O3`" in answer and "2 of 2 variants" in answer
    nothing = await box.call("evaluate_many", {"title": "nothing varied"})
    assert not nothing.ok and "Say what is varied" in nothing.text


async def test_a_change_is_shown_only_where_two_were_timed_in_turn(
    box: Toolbox, bench: FakeWorkbench
) -> None:
    """Scores of two runs say nothing of a change on a configuration; pairs at the gate do."""
    await ok(box, "write_file", text=source(1.2))
    fresh = await ok(box, "evaluate", title="a fifth faster")
    assert "ratio 1." in fresh and "over v0 in" not in fresh and "% against v0\n" not in fresh
    candidate, head = box.workspace.working.id, bench.reading.head
    names = [c.name for c in head.score.configurations]
    pairs = tuple(
        PairedMeasurement(configurations=dict.fromkeys(names, (g, g, g))) for g in (1.05, 1.07)
    )
    comparison = Comparison(
        number=1, candidate=candidate, against=head.candidate, error=0.01, replicates=pairs
    )
    bench.record(PairMeasured(attempt=1, comparison=comparison))
    again = await ok(box, "evaluate", title="the same again")
    told = [line for line in again.splitlines() if "over v0 in 2 pairs" in line]
    assert len(told) == len(names) and all("at the gate +6.00% [" in line for line in told)
    report = await ok(box, "read_attempt", step=1, number=1)
    assert report.count("at the gate +6.00%") == len(names)


@pytest.mark.parametrize("name", ["foo", "1", "1.", ".1", "1.1.1", "-1.1", "٣.١", "", "9" * 5000])
async def test_a_name_that_no_attempt_has_is_refused_in_a_sentence(box: Toolbox, name: str) -> None:
    await ok(box, "write_file", text=source(1.2))
    await ok(box, "evaluate", title="a fifth faster")
    assert f"There is no attempt {name}; list_attempts" in await bad(box, "bench", attempts=[name])
    assert "attempt" in await bad(box, "reset_candidate", attempt=name)


async def test_timing_says_how_long_it_took(box: Toolbox) -> None:
    await ok(box, "write_file", text=source(1.2))
    answer = await ok(box, "bench", sweep={"TILE": ["1", "2"]}, pairs=2)
    assert re.search(r"4 pairs in \d+\.\d s, \d+\.\d s each\.", answer)


async def test_a_busy_machine_is_waited_for(
    box: Toolbox, bench: FakeWorkbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent that asked again and again got no answer but that it is busy."""
    await ok(box, "write_file", text=source(1.2))
    looks = ["session other measures", "session other measures", ""]
    monkeypatch.setattr(timing_tools, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(bench, "busy", lambda: looks.pop(0) if len(looks) > 1 else looks[0])
    answer = await ok(box, "bench", if_busy="wait")
    assert answer.startswith("Waited 0 s for a quiet machine: session other measures.")
    assert "the working candidate" in answer
    looks[:] = ["session other measures"]
    monkeypatch.setattr(timing_tools, "QUIET_SECONDS", 0.02)
    answer = await ok(box, "submit", if_busy="wait", summary="a tenth faster")
    assert "no pair is spent: the machine is busy now after 0 s of waiting" in answer


async def test_the_load_is_told_and_pairs_are_not_spent_on_a_busy_machine(
    box: Toolbox, bench: FakeWorkbench
) -> None:
    await ok(box, "write_file", text=source(1.2))
    await ok(box, "evaluate", title="a fifth faster")
    assert "busy" not in await ok(box, "bench", if_busy="say")
    bench.occupied = "session other (process 7) measures"
    runs = len(bench.runs)
    for name, more in (("bench", {}), ("submit", {"summary": "a fifth faster"})):
        answer = await ok(box, name, if_busy="say", **more)
        assert "no pair is spent: the machine is busy now: session other" in answer
    assert len(bench.runs) == runs and not bench.state.versions.get(1)
    answer = await ok(box, "bench")
    assert answer.startswith("The machine was busy when this began: session other")
    assert "The machine is busy now: session other" in opening(bench, ())
    assert "Committed as v1" in await ok(box, "submit", summary="a fifth faster")
