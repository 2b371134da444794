"""What is told, when, and what is not."""

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avo_tui.domain.budget import Budget, Caps, Spend
from avo_tui.domain.progress import Progress
from avo_tui.notify import KINDS, Alert, Delivery, QuietHours, Rules, Watcher, current_alerts
from avo_tui.notify.watch import IDLE_SECONDS, POLL_SECONDS, RETRY_SECONDS, Told, only_one, watch
from avo_tui.store import SessionSummary

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def seen(known: Progress | None = None, name: str = "s", **options: Any) -> SessionSummary:
    known = known or Progress(state="running")
    return SessionSummary.model_validate(
        {"name": name, "folder": Path("/x") / name, "state": known.state, "progress": known}
        | options
    )


def approval(attempt: str = "2.1", since: datetime = AT) -> Progress:
    return Progress(state="running", waits_for="approval", attempt=attempt, since=since)


def best(number: int) -> Progress:
    return Progress(
        state="running",
        best=number,
        best_at=AT,
        previous=number - 1,
        gain=0.031,
        gain_timed=True,
        tries=4,
    )


@pytest.mark.parametrize(
    ("known", "options", "kind"),
    [
        (approval(), {}, "approval"),
        (Progress(state="lost", waits_for="engine", since=AT), {}, "engine_lost"),
        (Progress(state="parked", waits_for="disk", since=AT, reason="no space"), {}, "disk"),
        (Progress(state="parked", waits_for="time", since=AT - timedelta(hours=1)), {}, "parked"),
        (Progress(state="running", stuck=True, best=3), {}, "stuck"),
        (Progress(state="finished", reason="the cap of hours"), {}, "finished"),
        (best(4), {"ratio": 1.2, "reference_baseline": "torch"}, "new_best"),
        (
            Progress(state="running"),
            {"budget": Budget(run=Caps(usd=10)), "spend": Spend(usd=9)},
            "budget",
        ),
    ],
)
def test_each_kind(known: Progress, options: dict[str, Any], kind: str) -> None:
    (one,) = current_alerts(seen(known, **options), AT)
    assert one.kind == kind and one.title.startswith("s: ") and one.text


def test_what_is_usual_is_not_told() -> None:
    assert not current_alerts(seen(), AT)
    parked = Progress(state="parked", waits_for="time", since=AT - timedelta(minutes=5))
    assert not current_alerts(seen(parked), AT)
    assert not current_alerts(seen(Progress(state="paused", waits_for="resume", since=AT)), AT)
    assert not current_alerts(seen(Progress(state="running", best=0)), AT), "a seed is no news"
    assert not current_alerts(SessionSummary(name="s", folder=Path("/x"), error="damaged"), AT)


class Pigeon:
    """A channel that keeps what it is given, or refuses it."""

    name = "pigeon"

    def __init__(self) -> None:
        self.got: list[list[str]] = []
        self.well = True

    def send(self, message: Sequence[Alert]) -> Delivery:
        if self.well:
            self.got.append([one.title for one in message])
        return Delivery(self.name, self.well, "" if self.well else "no wind")


def watcher(tmp_path: Path, **rules: object) -> tuple[Watcher, Pigeon]:
    pigeon = Pigeon()
    told = Told(tmp_path / "told.json")
    told.read()
    kinds = {"kinds": frozenset(KINDS)} | rules
    return Watcher(told, Rules(**kinds), [pigeon]), pigeon  # type: ignore[arg-type]


def test_each_thing_is_told_once_and_by_the_next_watcher_not_again(tmp_path: Path) -> None:
    one, pigeon = watcher(tmp_path)
    one.look([seen()], AT)
    for _ in range(3):
        one.look([seen(approval())], AT)
    assert pigeon.got == [["s: waits for you"]]
    again, other = watcher(tmp_path)
    again.look([seen(approval())], AT)
    assert not other.got
    again.look([seen(approval("2.2"))], AT)
    assert other.got == [["s: waits for you"]]


def test_a_watcher_that_comes_late_tells_who_waits_and_no_old_news(tmp_path: Path) -> None:
    one, pigeon = watcher(tmp_path)
    old = approval(since=AT - timedelta(days=1))
    one.look([seen(best(9), "a"), seen(approval(), "b"), seen(old, "c")], AT)
    assert pigeon.got == [["b: waits for you"]]


def test_above_the_limit_the_rest_comes_together(tmp_path: Path) -> None:
    one, pigeon = watcher(tmp_path, most_an_hour=2)
    one.look([seen()], AT)
    for number in range(1, 7):
        one.look([seen(best(number))], AT + timedelta(minutes=number))
    assert len(pigeon.got) == 2 and one.waiting
    one.look([seen(best(6))], AT + timedelta(minutes=62))
    assert len(pigeon.got) == 3 and len(pigeon.got[2]) == 4 and not one.waiting


def test_a_clock_that_is_set_back_holds_nothing_up(tmp_path: Path) -> None:
    one, pigeon = watcher(tmp_path, most_an_hour=1)
    one.look([seen()], AT)
    one.look([seen(best(1))], AT)
    pigeon.well = False
    assert not one.look([seen(best(2))], AT - timedelta(hours=9))[0].ok
    pigeon.well = True
    one.look([seen(best(2))], AT - timedelta(hours=20))
    assert len(pigeon.got) == 2 and not one.waiting


def test_what_was_held_is_not_lost_with_the_watcher(tmp_path: Path) -> None:
    one, pigeon = watcher(tmp_path, most_an_hour=1)
    one.look([seen()], AT)
    one.look([seen(best(1))], AT)
    one.look([seen(approval())], AT)
    assert len(pigeon.got) == 1 and one.waiting
    again, other = watcher(tmp_path)
    again.look([seen(approval())], AT)
    assert other.got == [["s: waits for you"]]


def test_in_quiet_hours_only_what_is_urgent(tmp_path: Path) -> None:
    clock = AT.astimezone().time()
    quiet = QuietHours(clock, time((clock.hour + 2) % 24, clock.minute))
    one, pigeon = watcher(tmp_path, quiet=quiet, urgent=frozenset({"approval"}))
    one.look([seen(), seen(name="t")], AT)
    one.look([seen(approval()), seen(best(2), "t")], AT)
    assert pigeon.got == [["s: waits for you"]]
    one.look([seen(approval()), seen(best(2), "t")], AT + timedelta(hours=3))
    assert len(pigeon.got) == 2 and "v2 is the best" in pigeon.got[1][0]


def test_a_message_that_does_not_come_through_is_sent_again(tmp_path: Path) -> None:
    one, pigeon = watcher(tmp_path)
    one.look([seen()], AT)
    pigeon.well = False
    (delivery,) = one.look([seen(approval())], AT)
    assert not delivery.ok
    assert not one.look([seen(approval())], AT + timedelta(seconds=3)), "not before it is time"
    pigeon.well = True
    one.look([seen(approval())], AT + timedelta(seconds=RETRY_SECONDS[0]))
    assert pigeon.got == [["s: waits for you"]] and not one.waiting


@given(st.times(), st.times(), st.integers(0, 86399))
def test_quiet_hours_go_over_midnight(start: time, end: time, second: int) -> None:
    moment = (datetime(2026, 3, 2).astimezone() + timedelta(seconds=second)).astimezone()
    inside = QuietHours(start, end).hold(moment)
    if start != end:
        assert inside != QuietHours(end, start).hold(moment)


@pytest.mark.parametrize("text", ["22-7", "25:00-07:00", "always", "22:00-07:60"])
def test_odd_quiet_hours_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="quiet hours"):
        QuietHours.parse(text)


def test_a_watcher_of_a_run_ends_when_nothing_runs_and_nothing_waits(tmp_path: Path) -> None:
    one, pigeon = watcher(tmp_path, most_an_hour=1)
    clock = [AT]
    over = Progress(state="finished")
    course = [seen(), seen(best(1)), seen(over)]
    looks = 0

    def sessions() -> list[SessionSummary]:
        return [course[min(looks, len(course) - 1)]]

    def sleep(seconds: float) -> None:
        nonlocal looks
        looks += 1
        clock[0] += timedelta(seconds=seconds)

    watch(one, sessions, while_runs=True, clock=lambda: clock[0], sleep=sleep)
    assert [row[0] for row in pigeon.got] == ["s: v1 is the best (+3.1%)", "s: finished"]
    assert looks * POLL_SECONDS >= 3600 + IDLE_SECONDS, "what was held for an hour was sent first"


def test_there_is_one_watcher(tmp_path: Path) -> None:
    with only_one(tmp_path / "lock") as first:
        assert first
        with only_one(tmp_path / "lock") as second:
            assert not second
    with only_one(tmp_path / "lock") as third:
        assert third
