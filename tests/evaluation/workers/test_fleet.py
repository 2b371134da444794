"""The fleet: each request is answered once, whatever becomes of the devices."""

import asyncio
import random
from collections import Counter
from datetime import timedelta

import pytest

from avo_tui.domain.base import now
from avo_tui.domain.report import EvaluationProgress
from avo_tui.domain.workers import doing_text
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.workers import fleet as fleet_module
from avo_tui.evaluation.workers.fleet import Fleet
from avo_tui.evaluation.workers.link import WorkerGoneError
from avo_tui.evaluation.workers.members import Member
from tests.evaluation.workers.fake_device import FakeDevice, FakeSite
from tests.waiting import until


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost devices are tried again at once."""
    monkeypatch.setattr(fleet_module, "FIRST_RETRY", 0.001)
    monkeypatch.setattr(fleet_module, "LAST_RETRY", 0.01)


def ask(fleet: Fleet, name: object, op: str = "evaluate") -> asyncio.Task[dict[str, object]]:
    return asyncio.ensure_future(fleet.request({"op": op, "name": name}))


def states(fleet: Fleet) -> dict[str, str]:
    return {w.name: w.state for w in fleet.workers()}


async def test_as_many_requests_run_as_there_are_devices_and_answers_name_theirs() -> None:
    one, two = FakeDevice("a"), FakeDevice("b")
    released: set[object] = set()
    for device in (one, two):
        device.gate = lambda body: body["name"] in released
    async with Fleet([FakeSite(one, two)]) as fleet:
        assert fleet.width == 2
        tasks = [ask(fleet, n) for n in range(3)]
        await until(lambda: len(one.running | two.running) == 2)
        assert one.running | two.running == {0, 1}
        released.update(range(3))
        answers = await asyncio.gather(*tasks)
    assert {a["worker"] for a in answers} == {"a", "b"}
    assert Counter([*one.served, *two.served]) == Counter(range(3))
    assert one.closed and two.closed


async def test_what_a_lost_device_was_doing_is_done_on_another_and_says_so() -> None:
    one, two = FakeDevice("a"), FakeDevice("b")
    seen: list[EvaluationProgress] = []
    one.gate = lambda _: False
    two.gate = lambda _: False
    async with Fleet([FakeSite(one, two)]) as fleet:
        task = asyncio.ensure_future(fleet.request({"op": "evaluate", "name": 1}, seen.append))
        await until(lambda: one.running)
        two.gate = lambda _: True
        one.lose()
        answer = await task
        assert answer["worker"] == "b" and two.served == [1] and one.served == []
        assert "a was lost (it was killed)" in seen[0].detail and seen[0].stage == "waiting"
        await until(lambda: states(fleet)["a"] == "idle")
        assert next(w.losses for w in fleet.workers() if w.name == "a") == 1


async def test_two_hundred_requests_while_devices_are_lost_none_lost_none_doubled() -> None:
    rng = random.Random(7)
    devices = [FakeDevice(f"d{n}") for n in range(4)]
    async with Fleet([FakeSite(*devices)]) as fleet:
        tasks = [ask(fleet, n) for n in range(200)]

        async def killer() -> None:
            while True:  # ends: the test cancels it
                await asyncio.sleep(0)
                if rng.random() < 0.05:
                    rng.choice(devices).lose()

        killing = asyncio.create_task(killer())
        answers = await asyncio.wait_for(asyncio.gather(*tasks), 240)
        killing.cancel()
        assert sum(w.losses for w in fleet.workers()) > 0
    assert sorted(int(str(a["name"])) for a in answers) == list(range(200))
    counts = Counter(name for d in devices for name in d.served)
    assert set(counts.values()) == {1} and len(counts) == 200


async def test_a_candidate_that_ends_every_worker_ends_no_more_than_a_few() -> None:
    device = FakeDevice("a")
    device.gate = lambda _: False
    async with Fleet([FakeSite(device)]) as fleet:
        task = ask(fleet, "poison")

        async def killer() -> None:
            while not task.done():  # ends: after 240 seconds, below
                if device.running:
                    device.lose()
                await asyncio.sleep(0)

        await asyncio.wait_for(killer(), 240)
        with pytest.raises(WorkerGoneError, match="6 workers were lost"):
            await task


async def test_all_gone_is_waited_for_visibly_and_ends_with_the_first_that_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fleet_module, "SAY_SECONDS", 0.001)
    device = FakeDevice("a")
    seen: list[EvaluationProgress] = []
    device.gate = lambda _: False
    async with Fleet([FakeSite(device)]) as fleet:
        task = asyncio.ensure_future(fleet.request({"op": "evaluate", "name": 1}, seen.append))
        await until(lambda: device.running)
        device.unreachable = "no route to host"
        device.lose()
        await until(lambda: any("no route to host" in p.detail for p in seen))
        assert not task.done()
        device.unreachable, device.gate = "", lambda _: True
        assert (await task)["worker"] == "a"
    assert device.served == [1]


async def test_a_straggler_gets_company_and_one_answer_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fleet_module, "STRAGGLE_SECONDS", 0.0)
    slow, quick = FakeDevice("slow"), FakeDevice("quick")
    async with Fleet([FakeSite(slow, quick)]) as fleet:
        await asyncio.gather(*(ask(fleet, n) for n in range(20)))
        slow.gate = lambda body: body["name"] != "long"
        quick.gate = lambda body: body["name"] != "short"
        both = [ask(fleet, "short"), ask(fleet, "long")]
        answers = await asyncio.wait_for(asyncio.gather(*both), 240)
        assert [a["name"] for a in answers] == ["short", "long"]
        assert Counter([*slow.served, *quick.served])["long"] == 1
        await until(lambda: not slow.running and not quick.running)
        assert set(states(fleet).values()) == {"idle"}


async def test_what_must_not_be_done_twice_gets_no_company(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fleet_module, "STRAGGLE_SECONDS", 0.0)
    one, two = FakeDevice("a"), FakeDevice("b")
    released: set[object] = set(range(20))
    for device in (one, two):
        device.gate = lambda body: body["name"] in released
    async with Fleet([FakeSite(one, two)]) as fleet:
        await asyncio.gather(*(ask(fleet, n, "scratch") for n in range(20)))
        task = ask(fleet, "program", "scratch")
        await until(lambda: "program" in one.running | two.running)
        for _ in range(100):
            await asyncio.sleep(0)
        assert not ("program" in one.running and "program" in two.running)
        released.add("program")
        await task


async def test_a_device_under_other_conditions_is_set_aside_and_the_rest_goes_on() -> None:
    one, odd = FakeDevice("a"), FakeDevice("odd", conditions="another driver")
    async with Fleet([FakeSite(one), FakeSite(odd)]) as fleet:
        assert states(fleet) == {"a": "idle", "odd": "set_aside"} and fleet.width == 1
        await asyncio.gather(*(ask(fleet, n) for n in range(5)))
    assert odd.served == [] and len(one.served) == 5


async def test_a_fleet_without_any_device_says_why_of_each() -> None:
    one, two = FakeDevice("a"), FakeDevice("b")
    one.refuses, two.refuses = "it has another avo-tui", "it has no task of that name"
    fleet = Fleet([FakeSite(one, two)])
    with pytest.raises(EvaluatorError, match=r"a: it has another avo-tui; b: it has no task"):
        await fleet.start()
    with pytest.raises(EvaluatorError, match="no device can be used"):
        await fleet.request({"op": "evaluate"})
    await fleet.close()


async def test_a_cancelled_request_gives_its_device_back() -> None:
    device = FakeDevice("a")
    device.gate = lambda body: body["name"] == "next"
    async with Fleet([FakeSite(device)]) as fleet:
        running, waiting = ask(fleet, "first"), ask(fleet, "second")
        await until(lambda: device.running)
        running.cancel()
        waiting.cancel()
        await asyncio.gather(running, waiting, return_exceptions=True)
        assert (await ask(fleet, "next"))["name"] == "next"
    assert device.cancelled == ["first"] and device.served == ["next"]


async def test_devices_that_come_later_take_part() -> None:
    site = FakeSite(FakeDevice("a"))
    late = FakeDevice("late")
    async with Fleet([site]) as fleet:
        assert site.joined is not None and site.left is not None
        site.joined(late)
        await until(lambda: fleet.width == 2)
        site.left("a", "its job ended")
        assert states(fleet) == {"a": "lost", "late": "idle"}
        assert (await ask(fleet, 1))["worker"] == "late"


async def test_a_device_that_is_there_again_goes_on_with_its_counts() -> None:
    site = FakeSite(FakeDevice("a"), FakeDevice("b"))
    async with Fleet([site]) as fleet:
        assert site.joined is not None and site.left is not None
        await asyncio.gather(*(ask(fleet, number) for number in range(4)))
        before = {w.name: w for w in fleet.workers()}
        assert before["a"].evaluations > 0
        site.left("a", "its job ended")
        site.joined(FakeDevice("a"))
        await until(lambda: fleet.width == 2)
        after = {w.name: w for w in fleet.workers()}
        assert after["a"].evaluations == before["a"].evaluations
        assert after["a"].joined == before["a"].joined


@pytest.mark.parametrize("state", ["idle", "busy", "starting", "set_aside"])
async def test_a_device_that_leaves_in_any_state_may_come_back(state: str) -> None:
    keeps, leaves = FakeDevice("keeps"), FakeDevice("leaves")
    keeps.gate = lambda body: body.get("name") != "long"
    if state == "busy":
        keeps.unreachable = "not yet"
    if state == "set_aside":
        leaves.refuses = "another avo-tui"
    site = FakeSite(keeps, leaves)
    async with Fleet([site]) as fleet:
        assert site.joined is not None and site.left is not None
        task = None
        if state == "busy":
            leaves.gate = lambda _: False
            task = ask(fleet, 1)
            await until(lambda: leaves.running)
        if state == "starting":
            leaves = FakeDevice("late")
            site.joined(leaves)
        name = leaves.name
        assert states(fleet)[name] == state
        site.left(name, "its worker is gone")
        site.left(name, "its worker is gone")
        assert states(fleet)[name] == "lost"
        again = FakeDevice(name)
        site.joined(again)
        leaves.lose()
        await until(lambda: states(fleet)[name] in ("idle", "busy"))
        if task is not None:
            assert (await task)["worker"] == name
            assert again.served == [1] and leaves.served == []
        (status,) = [w for w in fleet.workers() if w.name == name]
        assert (status.losses, status.loss) == (1, "its worker is gone")


async def test_a_device_that_left_for_good_is_forgotten_when_others_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site = FakeSite(FakeDevice("a"), FakeDevice("b"))
    async with Fleet([site]) as fleet:
        assert site.joined is not None and site.left is not None
        site.left("a", "its job ended")
        site.joined(FakeDevice("c"))
        await until(lambda: states(fleet) == {"a": "lost", "b": "idle", "c": "idle"})
        monkeypatch.setattr(fleet_module, "FORGET_SECONDS", -1.0)
        site.joined(FakeDevice("d"))
        await until(lambda: states(fleet) == {"b": "idle", "c": "idle", "d": "idle"})


async def test_waiting_for_a_device_is_not_work() -> None:
    """Another session measures on it: told as waiting, and in no share of busy time."""
    member = Member(FakeDevice("a"))
    member.work_on({"op": "evaluate"})
    member.hear(EvaluationProgress(stage="waiting", state="started"))
    member.since -= timedelta(hours=1)
    waits = member.status()
    assert waits.state == "busy" and doing_text(waits, now()).startswith("waits for the device: ev")
    assert waits.busy_share(now()) in {None, 0.0} or waits.busy_seconds < 60
    member.hear(EvaluationProgress(stage="check", state="started"))
    member.since -= timedelta(seconds=100)
    member.hear(EvaluationProgress(stage="check", state="finished"))
    member.become("idle")
    assert 100 <= member.busy_seconds < 1000
    assert not member.status().waits
