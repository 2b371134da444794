"""A terminal that reads nothing: nothing waits for it, nothing is kept for it."""

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import psutil
import pytest

from avo_tui.domain import events as ev
from avo_tui.store import SessionReader, SessionWriter
from avo_tui.ui.terminal.writer import CHUNK_BYTES, QUEUE_BYTES, SMALL_BYTES, Writer
from tests.ui.make_session import write
from tests.ui.person import PATIENCE, PROGRAM, Person
from tests.waiting import wait_for

STANDS_SECONDS = 4.0
"""Without a byte that came through."""


@pytest.fixture
def session(tmp_path: Path) -> Iterator[SessionWriter]:
    write(tmp_path / "study", steps=2)
    writer = SessionWriter.open(tmp_path / "study")
    yield writer
    writer.close()


@pytest.fixture
def person(session: SessionWriter, tmp_path: Path) -> Iterator[Person]:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    made = Person(str(program), str(tmp_path / "study"))
    yield made
    made.close()


def freeze(person: Person, session: SessionWriter) -> psutil.Process:
    """Read no more, and let the app paint until the terminal takes nothing for a while."""
    person.read_until("Lineage")
    process = psutil.Process(person.pid)
    written, since, said = -1, time.monotonic(), 0

    def stands() -> bool:
        nonlocal written, since, said
        said += 5
        talk(session, said, 5)
        now = process.io_counters().write_chars
        if now != written:
            written, since = now, time.monotonic()
        return time.monotonic() - since > STANDS_SECONDS

    wait_for(stands, "the terminal never came to stand")
    return process


def talk(session: SessionWriter, first: int, count: int) -> None:
    for n in range(first, first + count):
        session.record(ev.AgentText(block=f"b{n}", text=f"word {n} " * 40 + "\n"))


def test_bell_and_title_call_a_person_once_and_are_taken_back(
    person: Person, session: SessionWriter
) -> None:
    person.read_until("RUNNING")
    assert b"\x1b]2;" not in person.seen and bells(person) == 0
    reader = SessionReader.open(session.folder)
    decided = next(e for e in reader.events() if isinstance(e, ev.GateDecided))
    session.record(ev.ApprovalRequested(attempt=3, decision=decided.decision))
    person.read_until("\x1b[22;2t\x1b]2;avo study: waits for you\x07")
    person.read_until("A approves")
    os.write(person.fd, b"q")

    def left() -> bool:
        person.seen += person.read()
        return person.over()

    wait_for(left, "q does not leave")
    title = person.seen.index(b"\x1b]2;")
    assert person.seen.count(b"\x1b]2;") == 1 and b"\x1b[23;2t" in person.seen[title:]
    assert bells(person) == 1


def bells(person: Person) -> int:
    """How often it rang; a bell that ends a command to the terminal is none."""
    return re.sub(rb"\x1b\][^\x07]*\x07", b"", person.seen).count(b"\x07")


def test_a_frozen_terminal_gets_the_present_when_it_thaws(
    person: Person, session: SessionWriter
) -> None:
    process = freeze(person, session)
    for n in range(20):
        talk(session, 10_000 + n * 50, 50)
    session.record(ev.StateChanged(state="paused", reason="asked for"))
    read = process.io_counters().read_chars
    wait_for(lambda: process.io_counters().read_chars > read, "the app reads no more")
    assert not person.over()
    person.seen = b""
    person.read_until("PAUSED")
    os.write(person.fd, b"q")

    def left() -> bool:
        person.seen += person.read()
        return person.over()

    wait_for(left, "q does not leave")
    assert person.status == 0 and b"\x1b[?1049l" in person.seen


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_app_though_nobody_reads(
    person: Person, session: SessionWriter, number: signal.Signals
) -> None:
    freeze(person, session)
    os.kill(person.pid, number)
    wait_for(person.over, "it waits for the terminal")
    assert person.status == 128 + number


KEEPS_THE_SIGNAL = """
import signal, subprocess, sys
signal.signal(signal.SIGHUP, signal.SIG_IGN)
sys.exit(subprocess.run([sys.executable, *sys.argv[1:]]).returncode)
"""


def test_the_app_ends_with_its_terminal_though_no_signal_comes(
    session: SessionWriter, tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    somebody = Person("-c", KEEPS_THE_SIGNAL, str(program), str(tmp_path / "study"))
    somebody.read_until("Lineage")
    os.close(somebody.fd)
    somebody.fd = os.open(os.devnull, os.O_RDONLY)
    try:
        wait_for(somebody.over, "the app goes on without a terminal")
        assert somebody.status == 128 + signal.SIGHUP
    finally:
        somebody.close()


BLOCKED = """
import sys, threading, time
from pathlib import Path
from avo_tui.ui.app import AvoApp, run_app

app, told = AvoApp(folder=Path(sys.argv[1])), Path(sys.argv[2])
second = app.ticker.second

def wait():  # as for a disk that does not answer
    second()
    if told.read_text() != "wait":
        return
    here = [t for t in threading.enumerate() if t.name == "textual-input"]
    told.write_text(f"waits {len(here)} {all(t.daemon for t in here)}")
    while any(t.is_alive() for t in here):
        time.sleep(0.01)
    told.write_text("ended")
    time.sleep(1000)

app.ticker.second = wait
sys.exit(run_app(app))
"""


def test_keys_are_read_no_more_once_the_terminal_is_gone(
    session: SessionWriter, tmp_path: Path
) -> None:
    """The app may be waiting for a disk: a thread that reads on would take a core meanwhile."""
    program, told = tmp_path / "program.py", tmp_path / "told"
    program.write_text(BLOCKED)
    told.write_text("")
    somebody = Person("-c", KEEPS_THE_SIGNAL, str(program), str(session.folder), str(told))
    try:
        somebody.read_until("Lineage")
        told.write_text("wait")
        wait_for(lambda: told.read_text() == "waits 1 True", "the app never waits")
        os.close(somebody.fd)
        somebody.fd = os.open(os.devnull, os.O_RDONLY)
        wait_for(lambda: told.read_text() == "ended", "keys are read on")
    finally:
        for process in psutil.Process(somebody.pid).children():
            process.kill()
        somebody.close()


def test_the_writer_takes_no_more_than_some_and_tells_when_it_is_free() -> None:
    read, write_end = os.pipe()
    writer = Writer(write_end)
    writer.start()
    writer.write("x" * (QUEUE_BYTES * 3))
    wait_for(lambda: writer.behind, "a full pipe is not noticed")
    wait_for(lambda: writer.stuck, "a pipe that takes nothing is not noticed")
    free = Event()
    writer.when_free(free.set)
    assert not free.is_set()
    got = 0
    while got < QUEUE_BYTES * 3:
        got += len(os.read(read, 65536))
    assert free.wait(PATIENCE) and not writer.behind
    seconds, count = writer.sample()
    assert count == QUEUE_BYTES * 3 and seconds > 0.5 and writer.sample() == (0.0, 0)
    writer.stop()
    assert not writer.is_alive()
    os.close(read)
    os.close(write_end)


def test_the_writer_leaves_a_pipe_that_takes_nothing_and_one_that_is_gone() -> None:
    read, write_end = os.pipe()
    writer = Writer(write_end)
    writer.start()
    writer.write("x" * (QUEUE_BYTES * 3))
    wait_for(lambda: writer.stuck, "a pipe that takes nothing is not noticed")
    begun = time.monotonic()
    writer.stop()
    assert time.monotonic() - begun < PATIENCE and writer.stuck
    os.close(read)
    wait_for(lambda: not writer.is_alive(), "the thread stays though the reader is gone")
    os.close(write_end)


def test_the_first_bytes_over_a_slow_line_go_in_small_pieces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes: list[int] = []

    def take(fd: int, data: bytes) -> int:
        sizes.append(len(data))
        return len(data)

    monkeypatch.setattr(os, "write", take)
    read_end, write_end = os.pipe()
    writer = Writer(write_end)
    writer.in_small_pieces = 2 * SMALL_BYTES
    writer.write("x" * (2 * SMALL_BYTES + CHUNK_BYTES + 1))
    writer.start()
    writer.stop()
    for end in (read_end, write_end):
        os.close(end)
    assert sizes == [SMALL_BYTES, SMALL_BYTES, CHUNK_BYTES, 1]
