"""Each call to the disk that fails for a while: nothing changes, the same call works later."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from avo_tui.store import DiskTrouble, SessionReader, SessionWriter
from avo_tui.store.doctor import diagnose, differences
from avo_tui.store.layout import Layout
from avo_tui.store.loading import fold_journal
from tests.faulty_disk import CALLS, ERRORS, failing
from tests.session_life import life, session_record


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("code", ERRORS, ids=errno.errorcode.get)
def test_a_call_that_fails_for_a_while_loses_nothing(call: str, code: int, tmp_path: Path) -> None:
    folder = tmp_path / "one"
    events = list(life(1))
    with SessionWriter.create(folder, session_record()) as writer:
        writer._background_writer.stop()
        for number, event in enumerate(events):
            before = writer.state.session.applied
            with failing(call, code, folder, after=number % 3):
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
