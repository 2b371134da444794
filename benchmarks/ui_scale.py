"""The screens at scale: first paint, keys among events, scrolling, memory, long logs, replay.

    python benchmarks/ui_scale.py [--attempts 10000] [--seconds 20] [--events 1000000]
                                  [--only paint,keys,scroll,logs,memory,replay] [--folder KEPT]

The app runs headless at 120×40 on a session folder that is made first (`ui_load.py`), so that the
figures are of the app and not of a terminal. Beside the seconds that passed stand those of the
processor: they say nearly the same on a machine that is busy with something else. `--folder` is a
session that is made once; every part works on a copy of it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from avo_tui.store import SessionReader
from avo_tui.store.objects import ObjectStore
from avo_tui.ui.app import AvoApp
from avo_tui.ui.panes.graph import GraphLayout
from avo_tui.ui.panes.lineage import LineageView
from avo_tui.ui.screens.log import LogScreen
from avo_tui.ui.screens.run.screen import RunScreen
from avo_tui.ui.session.replay import ReplaySource
from avo_tui.ui.widgets.long import LongView
from benchmarks.ui_load import Pour, Probe, pouring, resident, spread, unsynced, week

SIZE = (120, 40)
Given = argparse.Namespace


async def shown(app: AvoApp, pilot: Any) -> LineageView:
    """The lineage, once its rows are there. Raises where the app ended, or takes a minute."""
    end = time.perf_counter() + 60
    while time.perf_counter() < end and app.is_running:
        for view in app.screen.query(LineageView):
            if view.lines:
                return view
        await pilot.pause(0.002)
    raise TimeoutError("the lineage never came: the app ended, or is far too slow")


def first_paint(folder: Path, given: Given) -> dict[str, Any]:
    """Seconds from opening a folder to the first whole picture: of three times the shortest."""

    async def once() -> tuple[float, float]:
        begin, worked = time.perf_counter(), time.process_time()
        app = AvoApp(folder=folder)
        async with app.run_test(size=SIZE) as pilot:
            await shown(app, pilot)
            return time.perf_counter() - begin, time.process_time() - worked

    made = [asyncio.run(once()) for _ in range(3)]
    begin = time.perf_counter()
    state = SessionReader.open(folder).state
    return {
        "seconds": round(min(s for s, _ in made), 2),
        "processor_seconds": round(min(s for _, s in made), 2),
        "of_it_opening_the_folder_s": round(time.perf_counter() - begin, 2),
        "graph_from_scratch_ms": round(_graph(state.versions, state.attempts) * 1000),
    }


def _graph(versions: Any, attempts: Any) -> float:
    begin = time.perf_counter()
    GraphLayout().update(versions, attempts, max(versions))
    return time.perf_counter() - begin


def keys(folder: Path, given: Given) -> dict[str, Any]:
    """Milliseconds from a key to its picture while a thousand events a second arrive."""

    async def go() -> dict[str, Any]:
        app = AvoApp(folder=folder)
        async with app.run_test(size=SIZE) as pilot:
            view = await shown(app, pilot)
            probe, spent, way = Probe(app), list[float](), "down"
            with pouring(folder, 1000) as pour, probe.watching():
                await pilot.pause(2)
                probe.held.clear()
                first, end = pour.seq, time.perf_counter() + given.seconds
                while time.perf_counter() < end:
                    way = "up" if view.place > 60 else "down" if view.place < 2 else way
                    spent.append(await probe.key(way, view))
                    await asyncio.sleep(0.05)
                arrived = pour.seq - first
            return {
                "keys": len(spent),
                "key_to_picture": spread(spent),
                "events_per_second": round(arrived / given.seconds),
                "loop_held_processor": spread(probe.held or [0.0]),
            }

    return asyncio.run(go())


def scroll(folder: Path, given: Given) -> dict[str, Any]:
    """Page down held over all rows of the lineage, everything unfolded."""

    async def go() -> dict[str, Any]:
        app = AvoApp(folder=folder)
        async with app.run_test(size=SIZE) as pilot:
            view = await shown(app, pilot)
            probe = Probe(app)
            snapshot = app.latest
            assert snapshot is not None
            view.unfolded = frozenset(step for step, _ in snapshot.attempts)
            begin = time.perf_counter()
            view.update_from(snapshot)
            unfolded = time.perf_counter() - begin
            spent: list[float] = []
            worked = time.thread_time()
            with probe.watching():
                while view.place < len(view.lines) - 1 and len(spent) < 150:
                    spent.append(await probe.key("pagedown", view))
                await probe.key("home", view)
            return {
                "rows": len(view.lines),
                "unfolding_all_ms": round(unfolded * 1000),
                "pages": len(spent),
                "page_to_picture": spread(spent),
                "processor_ms_a_page": round((time.thread_time() - worked) * 1000 / len(spent), 1),
            }

    return asyncio.run(go())


def memory(folder: Path, given: Given) -> dict[str, Any]:
    """Resident memory while a million events come, as fast as they are read."""

    async def go() -> dict[str, Any]:
        app = AvoApp(folder=folder)
        async with app.run_test(size=SIZE) as pilot:
            await shown(app, pilot)
            await pilot.pause(1)
            source: Any = app.session.source
            pour, steps, begin = Pour(folder), list[float](), time.perf_counter()
            warm = given.events // 20
            for part in (warm, *[(given.events - warm) // 4] * 4):
                for _ in range(part // 5000):
                    pour.pour(5000)
                    while source.state.session.applied < pour.seq - 5000:  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
                while source.state.session.applied < pour.seq:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                await pilot.pause(0.5)
                gc.collect()
                steps.append(round(resident(), 1))
            pour.close()
            screen = app.screen
            assert isinstance(screen, RunScreen) and screen.snapshot is not None
            return {
                "events": given.events,
                "resident_mib_after_each_quarter": steps,
                "events_per_second": round(given.events / (time.perf_counter() - begin)),
                "entries_of_the_stream": len(screen.snapshot.live.stream),
            }

    return asyncio.run(go())


LINE = b"ptxas info    : Function properties for kernel_%07d: 168 registers, 0 bytes stack frame\n"


def logs(folder: Path, given: Given) -> dict[str, Any]:
    """A stored log of 100 MB, and one line of 10 MB: open, end, find in all of it, memory."""
    count = 100_000_000 // len(LINE % 1) + 1
    store = ObjectStore(folder / "objects")
    with unsynced():
        long = store.put(b"".join(LINE % n for n in range(count)))
        wide = store.put(b"x" * 10_000_000 + b"needle\n")
    gc.collect()

    async def go(identity: str, needle: str, hits: int) -> dict[str, Any]:
        app = AvoApp(folder=folder)
        async with app.run_test(size=SIZE) as pilot:
            await shown(app, pilot)
            before = resident()
            begin = time.perf_counter()

            async def until(condition: Callable[[], bool]) -> float:
                while not condition():
                    if time.perf_counter() - begin > 60:
                        raise TimeoutError("a log was not read in a minute")
                    await asyncio.sleep(0.002)
                return round((time.perf_counter() - begin) * 1000)

            screen = LogScreen("Log", lambda: store.chunks(identity))
            app.push_screen(screen)
            await until(lambda: screen.ready)
            view = screen.query_one("#main", LongView)
            first = await until(lambda: len(view.lines) > 0 and view.row(0).width > 0)
            view.action_scroll_end()
            whole = await until(lambda: screen.text.done)
            last = screen.text.rows - 1
            end = await until(lambda: view.scroll_offset.y + view.size.height > last)
            begin = time.perf_counter()
            view.search(needle)
            found = await until(lambda: view._worker is not None and view._worker.is_finished)
            await pilot.pause(0.1)
            assert view.next_hit(0)[1] == hits, view.next_hit(0)
            return {
                "rows": screen.text.rows,
                "first_rows_ms": first,
                "read_in_ms": whole,
                "at_its_end_ms": end,
                "found_in_all_ms": found,
                "memory_grew_mib": round(resident() - before, 1),
            }

    return {
        "100 MB": asyncio.run(go(long, "kernel_0777", 1000)),
        "one line of 10 MB": asyncio.run(go(wide, "NEEDLE", 1)),
    }


def replay(folder: Path, given: Given) -> dict[str, Any]:
    """A recording from its first event: first paint, memory, a jump to its end and steps back."""

    async def go() -> dict[str, Any]:
        gc.collect()
        before, begin = resident(), time.perf_counter()
        reader = SessionReader.open(folder)
        opened, held = time.perf_counter() - begin, resident()
        source = ReplaySource(reader)
        app = AvoApp(source=source)
        async with app.run_test(size=SIZE) as pilot:
            await shown(app, pilot)
            made: dict[str, Any] = {
                "events": source.status().total,
                "first_paint_s": round(time.perf_counter() - begin, 2),
                "of_it_opening_the_folder_s": round(opened, 2),
                "memory_of_the_folder_mib": round(held - before, 1),
                "memory_of_the_rest_mib": round(resident() - held, 1),
            }
            begin = time.perf_counter()
            source.seek(source.status().total)
            made["to_its_end_s"] = round(time.perf_counter() - begin, 2)
            back = []
            for _ in range(20):
                begin = time.perf_counter()
                source.previous_step()
                back.append((time.perf_counter() - begin) * 1000)
            made["step_back"] = spread(back)
            made["memory_of_the_rest_at_the_end_mib"] = round(resident() - held, 1)
            return made

    return asyncio.run(go())


PARTS: dict[str, Callable[[Path, Given], dict[str, Any]]] = {
    "paint": first_paint,
    "keys": keys,
    "scroll": scroll,
    "logs": logs,
    "memory": memory,
    "replay": replay,
}


def main() -> None:
    """Measure and print as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--attempts", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch) / "week"
        if not folder.exists():
            week(folder, given.attempts)
        state = SessionReader.open(folder).state
        result: dict[str, Any] = {
            "attempts": len(state.attempts),
            "versions": len(state.versions),
        }
        for name, part in PARTS.items():
            if name in given.only.split(","):
                copy = Path(scratch) / name
                shutil.copytree(folder, copy)
                result[name] = part(copy, given)
                shutil.rmtree(copy)
        print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
