"""One engine a session."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from avo_tui.store import SessionLocked, SessionReader, SessionWriter, engine_status

OPEN = """
import sys
from pathlib import Path
from avo_tui.store import SessionWriter, StoreError
try:
    SessionWriter.open(Path(sys.argv[1]))
except StoreError as error:
    print(type(error).__name__, error)
"""


def other_process(folder: Path) -> str:
    return subprocess.run(
        [sys.executable, "-c", OPEN, str(folder)], check=True, capture_output=True, text=True
    ).stdout


def test_a_second_engine_is_refused_with_pid_and_host(writer: SessionWriter) -> None:
    host = os.uname().nodename
    said = other_process(writer.folder)
    assert said.startswith("SessionLocked the session is held by process")
    assert f"process {os.getpid()} on {host} since 20" in said and said.count("\n") == 1
    with pytest.raises(SessionLocked) as caught:
        SessionWriter.open(writer.folder)
    assert caught.value.pid == os.getpid() and caught.value.host == host
    status = engine_status(writer.folder / "engine.lock")
    assert status.alive and status.pid == os.getpid()


def test_the_lock_of_a_dead_engine_is_taken_over(
    lived: Path, abandon: Callable[[SessionWriter], None]
) -> None:
    abandon(SessionWriter.open(lived))
    assert other_process(lived) == ""
    with SessionWriter.open(lived) as again:
        assert "ended without closing" in again.recovered[0]
        assert again.recovered[0].split()[2] != str(os.getpid())
    assert SessionWriter.open(lived).recovered == ()


def test_a_pid_that_is_in_use_again_does_not_hold_a_session(lived: Path) -> None:
    text = json.dumps(
        {"pid": os.getpid(), "host": os.uname().nodename, "since": "2026-01-01T00:00:00Z"}
    )
    (lived / "engine.lock").write_text(text)
    assert not SessionReader.open(lived).engine().alive
    SessionWriter.open(lived).close()


def elsewhere(lived: Path, age: float) -> None:
    lock = lived / "engine.lock"
    lock.write_text(json.dumps({"pid": 7, "host": "elsewhere", "since": "2026-01-01T00:00:00Z"}))
    os.utime(lock, (time.time() - age, time.time() - age))


def test_an_engine_on_another_host_is_believed_while_its_heart_beats(lived: Path) -> None:
    elsewhere(lived, age=5)
    assert SessionReader.open(lived).engine().alive
    with pytest.raises(SessionLocked, match="process 7 on elsewhere"):
        SessionWriter.open(lived)
    elsewhere(lived, age=3600)
    assert not SessionReader.open(lived).engine().alive
    SessionWriter.open(lived).close()


def test_a_heartbeat_is_seen(writer: SessionWriter) -> None:
    lock = writer.folder / "engine.lock"
    os.utime(lock, (1, 1))
    writer.heartbeat()
    beat = SessionReader.open(writer.folder).engine().heartbeat
    assert beat is not None and beat.timestamp() > 1e9


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pid":"x","host":1}', b"\xff" * 10])
def test_an_odd_lock_file_stops_nobody(lived: Path, content: bytes) -> None:
    (lived / "engine.lock").write_bytes(content)
    assert not SessionReader.open(lived).engine().alive
    SessionWriter.open(lived).close()


def test_a_viewer_that_asks_does_not_keep_an_engine_out(
    lived: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader's question holds the lock for an instant; the engine tries again."""
    held = [os.open(lived / "engine.lock", os.O_RDONLY)]
    fcntl.flock(held[0], fcntl.LOCK_SH)

    def sleep(seconds: float) -> None:
        os.close(held.pop())

    with monkeypatch.context() as patch:
        patch.setattr("avo_tui.store.lock.time", SimpleNamespace(monotonic=float, sleep=sleep))
        SessionWriter.open(lived).close()
    assert held == []


def test_a_child_of_the_engine_does_not_inherit_the_lock(
    lived: Path, abandon: Callable[[SessionWriter], None]
) -> None:
    session = SessionWriter.open(lived)
    child = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        abandon(session)
        assert not SessionReader.open(lived).engine().alive
    finally:
        child.kill()
        child.wait()
