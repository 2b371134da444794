"""What the measurements of the screens share: a week's session, a journal that grows, a probe.

The session is invented (tests/ui/make_session.py). Its journal and objects are written as they are
on a real disk, and the tables by the store's own recovery. What is poured in later is appended to
the journal, so that the app reads it as it reads an engine's.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from textual.events import Key
from textual.widget import Widget

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from avo_tui.domain import events as ev  # noqa: E402
from avo_tui.domain.report import EvaluationProgress  # noqa: E402
from avo_tui.store import SessionReader, SessionWriter  # noqa: E402
from avo_tui.store.layout import Layout  # noqa: E402
from avo_tui.store.objects import ObjectStore  # noqa: E402
from avo_tui.ui.app import AvoApp  # noqa: E402
from tests.ui.make_session import MemorySource  # noqa: E402


def resident() -> float:
    """Resident memory of this process, MiB."""
    return float(psutil.Process(os.getpid()).memory_info().rss / 2**20)


def week(folder: Path, attempts: int, **options: Any) -> None:
    """A session of `attempts` attempts in four times fewer steps, in the middle of another step."""
    source = MemorySource(steps=attempts // 4, attempts=4, chatty=False, **options)
    layout = Layout(folder)
    layout.journal.mkdir(parents=True)
    layout.inbox.mkdir()
    layout.objects.mkdir()
    with unsynced():
        store = ObjectStore(layout.objects)
        for data in source.objects.values():
            store.put(data)
        part = None
        for event in source.journal:
            if part is None or isinstance(event, ev.StepStarted):
                if part is not None:
                    part.close()
                part = layout.part(event.step).open("ab")
            part.write(event.model_dump_json().encode() + b"\n")
        if part is not None:
            part.close()
        SessionWriter.open(folder).close()


@contextmanager
def unsynced() -> Iterator[None]:
    """Making a session is not measured, so its syncs are left out."""
    sync, os.fsync = os.fsync, lambda fd: None
    try:
        yield
    finally:
        os.fsync = sync


class Pour:
    """Appends events to the last part of a journal, as an engine that talks a lot does."""

    def __init__(self, folder: Path) -> None:
        state = SessionReader.open(folder).state
        layout = Layout(folder)
        self.seq = state.session.applied
        self._file = layout.part(layout.parts()[-1]).open("ab")
        self._kinds = list(self._templates(state.session.step, str(state.session.last_event_at)))

    @staticmethod
    def _templates(step: int, at: str) -> Iterator[bytes]:
        """Twenty events of a talkative step: sixteen of prose, a tool, two signs of life."""
        progress = EvaluationProgress(
            stage="benchmark", state="configuration", index=1, count=4, configuration="full-512"
        )
        kinds: list[ev.Event] = [
            *(ev.AgentText(block="BLOCK", text="a few words of prose ") for _ in range(16)),
            ev.ToolCalled(call="BLOCK", tool="read_version", arguments={"version": 7}),
            ev.ToolReturned(call="BLOCK", tool="read_version", ok=True, summary="58 lines"),
            ev.EvaluationProgressed(attempt=3, progress=progress),
            ev.EvaluationProgressed(attempt=3, progress=progress.model_copy(update={"index": 2})),
        ]
        for event in kinds:
            row = json.loads(event.model_dump_json())
            row |= {"seq": 0, "at": at, "step": step}
            yield json.dumps({"seq": row.pop("seq"), **row}, separators=(",", ":")).encode() + b"\n"

    def pour(self, count: int) -> None:
        """Append `count` events and let readers see them."""
        lines = []
        for _ in range(count):
            self.seq += 1
            line = self._kinds[self.seq % len(self._kinds)]
            line = line.replace(b'"seq":0', b'"seq":%d' % self.seq, 1)
            lines.append(line.replace(b"BLOCK", b"b%d" % (self.seq // 400)))
        self._file.write(b"".join(lines))
        self._file.flush()

    def close(self) -> None:
        """Close the journal."""
        self._file.close()


@contextmanager
def pouring(folder: Path, rate: int) -> Iterator[Pour]:
    """`rate` events a second, from a thread."""
    pour, stop = Pour(folder), threading.Event()

    def body() -> None:
        begin, sent = time.monotonic(), 0
        while not stop.wait(0.02):
            due = int((time.monotonic() - begin) * rate) - sent
            pour.pour(due)
            sent += due

    thread = threading.Thread(target=body)
    thread.start()
    try:
        yield pour
    finally:
        stop.set()
        thread.join()
        pour.close()


class Probe:
    """Times from a key to the picture that shows it; and how long the app's loop was held."""

    def __init__(self, app: AvoApp) -> None:
        self.app = app
        self.held: list[float] = []
        """Milliseconds of processor time of each callback of the loop that took over 1 ms."""
        self._painted = 0.0
        self._display = app._display

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Measure while inside."""
        run = asyncio.events.Handle._run
        thread = threading.get_ident()
        held = self.held

        def timed(handle: Any) -> None:
            begin = time.thread_time()
            run(handle)
            spent = (time.thread_time() - begin) * 1000
            if spent > 1 and threading.get_ident() == thread:
                held.append(spent)

        def display(*arguments: Any) -> None:
            self._display(*arguments)
            self._painted = time.perf_counter()

        asyncio.events.Handle._run = timed  # type: ignore[method-assign, assignment]
        self.app._display = display  # type: ignore[method-assign, assignment]
        try:
            yield
        finally:
            asyncio.events.Handle._run = run  # type: ignore[method-assign]
            self.app._display = self._display  # type: ignore[method-assign]

    async def key(self, name: str, view: Widget, patience: float = 10.0) -> float:
        """Milliseconds from a key to the picture in which the view's rows have moved."""
        place = self._place(view)
        begin = time.perf_counter()
        self.app.post_message(Key(name, None))
        while self._place(view) == place:
            if time.perf_counter() - begin > patience:
                raise TimeoutError(f"nothing moved {patience} s after {name}")
            await asyncio.sleep(0)
        moved = time.perf_counter()
        while self._painted < moved and time.perf_counter() - begin < patience:  # noqa: ASYNC110
            await asyncio.sleep(0.0005)
        return (self._painted - begin) * 1000

    @staticmethod
    def _place(view: Any) -> tuple[Any, Any]:
        return getattr(view, "place", None), view.scroll_offset


def spread(values: list[float]) -> dict[str, float]:
    """Median, 95th percentile and largest of some milliseconds."""
    ordered = sorted(values)
    at = [ordered[min(len(ordered) - 1, int(len(ordered) * q))] for q in (0.5, 0.95)]
    return {
        "median_ms": round(at[0], 1),
        "p95_ms": round(at[1], 1),
        "max_ms": round(ordered[-1], 1),
    }
