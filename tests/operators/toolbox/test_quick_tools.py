"""The quick comparison as an agent gets it."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.device import DeviceHealth
from avo_tui.domain.questions import Alternation, Question, QuickComparison, QuickQuestion
from avo_tui.operators.toolbox import Toolbox
from avo_tui.operators.toolbox.quick_tools import QuickRow, left_out, quick_rows, quick_text
from avo_tui.operators.toolbox.variants import Variant
from tests.operators.fake_workbench import FakeWorkbench
from tests.operators.toy_task import source

SPEEDS = st.lists(st.floats(0.5, 2.0), min_size=3, max_size=3)


async def test_variants_are_compared_without_an_attempt_and_marked() -> None:
    bench = FakeWorkbench()
    box = Toolbox(bench)
    await box.call("write_file", {"text": source(1.2)})
    wanted = {"sweep": {"TILE": ["1", "2"]}, "configuration": "small"}
    result = await box.call("quick_bench", wanted)
    assert result.ok and "It shows no gain" in result.text
    lines = result.text.splitlines()
    assert lines[1].startswith("- TILE=1: 1.2000 [")
    assert "not told apart from the first" in result.text and "ms beside 2" in result.text
    assert bench.state.session.spend.evaluations == 0 and not bench.state.attempts
    wrong = await box.call("quick_bench", {"configuration": "huge"})
    assert not wrong.ok and "There is no configuration 'huge'" in wrong.text


async def test_one_that_cannot_be_compared_is_told_beside_the_others() -> None:
    box = Toolbox(FakeWorkbench())
    await box.call("write_file", {"text": source(1.1)})
    await box.call("evaluate", {"title": "a tenth faster"})
    await box.call("write_file", {"text": source(1.2) + "SYNTAX"})
    result = await box.call("quick_bench", {"attempts": ["1.1"]})
    lines = result.text.splitlines()
    assert result.ok and lines[1].startswith("- attempt 1.1: 1.1000")
    assert lines[-2].startswith("- the working candidate: ") and "[" not in lines[-2]


async def test_no_variant_is_begun_once_the_time_is_over() -> None:
    """Where others measure, each waits for its turn: what is there is answered."""
    variants = [_variant(name) for name in ("a", "b", "c")]
    told: list[tuple[str, str]] = []
    more: list[bool] = []
    question = QuickQuestion(files={}, other={})

    async def ask(question: Question[Any], /) -> Any:
        assert isinstance(question, QuickQuestion)
        more.append(question.more)
        return compared(1.0, 1.1).replaced(waited=30.0)

    rows: list[QuickRow] = []
    await quick_rows(rows, variants, ask, question, 0.0, lambda *said: told.append(said))
    assert [row.variant.name for row in rows] == ["a"]
    assert told == [("1 of 3: a", ""), ("", "a 1.0488")] and more == [True]
    rest = left_out(variants, rows)
    assert "30 s of it went on waiting" in rest and "not begun: b; c" in rest
    assert "after 30 s of waiting for the device" in quick_text(rows, "v0")
    whole: list[QuickRow] = []
    await quick_rows(whole, variants, ask, question, 1e9)
    assert len(whole) == 3 and left_out(variants, whole) == ""
    assert more[1:] == [True, True, False], "the device is not kept for nothing"


def compared(*speeds: float) -> QuickComparison:
    return QuickComparison(configurations={"c": Alternation(speeds=speeds, milliseconds=2.0)})


def test_the_first_is_the_fastest_and_others_are_told_apart() -> None:
    rows = [
        QuickRow(_variant("x"), compared(1.0, 1.001, 0.999)),
        QuickRow(_variant("y"), compared(1.04, 1.041, 1.039)),
    ]
    lines = quick_text(rows, "v3").splitlines()
    assert lines[1].startswith("- y:") and "the first" not in lines[1]
    assert "slower than the first" in lines[3]


def test_a_busy_machine_and_remarks_are_told() -> None:
    result = compared(1.0, 1.0).replaced(
        remarks=("its out differs",), health=DeviceHealth(name="cpu", pressure=0.9)
    )
    text = quick_text([QuickRow(_variant("x"), result)], "v3")
    assert "its out differs" in text and "meanwhile programs waited for a core 90%" in text


@given(SPEEDS, SPEEDS)
def test_the_interval_is_that_between_processes(one: list[float], two: list[float]) -> None:
    """Over two configurations the processes are averaged first; the order of them is no matter."""
    result = QuickComparison(
        configurations={
            "a": Alternation(speeds=tuple(one), milliseconds=1.0),
            "b": Alternation(speeds=tuple(two), milliseconds=1.0),
        }
    )
    whole = result.estimate()
    each = [math.log(a * b) / 2 for a, b in zip(one, two, strict=True)]
    assert whole.mean == pytest.approx(sum(each) / 3) and whole.replicates == 3
    low, high = whole.interval()
    assert math.log1p(low) - 1e-9 <= whole.mean <= math.log1p(high) + 1e-9
    spread = max(each) - min(each)
    assert whole.error <= spread + 1e-12
    assert whole.error >= spread / 4 - 1e-12, "it is no less than the processes scatter"
    with pytest.raises(ValueError, match="nothing was measured"):
        QuickComparison().estimate()


@pytest.mark.parametrize("speed", [0.0, -1.0, math.inf, math.nan])
def test_no_figure_that_is_none_gets_in(speed: float) -> None:
    """The answer may come from another machine."""
    with pytest.raises(ValueError, match="speeds"):
        Alternation(speeds=(1.0, speed), milliseconds=1.0)


def _variant(name: str) -> Variant:
    return Variant(name, Candidate(files={"k.cpp": name}))


async def test_a_reason_is_said_once_for_all_variants_that_have_it() -> None:
    box = Toolbox(FakeWorkbench())
    await box.call("write_file", {"text": source(1.2) + "SYNTAX"})
    result = await box.call("quick_bench", {"sweep": {"TILE": ["1", "2", "3"]}})
    assert result.text.count("expected ';'") == 1 and "- all 3 variants: " in result.text
