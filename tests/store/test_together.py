"""A writer at work and readers beside it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from avo_tui.domain import events as ev
from avo_tui.store import SessionReader, SessionWriter, background_writer, summary
from avo_tui.store.doctor import differences
from avo_tui.store.layout import Layout
from avo_tui.store.loading import fold_journal
from tests.session_life import life, session_record

STEPS = 15


@contextmanager
def at_work(
    folder: Path, begin: Callable[[], object] = lambda: None
) -> Iterator[tuple[list[ev.Event], threading.Thread]]:
    """A thread that records without a pause; yields what it recorded so far, and itself.

    `begin` is called before each step.
    """
    recorded: list[ev.Event] = []
    writer = SessionWriter.create(folder, session_record())

    def work() -> None:
        for event in life(STEPS, attempts=2):
            if isinstance(event, ev.StepStarted):
                begin()
            recorded.append(writer.record(event))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield recorded, thread
    finally:
        thread.join()
        writer.close()


@contextmanager
def releasing(semaphore: threading.Semaphore) -> Iterator[None]:
    """Lets the writer go on to its end, whatever became of the test."""
    try:
        yield
    finally:
        semaphore.release(STEPS + 1)


def test_a_follower_misses_nothing_and_sees_nothing_twice(folder: Path) -> None:
    with at_work(folder) as (recorded, thread):
        reader = SessionReader.open(folder)
        first = reader.state.session.applied
        seen: list[ev.Event] = []
        deadline = time.monotonic() + 240
        while thread.is_alive():
            assert time.monotonic() < deadline
            seen += reader.poll(limit=3)
        while events := reader.poll():  # ends: nobody writes any more
            seen += events
        assert [e.seq for e in seen] == list(range(first + 1, len(recorded) + 2))
        assert seen == recorded[first - 1 :]
        assert reader.problems == [] and reader.reloads == 0
        assert not list(differences(reader.state, fold_journal(Layout(folder))))


def test_whoever_opens_at_any_time_sees_a_state_of_that_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background_writer, "SOON", 0.0)
    monkeypatch.setattr(background_writer, "LATER", 0.0)
    monkeypatch.setattr(background_writer, "SHARE", 1.0)
    opened = 0
    # the writer is never further ahead than two steps, so that it is at work all the time
    allowed = threading.Semaphore(2)
    with at_work(folder, allowed.acquire) as (_, thread), releasing(allowed):
        deadline = time.monotonic() + 240
        while thread.is_alive():
            assert time.monotonic() < deadline
            allowed.release()
            reader = SessionReader.open(folder)
            opened += 1
            assert reader.problems == []
            applied = reader.state.session.applied
            then = fold_journal(Layout(folder), until=applied)
            assert not list(differences(reader.state, then))
            assert list(reader.state.attempts) == list(then.attempts)
            assert summary(folder).error is None
    assert opened >= STEPS - 2


def test_a_slow_disk_does_not_keep_the_record_waiting(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tables are written beside the record, never before it."""
    monkeypatch.setattr(background_writer, "SOON", 0.0)
    with SessionWriter.create(folder, session_record()) as writer:
        begun, go_on = threading.Event(), threading.Event()
        real = writer._projection.write

        def slow(snapshot: object) -> None:
            begun.set()
            assert go_on.wait(120)
            real(snapshot)  # type: ignore[arg-type]

        monkeypatch.setattr(writer._projection, "write", slow)
        writer.record(ev.StateChanged(state="running"))
        assert begun.wait(120)
        # the tables are being written; if the record waited for them, this would never end
        for event in life(2):
            writer.record(event)
        applied = writer.state.session.applied
        assert SessionReader.open(folder).state.session.applied == applied
        go_on.set()
    assert SessionReader.open(folder).state.session.applied == applied
