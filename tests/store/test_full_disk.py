"""A full disk: said before anything is damaged, and over once there is room."""

import contextlib
import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avo_tui.domain import events as ev
from avo_tui.domain.commands import Pause
from avo_tui.store import NoSpace, SessionReader, SessionWriter, send_command
from avo_tui.store.doctor import diagnose, differences
from avo_tui.store.layout import Layout
from avo_tui.store.loading import fold_journal
from tests.session_life import life, session_record


@contextlib.contextmanager
def room(folder: Path, size: int, code: int = errno.ENOSPC) -> Iterator[None]:
    """Let `size` more bytes be written under `folder`; then writes are cut short and fail."""
    real_write, real_fallocate = os.write, os.posix_fallocate
    left = size

    def ours(descriptor: int) -> bool:
        with contextlib.suppress(OSError):
            return str(Path(f"/proc/self/fd/{descriptor}").readlink()).startswith(str(folder))
        return False

    def write(descriptor: int, data: bytes) -> int:
        nonlocal left
        if not ours(descriptor):
            return real_write(descriptor, data)
        if left <= 0:
            raise OSError(code, os.strerror(code))
        written = real_write(descriptor, bytes(data)[:left])
        left -= written
        return written

    def fallocate(descriptor: int, offset: int, length: int) -> None:
        if ours(descriptor):
            raise OSError(code, os.strerror(code))
        real_fallocate(descriptor, offset, length)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "write", write)
        patch.setattr(os, "posix_fallocate", fallocate)
        yield


def intact(folder: Path) -> None:
    fails = [f.sentence for f in diagnose(folder) if f.level == "fail" and f.what != "objects"]
    assert fails == []


@settings(max_examples=20)
@given(size=st.integers(0, 4000))
def test_whatever_room_is_left_nothing_is_damaged(
    tmp_path_factory: pytest.TempPathFactory, size: int
) -> None:
    folder = tmp_path_factory.mktemp("full") / "one"
    events = list(life(2))
    with SessionWriter.create(folder, session_record()) as writer:
        writer._background_writer.stop()
        done = 0
        with room(folder, size):
            for event in events:
                before = writer.state.session.applied
                try:
                    writer.record(event)
                except NoSpace as error:
                    assert "free some disk space" in str(error)
                    assert writer.state.session.applied == before
                    break
                done += 1
                if done % 10 == 0:
                    with contextlib.suppress(NoSpace):
                        writer.flush()
            assert not list(differences(fold_journal(Layout(folder)), writer.state))
            assert not list(differences(SessionReader.open(folder).state, writer.state))
        for event in events[done:]:
            writer.record(event)
        writer.flush()
        state = writer.state
        assert len(state.versions) == 2
    intact(folder)
    assert not list(differences(SessionReader.open(folder).state, state))
    assert not list(folder.rglob(".tmp-*"))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_objects_commands_and_tables_say_that_there_is_no_room(
    writer: SessionWriter, code: int
) -> None:
    writer._background_writer.stop()  # it would write the tables in our place
    for event in life(1):
        writer.record(event)
    with room(writer.folder, 10, code):
        for act in (
            lambda: writer.put("x" * 10_000 + os.urandom(100).hex()),
            lambda: send_command(writer.folder, Pause()),
            writer.flush,
        ):
            with pytest.raises(NoSpace, match="no room to"):
                act()
    assert not list(writer.folder.rglob(".tmp-*"))
    assert writer.pending_commands() == []
    assert list(writer.objects) == []
    writer.flush()
    intact(writer.folder)


def test_a_session_cannot_be_made_without_room(tmp_path: Path) -> None:
    with room(tmp_path, 100), pytest.raises(NoSpace):
        SessionWriter.create(tmp_path / "one", session_record())
    # what was begun does not stand in the way of the next try
    SessionWriter.create(tmp_path / "one", session_record()).close()


def test_closing_without_room_leaves_the_rest_to_the_journal(folder: Path) -> None:
    writer = SessionWriter.create(folder, session_record())
    writer._background_writer.stop()
    for event in life(2):
        writer.record(event)
    with room(folder, 0):
        writer.close()
    assert not SessionReader.open(folder).engine().alive
    with SessionWriter.open(folder) as again:
        assert not list(differences(again.state, writer.state))
    intact(folder)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 2 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)],
        check=False,
        capture_output=True,
        text=True,
    )
    if made.returncode != 0:
        pytest.skip(f"cannot mount a small file system here: {made.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_real_disk_fills_up_and_is_freed(small_disk: Path) -> None:
    folder = small_disk / "one"
    writer = SessionWriter.create(folder, session_record())
    writer._background_writer.stop()  # its temporary files would come and go
    ballast = small_disk / "ballast"

    def fill() -> None:
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:  # ends: the disk is full
                file.write(b"\0" * 4096)

    try:
        for event in life(1):
            writer.record(event)
        fill()
        text = "x" * 2000
        with pytest.raises(NoSpace):
            for _ in range(1000):
                writer.record(ev.ToolCalled(call="1", tool="t", arguments={"a": text}))
        last = writer.state.session.applied
        with pytest.raises(NoSpace):
            writer.put(os.urandom(50_000))
        # that the disk is full can still be written down, out of what was held back
        parked = writer.record(ev.StateChanged(state="parked", reason="the disk is full"))
        assert parked.seq == last + 1
        reader = SessionReader.open(folder)
        assert reader.state.session.state == "parked"
        assert reader.state.session.state_reason == "the disk is full"
        fill()
        for _ in range(200):
            with contextlib.suppress(NoSpace):
                writer.record(ev.ToolCalled(call="1", tool="t", arguments={"a": text}))
        with contextlib.suppress(NoSpace):
            writer.flush()
        ballast.unlink()
        writer.heartbeat()
        assert (folder / "reserve").stat().st_size > 0
        resumed = writer.record(ev.StateChanged(state="running"))
        writer.flush()
        assert resumed.seq == writer.state.session.applied
        intact(folder)
    finally:
        writer.close()
    assert not list(differences(SessionReader.open(folder).state, writer.state))
    assert not (folder / "reserve").exists()


def test_only_events_that_tell_of_it_use_the_reserve(writer: SessionWriter) -> None:
    acts: list[Callable[[], ev.Event]] = [
        lambda: writer.record(ev.ToolCalled(call="1", tool="t")),
        lambda: writer.record(ev.AgentText(block="b", text="x")),
    ]
    with room(writer.folder, 0):
        for act in acts:
            with pytest.raises(NoSpace):
                act()
        assert (writer.folder / "reserve").exists()
        with pytest.raises(NoSpace):
            writer.record(ev.StateChanged(state="parked"))
        assert not (writer.folder / "reserve").exists()
    assert writer.record(ev.StateChanged(state="running")).seq == 2
