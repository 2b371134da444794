"""The devices: a row on the run screen, a screen of their own, a remark beside a measurement."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from avo_tui.domain import events as ev
from avo_tui.domain.device import DeviceHealth, DeviceState, Range
from avo_tui.domain.workers import WorkersSeen, WorkerStatus
from avo_tui.store import DeviceLog
from avo_tui.ui.panes.device import device_lines, device_row, health_lines, worker_lines
from avo_tui.ui.screens.devices import DevicesScreen
from avo_tui.ui.screens.run.screen import RunScreen
from avo_tui.ui.widgets.bars import DeviceLine
from tests.ui.invented_kernel import START
from tests.ui.make_session import MemorySource
from tests.ui.pilots import make_app, running


def gpu(second: float, index: int = 0, **fields: Any) -> DeviceState:
    values: dict[str, object] = {
        "name": "NVIDIA H200", "index": index, "at": START + timedelta(seconds=second),
        "utilisation": 0.97, "clock_mhz": 1413.0, "clock_max_mhz": 1980.0, "power_watts": 698.0,
        "power_limit_watts": 700.0, "temperature_celsius": 71.0, "memory_used": 9 << 30,
        "memory_total": 141 << 30,
    }  # fmt: skip
    return DeviceState.model_validate({**values, **fields})


def cpu(second: float, **fields: Any) -> DeviceState:
    return gpu(second, name="cpu Some Processor", **fields)


def plain(rows: object) -> str:
    return "\n".join(row.plain for row in rows)  # type: ignore[attr-defined]


def test_the_row_tells_the_gpu_and_what_holds_it_back() -> None:
    history = {"a": [cpu(1)], "b": [gpu(0), gpu(1, throttle=("power limit",))]}
    row = device_row(history, START + timedelta(seconds=2), 120)
    assert row is not None
    for words in ("H200", "held back: power limit", "95% busy", "1,410 of 1,980 MHz", "71 °C"):
        assert words in row.plain, row.plain
    narrow = device_row(history, START + timedelta(seconds=2), 50)
    assert narrow is not None and "power limit" in narrow.plain and len(narrow.plain) <= 50


def test_old_samples_are_not_told_as_the_present() -> None:
    assert device_row({"a": [gpu(0)]}, START + timedelta(seconds=60), 120) is None
    assert device_row({}, START, 120) is None
    assert "last seen 1m ago" in plain(
        device_lines({"a": [gpu(0)]}, START + timedelta(60 / 86400), 100)
    )


def test_small_changes_leave_the_row_alone() -> None:
    """A machine at rest must send nothing over a slow line."""
    first = {"a": [gpu(0, utilisation=0.51, clock_mhz=1412, power_watts=91)]}
    second = {"a": [gpu(0, utilisation=0.49, clock_mhz=1408, power_watts=89)]}
    assert device_row(first, START, 120) == device_row(second, START, 120)


def test_a_measurement_says_what_changed_its_figures() -> None:
    health = DeviceHealth(
        name="NVIDIA H200", samples=9, seconds=8, clock_mhz=Range(low=1410, mean=1500, high=1980),
        clock_max_mhz=1980, throttled={"power limit": 0.4}, utilisation=0.9,
    )  # fmt: skip
    text = plain(health_lines(health, 100))
    assert "! while this was measured: clock held back by power limit for 40% of the time" in text
    assert "1,410–1,980 of 1,980 MHz" in text
    calm = plain(health_lines(health.replaced(throttled={}), 100))
    assert "!" not in calm and "90% busy" in calm
    assert health_lines(None, 100) == []


def test_every_quantity_has_a_sparkline_and_every_device_its_part() -> None:
    states = [
        gpu(i, utilisation=i / 10, throttle=("temperature",) if i > 5 else ()) for i in range(10)
    ]
    text = plain(
        device_lines({"a": states, "b": [gpu(9, index=1)]}, START + timedelta(seconds=10), 100)
    )
    assert text.count("NVIDIA H200") == 2
    for name in ("busy", "clock", "power", "temperature", "memory", "held back"):
        assert name in text
    assert "▁▁▂▃▄▄▅▆▇█"[:4] in text and "in 40% of these samples" in text


async def test_the_run_screen_shows_them_and_u_opens_them(tmp_path: Path) -> None:
    source = MemorySource(state="running")
    source.folder = tmp_path
    moment = source.state.session.last_event_at
    assert moment is not None
    log = DeviceLog(tmp_path)
    log.add([gpu(0, at=moment)])
    log.close()
    async with running(make_app(source)) as hands:
        bar = hands.app.screen.query_one("#device", DeviceLine)
        await hands.until(lambda: bar.display)
        await hands.until(lambda: "1,410 of 1,980 MHz" in hands.bar("#device"))
        await hands.press("U")
        assert isinstance(hands.app.screen, DevicesScreen)
        await hands.until(lambda: "NVIDIA H200" in hands.text("#devices-view"))


async def test_its_row_tells_no_check_of_an_attempt_that_is_over(tmp_path: Path) -> None:
    """It is drawn every four seconds; the stage of a step, where it tells that, must not wait."""
    source = MemorySource(state="running")
    source.folder = tmp_path
    moment, tried = source.state.session.last_event_at, source.state.attempts
    assert moment is not None
    log = DeviceLog(tmp_path)
    log.add([gpu(0, at=moment)])
    log.close()
    app = make_app(source)
    async with running(app, (80, 24)) as hands:
        await hands.until(lambda: "attempt" in hands.bar("#device"))
        screen, (step, number) = app.screen, list(tried)[-1]
        assert isinstance(screen, RunScreen)
        screen.show_second = lambda: None  # type: ignore[method-assign]
        assert "check" in hands.bar("#device") or "benchmark" in hands.bar("#device")
        report = next(e for e in source.journal if isinstance(e, ev.AttemptFinished)).report
        end = ev.AttemptFinished(step=step, attempt=number, report=report, at=moment)
        source.waiting = [end]
        await hands.until(lambda: not source.waiting)
        await hands.rest()
        assert "attempt" in hands.bar("#device")
        assert not {"check", "benchmark"} & {*hands.bar("#device").split()}


async def test_without_samples_there_is_no_row() -> None:
    async with running(make_app(MemorySource(state="running"))) as hands:
        assert not hands.app.screen.query_one("#device", DeviceLine).display
        await hands.press("U")
        assert "No device was sampled" in hands.text("#devices-view")


def test_each_device_says_what_it_does_since_when_and_why_not() -> None:
    workers = (
        WorkerStatus(
            name="local:0", state="busy", since=START, joined=START, operation="evaluate",
            candidate="0123456789ab", evaluations=4, device="NVIDIA H200", host="here",
            losses=1, loss="killed \x1b[31m", lost_at=START,
        ),
        WorkerStatus(name="ssh://far:1", state="lost", reason="no route to host", since=START),
    )  # fmt: skip
    seen = WorkersSeen(at=START, workers=workers)
    text = plain(worker_lines(seen, START + timedelta(seconds=9), 100))
    for words in (
        "1 of 2 devices can be used", "local:0", "NVIDIA H200, here", "evaluate 01234567 for 9 s",
        "4 answered", "last lost 9 s ago: killed", "lost for 9 s: no route to host",
    ):  # fmt: skip
        assert words in text, (words, text)
    assert "\x1b" not in text
    late = plain(worker_lines(seen, START + timedelta(minutes=5), 100))
    assert "as the engine told 5m" in late and "evaluate 01234567 for 0 s" in late
    assert worker_lines(None, START, 100) == []
    for width in (20, 40, 80):
        for row in worker_lines(seen, START, width):
            assert len(row.plain) <= width, row.plain
