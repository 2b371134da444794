"""The screens on a large session: first paint, a key while events pour in, the graph, memory.

    python benchmarks/ui_scale.py [--attempts 10000] [--seconds 20]

The session is invented (tests/ui/make_session.py); the app runs headless at 120×40, so that the
figures are of the app and not of a terminal.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]
from textual.events import Key

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "ui")]

from make_session import MemorySource, write  # noqa: E402

from avo_tui.domain import events as ev  # noqa: E402
from avo_tui.ui.app import AvoApp  # noqa: E402
from avo_tui.ui.feed import Feed  # noqa: E402
from avo_tui.ui.graph import draw, rows  # noqa: E402
from avo_tui.ui.widgets.lineage import LineageView  # noqa: E402


def resident() -> float:
    """Resident memory of this process, MiB."""
    return float(psutil.Process(os.getpid()).memory_info().rss / 2**20)


async def first_paint(folder: Path) -> float:
    """Seconds from opening a folder to the first whole picture."""
    begin = time.perf_counter()
    app = AvoApp(folder=folder)
    async with app.run_test(size=(120, 40)) as pilot:
        while not any(view.lines for view in app.screen.query(LineageView)):
            await pilot.pause(0.005)
        return time.perf_counter() - begin


async def keys_under_load(source: MemorySource, rate: int, seconds: float) -> dict[str, float]:
    """Milliseconds from a key to the painted row, while `rate` events a second arrive."""
    last = source.state.session.last_event_at
    assert last is not None
    app = AvoApp(source=source, clock=lambda: last)
    stop = threading.Event()

    def pour() -> None:
        n = 0
        while not stop.wait(0.02):
            text = [
                ev.AgentText(block=f"b{(n + i) // 400}", text="word and word ", at=last)
                for i in range(rate // 50)
            ]
            n += len(text)
            source.waiting.extend(text)

    spent: list[float] = []
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(1)
        feeder = threading.Thread(target=pour)
        feeder.start()
        before, count = resident(), len(source.journal)
        end = time.perf_counter() + seconds
        view = app.screen.query_one("#lineage-view", LineageView)
        n = 0
        while time.perf_counter() < end:
            n += 1
            key = "down" if n % 40 < 20 else "up"
            place = view.place
            begin = time.perf_counter()
            app.post_message(_key(key))
            while view.place == place and time.perf_counter() - begin < 1:  # noqa: ASYNC110
                await asyncio.sleep(0)
            view.render_line(0)
            spent.append((time.perf_counter() - begin) * 1000)
            await asyncio.sleep(0.05)
        stop.set()
        feeder.join()
        arrived = len(source.journal) - count
        after = resident()
    ordered = sorted(spent)
    return {
        "keys": len(spent),
        "median_ms": round(statistics.median(spent), 1),
        "p95_ms": round(ordered[int(len(ordered) * 0.95)], 1),
        "max_ms": round(ordered[-1], 1),
        "events_per_second": round(arrived / seconds),
        "events": arrived,
        "memory_before_mib": round(before, 1),
        "memory_after_mib": round(after, 1),
    }


def _key(name: str) -> Key:
    return Key(name, None)


def graph(source: MemorySource) -> dict[str, float]:
    """Seconds to lay the graph out, everything unfolded."""
    feed = Feed(source)
    feed.prime()
    snapshot = feed.latest
    assert snapshot is not None
    unfolded = {step for step, _ in snapshot.attempts}
    begin = time.perf_counter()
    made = draw(
        rows(snapshot.versions, snapshot.attempts.values(), unfolded),
        snapshot.versions,
        snapshot.session.head,
    )
    laid = time.perf_counter() - begin
    begin = time.perf_counter()
    feed.publish()
    return {
        "rows": len(made),
        "layout_ms": round(laid * 1000, 1),
        "snapshot_ms": round((time.perf_counter() - begin) * 1000, 2),
    }


def main() -> None:
    """Measure and print as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--attempts", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=20)
    given = parser.parse_args()
    steps = given.attempts // 4
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "long"
        sync, os.fsync = os.fsync, lambda fd: None  # making the session is not measured
        write(folder, steps=steps, attempts=4, chatty=False)
        os.fsync = sync
        paint = asyncio.run(first_paint(folder))
    source = MemorySource(steps=steps, attempts=4, chatty=False)
    result = {
        "attempts": len(source.state.attempts),
        "versions": len(source.state.versions),
        "first_paint_s": round(paint, 2),
        "graph": graph(source),
        "keys_under_1000_events_per_second": asyncio.run(
            keys_under_load(source, 1000, given.seconds)
        ),
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
