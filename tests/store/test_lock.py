"""One engine a session."""

import errno
import fcntl
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from avo_tui.domain import events as ev
from avo_tui.store import FolderLost, SessionLocked, SessionReader, SessionWriter, engine_status
from tests.session_life import build, engine_started, session_record

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


def test_removing_the_lock_lets_no_second_engine_in(writer: SessionWriter) -> None:
    writer.heartbeat()
    (writer.folder / "engine.lock").unlink()
    assert engine_status(writer.folder / "engine.lock").alive
    assert other_process(writer.folder).startswith("SessionLocked")
    (writer.folder / "engine.lock").unlink(missing_ok=True)
    writer.heartbeat()
    assert engine_status(writer.folder / "engine.lock").pid == os.getpid()
    assert other_process(writer.folder).startswith("SessionLocked")


def test_an_engine_whose_folder_was_moved_stops_writing(
    writer: SessionWriter, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    writer.folder.rename(moved)
    before = sorted(p.name for p in moved.rglob("*"))
    with pytest.raises(FolderLost, match="no longer the folder that this engine opened"):
        writer.put("astray")
    with pytest.raises(FolderLost):
        writer.record(engine_started())
    writer.close()
    assert not writer.folder.exists()
    assert sorted(p.name for p in moved.rglob("*")) == before
    SessionWriter.open(moved).close()


def test_an_engine_whose_journal_was_deleted_stops(writer: SessionWriter) -> None:
    """What it went on to write would be gone with it."""
    max(writer.folder.glob("journal/*")).unlink()
    with pytest.raises(FolderLost, match="was deleted"):
        writer.record(engine_started())
    writer.close()
    with SessionWriter.open(writer.folder) as again:
        again.record(engine_started())


def test_an_engine_writes_nothing_into_what_stands_in_its_place(
    writer: SessionWriter, tmp_path: Path
) -> None:
    writer.folder.rename(tmp_path / "moved")
    build(writer.folder)
    before = {p: p.stat().st_mtime_ns for p in writer.folder.rglob("*")}
    with pytest.raises(FolderLost):
        writer.heartbeat()
    writer.close()
    assert {p: p.stat().st_mtime_ns for p in writer.folder.rglob("*")} == before


@pytest.fixture
def no_flock(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)


def test_without_flock_a_lease_keeps_a_second_engine_out(folder: Path, no_flock: None) -> None:
    with SessionWriter.create(folder, session_record()) as writer:
        assert engine_status(folder / "engine.lock").alive
        with pytest.raises(SessionLocked):
            SessionWriter.open(folder)
        writer.heartbeat()
    assert not engine_status(folder / "engine.lock").alive
    with SessionWriter.open(folder) as again:
        assert "no file locks" in again.recovered[0]
    assert not (folder / "engine.lease").exists()


def test_a_lease_ends_with_its_process(folder: Path, no_flock: None) -> None:
    build(folder)
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True
    )
    (folder / "engine.lock").write_text(
        json.dumps(
            {
                "pid": int(gone.stdout),
                "host": os.uname().nodename,
                "since": "2026-01-01T00:00:00Z",
                "leased": True,
            }
        )
    )
    lease = folder / "engine.lease"
    lease.write_text("another")
    os.utime(lease, (time.time() - 10, time.time() - 10))
    with SessionWriter.open(folder) as writer:
        assert any("ended without closing" in note for note in writer.recovered)
        with pytest.raises(SessionLocked):
            SessionWriter.open(folder)


def test_a_lease_outlasts_a_clock_that_is_set(
    folder: Path, no_flock: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system then says that the engine began hours after it took its lease."""
    monkeypatch.setattr(import_module("avo_tui.store.engine_presence"), "WATCH_SECONDS", 60.0)
    build(folder)
    code = (
        "import sys; from pathlib import Path; from avo_tui.store import SessionWriter\n"
        "import errno, fcntl, time\n"
        "def refuse(*_): raise OSError(errno.ENOLCK, 'none')\n"
        "fcntl.flock = refuse\n"
        "writer = SessionWriter.open(Path(sys.argv[1])); print(flush=True)\n"
        "for _ in range(2000): writer.heartbeat(); time.sleep(0.05)\n"
    )
    engine = subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE)
    try:
        assert engine.stdout is not None and engine.stdout.readline()
        real = psutil.Process.create_time
        monkeypatch.setattr(psutil.Process, "create_time", lambda self: real(self) + 5 * 3600)
        assert engine_status(folder / "engine.lock").alive
        clock = time.time
        monkeypatch.setattr(time, "time", lambda: clock() + 5 * 3600)
        with pytest.raises(SessionLocked, match=f"process {engine.pid}"):
            SessionWriter.open(folder)
    finally:
        engine.kill()
        engine.wait()


def test_a_heart_that_beat_in_the_future_is_not_believed_for_ever(lived: Path) -> None:
    elsewhere(lived, age=-30 * 86400)
    assert not SessionReader.open(lived).engine().alive
    SessionWriter.open(lived).close()


def test_without_flock_a_removed_lock_lets_nobody_in(folder: Path, no_flock: None) -> None:
    with SessionWriter.create(folder, session_record()) as writer:
        lease = folder / "engine.lease"
        os.utime(lease, (time.time() - 10, time.time() - 10))
        (folder / "engine.lock").unlink()
        assert engine_status(folder / "engine.lock").alive
        with pytest.raises(SessionLocked):
            SessionWriter.open(folder)
        before = lease.stat().st_mtime
        writer.heartbeat()
        assert lease.stat().st_mtime > before


def test_a_second_engine_that_is_refused_after_the_lock_was_removed_ends_nobody(
    folder: Path,
) -> None:
    with SessionWriter.create(folder, session_record()) as writer:
        (folder / "engine.lock").unlink()
        with pytest.raises(SessionLocked):
            SessionWriter.open(folder)
        writer.heartbeat()
        assert engine_status(folder / "engine.lock").pid == os.getpid()
        with pytest.raises(SessionLocked):
            SessionWriter.open(folder)


def test_an_engine_whose_clock_is_off_is_believed_while_its_heart_beats(
    lived: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two machines whose clocks differ by an hour: the other's stamps look old, and they change."""
    module = import_module("avo_tui.store.engine_presence")
    monkeypatch.setattr(module, "WATCH_SECONDS", 60.0)
    lock = lived / "engine.lock"
    lock.write_text(json.dumps({"pid": 7, "host": "elsewhere", "since": "2026-01-01T00:00:00Z"}))
    stamps = itertools.count(time.time() - 3600)

    def beating(path: Path) -> int | None:
        os.utime(lock, (now := next(stamps), now))
        return path.stat().st_mtime_ns

    monkeypatch.setattr(module, "_stamp", beating)
    with pytest.raises(SessionLocked) as caught:
        SessionWriter.open(lived)
    assert caught.value.host == "elsewhere"


def taken_over(writer: SessionWriter) -> SessionWriter:
    """Another host's engine, which took the lease of this one while it slept."""
    folder = writer.folder
    for name in ("engine.lock", "engine.lease"):
        body = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(body | {"host": "elsewhere"}))
        os.utime(folder / name, (time.time() - 600, time.time() - 600))
    return SessionWriter.open(folder)


@pytest.mark.parametrize("looks", [True, False], ids=["before", "between its look and its write"])
def test_an_engine_that_wakes_after_its_lease_was_taken_over_writes_nothing(
    lived: Path, no_flock: None, looks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept = SessionWriter.open(lived)
    slept.flush()
    with taken_over(slept) as heir:
        if looks:
            with pytest.raises(FolderLost, match="taken over"):
                slept.record(ev.TroubleNoted(where="slept", message="awake"))
        else:
            monkeypatch.setattr(slept._lock, "check", lambda: None)
            monkeypatch.setattr("avo_tui.store.appending.AppendFile.deleted", False)
            slept.record(ev.TroubleNoted(where="slept", message="awake"))
        mine = heir.record(ev.TroubleNoted(where="heir", message="goes on"))
        written = list(SessionReader.open(lived).events())
        assert written[-1] == mine
        assert not any(getattr(event, "where", "") == "slept" for event in written)
        slept._lost = FolderLost("for the test's end")
        slept.close()
