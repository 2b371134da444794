"""What an engine says without a disk reaches other processes, and nothing else is taken for it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from avo_tui.store import SessionWriter, engine_presence, engine_status
from avo_tui.store.engine_presence import Bulletin, read_bulletin


def test_another_process_reads_it(writer: SessionWriter) -> None:
    writer.say_waiting("no room to append to x: free some disk space")
    code = (
        "import sys; from pathlib import Path; from avo_tui.store import engine_status;"
        "print(engine_status(Path(sys.argv[1])).waiting)"
    )
    lock = str(writer.folder / "engine.lock")
    done = subprocess.run([sys.executable, "-c", code, lock], capture_output=True, text=True)
    assert done.stdout == "no room to append to x: free some disk space\n", done.stderr
    writer.say_waiting("")
    assert engine_status(writer.folder / "engine.lock").waiting == ""


def test_a_write_that_does_not_return_is_seen(
    writer: SessionWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that hangs lets nobody say anything: the time of the write says it."""
    monkeypatch.setattr(engine_presence, "SLOW_SECONDS", 0.0)
    inside, go = threading.Event(), threading.Event()
    real = os.fsync

    def hang(descriptor: int) -> None:
        inside.set()
        go.wait()
        real(descriptor)

    monkeypatch.setattr(os, "fsync", hang)
    thread = threading.Thread(target=writer.put, args=("a source",))
    thread.start()
    inside.wait()
    monkeypatch.setattr(time, "time", lambda: 0.0)  # the clock is set back meanwhile
    try:
        words = engine_status(writer.folder / "engine.lock").waiting
    finally:
        go.set()
        thread.join()
    assert words.startswith("the disk does not answer: a write that began at ")
    assert engine_status(writer.folder / "engine.lock").waiting == ""


def test_another_file_is_no_bulletin(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("12345678 not this")
    with (tmp_path / "x").open("rb") as file:
        assert read_bulletin(os.getpid(), file.fileno()) == ""
    assert read_bulletin(os.getpid(), 10**6) == read_bulletin(2**22 + 1, 3) == ""


def test_without_memfd_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    silent = Bulletin()
    silent.say("x")
    with silent.writing():
        assert silent.descriptor is None
    silent.close()
