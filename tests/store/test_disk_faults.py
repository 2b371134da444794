"""Each call to the disk that fails for a while: nothing changes, the same call works later."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from avo_tui.domain import events as ev
from avo_tui.store import DiskTrouble, SessionReader, SessionWriter, StoreError, summaries
from avo_tui.store.doctor import diagnose, differences
from avo_tui.store.layout import Layout
from avo_tui.store.loading import fold_journal
from tests.faulty_disk import CALLS, ERRORS, failing
from tests.session_life import attempt, build, life, report, session_record


@pytest.mark.parametrize("call", CALLS)
def test_a_call_that_fails_for_a_while_loses_nothing(call: str, tmp_path: Path) -> None:
    """With each of the errors in turn."""
    folder = tmp_path / "one"
    events = list(life(1))
    with SessionWriter.create(folder, session_record()) as writer:
        writer._background_writer.stop()
        for number, event in enumerate(events):
            before = writer.state.session.applied
            code = ERRORS[number % len(ERRORS)]
            with failing(call, code, folder, after=number // len(ERRORS) % 3):
                refused = 0
                for _ in range(2):
                    try:
                        if writer.state.session.applied == before:
                            writer.record(event)
                        writer.put(f"{number} {call}")
                        writer.flush()
                    except DiskTrouble as error:
                        refused += 1
                        assert str(folder) in str(error)
            if writer.state.session.applied == before:
                assert refused
                writer.record(event)
            writer.heartbeat()
        writer.flush()
        assert not list(differences(fold_journal(Layout(folder)), writer.state))
        assert not list(differences(SessionReader.open(folder).state, writer.state))
        state = writer.state
    assert not list(differences(SessionReader.open(folder).state, state))
    fails = [f.sentence for f in diagnose(folder) if f.level == "fail" and f.what != "objects"]
    assert fails == []


def test_what_a_failed_sync_may_have_dropped_is_written_again(tmp_path: Path) -> None:
    """After a failed fsync the machine may forget what was written, and call the next one good."""
    from avo_tui.store.appending import AppendFile

    file = AppendFile(tmp_path / "part")
    file.append(b"durable\n", durable=True)
    file.append(b"chatter\n", durable=False)
    with failing("fdatasync", errno.EIO, tmp_path), pytest.raises(DiskTrouble):
        file.append(b"refused\n", durable=True)
    (tmp_path / "part").write_bytes(b"durable\n")  # what the disk has after all
    file.append(b"later\n", durable=True)
    file.close()
    assert (tmp_path / "part").read_bytes() == b"durable\nchatter\nlater\n"


def test_a_beat_that_cannot_be_written_ends_nothing(
    writer: SessionWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "no")

    monkeypatch.setattr(os, "utime", broken)
    writer.heartbeat()


def test_a_session_that_could_not_be_made_leaves_its_name_free(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "one"
    with failing("open", errno.EIO, folder), pytest.raises(DiskTrouble):
        SessionWriter.create(folder, session_record())
    assert not folder.exists()
    SessionWriter.create(folder, session_record()).close()


def refuse_to_read(monkeypatch: pytest.MonkeyPatch, folder: Path, code: int) -> list[int]:
    """Let every opening for reading, look and listing below `folder` fail; returns the count."""
    count = [0]
    for name in ("open", "stat", "scandir"):
        real = getattr(os, name)

        def broken(path: Any, *rest: Any, _real: Any = real, _name: str = name, **more: Any) -> Any:
            writes = _name == "open" and bool(rest) and rest[0] & (os.O_WRONLY | os.O_RDWR)
            if isinstance(path, int) or writes or not str(path).startswith(str(folder)):
                return _real(path, *rest, **more)
            count[0] += 1
            raise OSError(code, os.strerror(code), str(path))

        monkeypatch.setattr(os, name, broken)
    return count


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.EACCES], ids=errno.errorcode.get)
def test_what_cannot_be_read_for_a_while_is_not_taken_for_missing(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine waits; a viewer is told; afterwards all is there."""
    folder = build(tmp_path / "one")
    with SessionWriter.open(folder) as writer:
        source = writer.put("a source")
        step = writer.state.session.step
        writer.record(ev.AttemptStarted(attempt=attempt(step, 99)))
        writer.record(ev.AttemptFinished(attempt=99, report=report(True, 2.0)))
        finished = writer.state.attempts[step, 99]
        events = len(writer.step_events(step))
        with monkeypatch.context() as patch:
            count = refuse_to_read(patch, folder, code)
            for read in (
                lambda: writer.get(source),
                lambda: writer.report(finished),
                lambda: SessionReader.open(folder),
            ):
                with pytest.raises(StoreError, match=r"cannot be read|not allowed|for now"):
                    read()
            with pytest.raises(DiskTrouble):
                writer.get(source)
            writer.heartbeat()
            assert count[0] > 4
        assert writer.get(source) == b"a source"
        assert writer.report(finished) == report(True, 2.0)
        assert len(writer.step_events(step)) == events


@pytest.mark.parametrize("name", ["session.json", "records.pages", "journal"])
def test_a_writer_does_not_open_an_older_state_for_the_newest(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would give its events numbers that are taken."""
    folder = build(tmp_path / "one")
    before = [e.seq for e in SessionReader.open(folder).events()]
    with monkeypatch.context() as patch:
        refuse_to_read(patch, folder / name, errno.EIO)
        with pytest.raises(DiskTrouble):
            SessionWriter.open(folder)
    assert not list(folder.glob("*.damaged"))
    with SessionWriter.open(folder) as writer:
        writer.record(ev.StateChanged(state="running"))
    assert [e.seq for e in SessionReader.open(folder).events()] == [*before, before[-1] + 1]


def test_a_session_that_cannot_be_looked_into_is_one_of_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stale file handle of one, or another person's folder, hides no other."""
    build(tmp_path / "whole")
    build(tmp_path / "away")
    refuse_to_read(monkeypatch, tmp_path / "away", errno.ESTALE)
    listed = {s.name: s.error for s in summaries([tmp_path])}
    assert listed["whole"] is None
    assert "Stale file handle" in (listed["away"] or "")


def test_a_run_whose_folder_is_away_is_not_called_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A viewer that saw the engine goes on to tell of it, while the folder says nothing."""
    folder = build(tmp_path / "one")
    with SessionWriter.open(folder) as writer:
        writer.record(ev.StateChanged(state="running"))
        reader = SessionReader.open(folder)
        assert reader.standing()[0] == "running"
        with monkeypatch.context() as patch:
            refuse_to_read(patch, folder, errno.ENOTCONN)
            state, reason = reader.standing()
            assert state == "parked" and "cannot be read" in reason
            writer.say_waiting("no room")
            assert reader.standing() == ("parked", "no room")
            writer.say_waiting("")
        assert reader.standing()[0] == "running"
