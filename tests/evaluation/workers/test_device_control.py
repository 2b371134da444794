"""Devices that disagree about one candidate: who is believed, who is set aside, who returns."""

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avo_tui.domain.report import EvaluationReport
from avo_tui.domain.score import ConfigurationScore, Score
from avo_tui.domain.verdict import Feedback, Verdict
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.workers import fleet as fleet_module
from avo_tui.evaluation.workers.agreement import EVERY, Controls
from avo_tui.evaluation.workers.fleet import Fleet
from tests.evaluation.workers.fake_device import FakeDevice, FakeSite
from tests.evaluation.workers.test_fleet import ask, states
from tests.waiting import until

BODY: dict[str, object] = {"op": "evaluate", "task": "t", "files": {"k.cpp": "int x;"}}


def answer(ratio: float = 1.0, verdict: str = "correct", noise: float = 0.01) -> dict[str, object]:
    one = ConfigurationScore(
        name="small", throughput=100 * ratio, p20=99 * ratio, p80=101 * ratio, ratio=ratio,
        ratio_p20=ratio * (1 - noise), ratio_p80=ratio * (1 + noise), baselines={"library": 100.0},
    )  # fmt: skip
    score = Score(unit="GFLOP/s", reference_baseline="library", configurations=(one,))
    return EvaluationReport(
        task="t", candidate="c", verdict=Verdict(verdict), feedback=Feedback(summary=""),
        score=score if verdict == "correct" else None,
    ).model_dump(mode="json")  # fmt: skip


def measured(*ratios: float | str) -> tuple[Controls, list[str]]:
    """Controls in which devices a, b, … measured once each; a text is a verdict."""
    controls = Controls()
    assert controls.offer(BODY, answer())
    names = [chr(ord("a") + n) for n in range(len(ratios))]
    for name, ratio in zip(names, ratios, strict=True):
        told = answer(verdict=ratio) if isinstance(ratio, str) else answer(ratio)
        controls.take(name, told, 0)
    return controls, names


def again(controls: Controls, name: str, ratio: float | str) -> None:
    told = answer(verdict=ratio) if isinstance(ratio, str) else answer(ratio)
    controls.take(name, told, 0)


def test_only_a_candidate_that_was_measured_as_correct_becomes_the_control() -> None:
    controls = Controls()
    for body, told in (
        ({"op": "check"}, answer()),
        (BODY, answer(verdict="wrong_result")),
        (BODY, {"verdict": "correct"}),
        (BODY, None),
    ):
        assert not controls.offer(body, told) and not controls.due("a", 0)
    assert controls.offer(BODY, answer())
    assert controls.body == BODY and controls.due("a", 0)
    assert not controls.offer(BODY, answer())


def test_it_is_due_once_and_then_now_and_then_and_after_a_new_worker() -> None:
    controls, _ = measured(1.0, 1.0)
    assert not controls.due("a", EVERY - 1) and controls.due("a", EVERY)
    controls.forget("a")
    assert controls.due("a", 0) and not controls.due("b", 0)


def test_a_figure_is_believed_when_both_have_measured_again() -> None:
    controls, names = measured(1.0, 0.7)
    assert controls.review(names) == {}
    assert controls.due("a", 0) and controls.due("b", 0)
    again(controls, "b", 0.7)
    assert controls.review(names) == {} and not controls.due("b", 0)
    again(controls, "a", 1.0)
    odd = controls.review(names)
    assert list(odd) == ["b"] and "0.700 of the baseline, a at 1.000" in odd["b"]


def test_a_figure_that_was_chance_is_forgotten() -> None:
    controls, names = measured(1.0, 0.7)
    assert controls.review(names) == {}
    again(controls, "b", 1.01)
    assert controls.review(names) == {} and not controls.due("b", 0)


def test_another_verdict_counts_at_once() -> None:
    controls, names = measured(1.0, 1.0, "wrong_result")
    odd = controls.review(names)
    assert list(odd) == ["c"] and "wrong_result, a found it correct" in odd["c"]


def test_the_larger_group_is_believed_also_against_the_first() -> None:
    controls, names = measured("wrong_result", 1.0, 1.0)
    assert controls.review(names) == {} and controls.due("a", 0)
    again(controls, "a", "wrong_result")
    assert list(controls.review(names)) == ["a"]


def test_of_two_the_one_that_changed_is_not_believed() -> None:
    controls, names = measured(1.0, 1.0)
    assert controls.review(names) == {}
    for _ in range(2):
        again(controls, "a", 0.6)
        controls.review(names)
    again(controls, "b", 1.0)
    assert list(controls.review(names)) == ["a"]


def test_one_that_disagreed_has_to_agree_more_often_each_time() -> None:
    controls, names = measured(1.0, 1.0, 1.0)
    rest = names[:2]
    for times in (2, 3):
        again(controls, "c", "crash")
        assert list(controls.review(names)) == ["c"]
        for n in range(times):
            again(controls, "c", 1.0)
            assert controls.agrees_again("c", rest) is (n == times - 1)


def test_a_failure_of_the_harness_is_no_measurement() -> None:
    controls, names = measured(1.0, 1.0)
    assert controls.take("b", answer(verdict="harness_error"), 0) is None
    assert controls.take("b", "nonsense", 0) is None
    assert controls.review(names) == {}


@given(
    st.lists(st.floats(0.99, 1.01), min_size=2, max_size=8),
    st.lists(st.floats(0.99, 1.01), min_size=2, max_size=8),
)
def test_devices_within_their_noise_never_disagree(one: list[float], two: list[float]) -> None:
    controls, names = measured(*one)
    assert controls.review(names) == {}
    for name, ratio in zip(names, two, strict=False):
        again(controls, name, ratio)
        assert controls.review(names) == {}


@given(st.integers(1, 3), st.floats(0.2, 0.85) | st.sampled_from(["wrong_result", "crash"]))
def test_a_minority_that_lies_is_found_and_nobody_else(liars: int, lie: float | str) -> None:
    honest = liars + 1
    controls, names = measured(*([lie] * liars + [1.0] * honest))
    odd: set[str] = set(controls.review(names))
    for _ in range(3):
        used = [n for n in names if n not in odd]
        for name in used:
            if controls.due(name, 0):
                again(controls, name, lie if names.index(name) < liars else 1.0)
                odd |= set(controls.review([n for n in used if n not in odd]))
    assert odd == set(names[:liars])


# -- in a fleet


class Measuring(FakeDevice):
    """A device whose reports a test sets."""

    def __init__(self, name: str, tell: Callable[[int], dict[str, object]]) -> None:
        super().__init__(name)
        self.tell = tell
        self.asked = 0

    async def request(self, body: dict[str, object], progress: object) -> dict[str, object]:
        await super().request(body, None)
        self.asked += 1
        return self.tell(self.asked)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_RETRY", "LAST_RETRY"):
        monkeypatch.setattr(fleet_module, name, 0.001)
    for name in ("FIRST_RECHECK", "LAST_RECHECK"):
        monkeypatch.setattr(fleet_module, name, 0.001)


async def evaluate(fleet: Fleet, count: int) -> list[object]:
    async with asyncio.timeout(240):
        answers = await asyncio.gather(*(fleet.request({**BODY, "name": n}) for n in range(count)))
    return [a["worker"] for a in answers]


async def test_a_slow_device_gets_no_work_until_it_agrees(soon: None) -> None:
    devices = [Measuring(name, lambda _: answer()) for name in "ab"]
    slow = Measuring("slow", lambda _: answer(0.6))
    async with Fleet([FakeSite(*devices, slow)]) as fleet:
        await evaluate(fleet, 12)
        await until(lambda: states(fleet)["slow"] == "disagrees" or slow.asked > 60)
        status = next(w for w in fleet.workers() if w.name == "slow")
        assert "0.600 of the baseline" in status.reason and status.control_ratio == 0.6
        assert fleet.width == 2
        assert "slow" not in await evaluate(fleet, 30)
        slow.tell = lambda _: answer(1.005)
        await until(lambda: states(fleet)["slow"] in {"idle", "busy"})
        await until(lambda: set(states(fleet).values()) == {"idle"})
        assert "slow" in await evaluate(fleet, 30)


async def test_a_device_that_is_wrong_now_and_then_is_found(soon: None) -> None:
    """Wrong in every third answer; what it says of the control is what it is judged by."""
    devices = [Measuring(name, lambda _: answer()) for name in "ab"]
    odd = Measuring("odd", lambda n: answer(verdict="wrong_result" if n % 3 == 0 else "correct"))
    async with Fleet([FakeSite(*devices, odd)]) as fleet:
        seen = set()
        for _ in range(40):
            await evaluate(fleet, 30)
            seen.add(states(fleet)["odd"])
            if "disagrees" in seen:
                break
        assert "disagrees" in seen


async def test_what_a_device_was_doing_when_it_was_found_is_done_again() -> None:
    one, two = (Measuring(name, lambda _: answer()) for name in "ab")
    odd = Measuring("odd", lambda _: answer())
    async with Fleet([FakeSite(one, two, odd)]) as fleet:
        await evaluate(fleet, 6)
        await until(lambda: set(states(fleet).values()) == {"idle"})
        released: set[str] = set()
        for device in (one, two, odd):
            device.gate = lambda body, name=device.name: name in released  # type: ignore[misc]
        tasks = [ask(fleet, n) for n in range(3)]
        await until(lambda: all(d.running for d in (one, two, odd)))
        fleet._exclude(fleet._members["odd"], "the test says so")
        released.add("odd")
        await until(lambda: not odd.running)
        released.update("ab")
        answers = await asyncio.wait_for(asyncio.gather(*tasks), 240)
        assert {a["worker"] for a in answers} == {"a", "b"} and states(fleet)["odd"] == "disagrees"


async def test_one_device_alone_measures_no_control() -> None:
    device = Measuring("a", lambda _: answer())
    async with Fleet([FakeSite(device)]) as fleet:
        await evaluate(fleet, 2 * EVERY)
        assert device.asked == 2 * EVERY and fleet.workers()[0].controls == 0


async def test_a_control_that_cannot_be_measured_holds_nobody_up(soon: None) -> None:
    class Failing(Measuring):
        async def request(self, body: dict[str, object], progress: object) -> dict[str, object]:
            if "name" not in body or body["name"] == "control":
                raise EvaluatorError("no room")
            return await super().request(body, progress)

    failing = Failing("b", lambda _: answer())
    async with Fleet([FakeSite(Measuring("a", lambda _: answer()), failing)]) as fleet:
        await fleet.request({**BODY, "name": "control"})
        assert len(await evaluate(fleet, 20)) == 20
