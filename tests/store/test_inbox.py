"""Commands of the person, and whatever else lands in the inbox."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from avo_tui.domain import events as ev
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.commands import Command, Pause, Resume, SendHint, Stop, Submit
from avo_tui.store import BadCommand, SessionNotFound, SessionWriter, StoreError, send_command


def test_commands_come_in_order_and_say_who_sent_them(writer: SessionWriter) -> None:
    sent: list[Command] = [Pause(mode="now"), SendHint(text="TILE_K=64"), Resume(), Stop()] * 5
    ids = [send_command(writer.folder, command) for command in sent]
    taken = writer.pending_commands()
    assert [c.id for c in taken] == ids
    assert len(set(ids)) == len(ids)
    for command, original in zip(taken, sent, strict=True):
        assert not isinstance(command, BadCommand)
        assert command.kind == original.kind
        assert command.at is not None and command.by
    assert writer.pending_commands() == taken
    writer.command_done(ids[0])
    assert [c.id for c in writer.pending_commands()] == ids[1:]


def test_a_large_submission_arrives_whole(writer: SessionWriter) -> None:
    candidate = Candidate(files={f"f{i}.cpp": "é\x01" * 100_000 for i in range(16)})
    send_command(writer.folder, Submit(candidate=candidate, plan="by hand"))
    (command,) = writer.pending_commands()
    assert isinstance(command, Submit) and command.candidate == candidate


def test_a_command_taken_before_a_crash_is_not_taken_again(
    folder: Path, abandon: Callable[[SessionWriter], None]
) -> None:
    from tests.session_life import session_record

    writer = SessionWriter.create(folder, session_record())
    first, second = send_command(folder, Pause()), send_command(folder, Resume())
    writer.record(ev.CommandTaken(id=first, command="pause", effect="pauses"))
    abandon(writer)
    with SessionWriter.open(folder) as again:
        assert [c.id for c in again.pending_commands()] == [second]
    assert [p.name for p in (folder / "inbox").iterdir()] == [f"{second}.json"]


JUNK = {
    "empty.json": b"",
    "half.json": b'{"kind":"pau',
    "binary.json": bytes(range(256)),
    "list.json": b"[]",
    "unknown.json": b'{"kind":"format_disk"}',
    "wrong.json": b'{"kind":"rewind","version":"many"}',
    "long.json": b'{"kind":"hint","text":"' + b"x" * 30_000 + b'"}',
    "deep.json": b"[" * 100_000,
    "huge-number.json": b'{"kind":"rewind","version":1' + b"0" * 5000 + b"}",
    "notes.txt": b"hello",
}


@pytest.mark.parametrize("name", sorted(JUNK))
def test_junk_is_refused_with_a_reason(writer: SessionWriter, name: str) -> None:
    (writer.folder / "inbox" / name).write_bytes(JUNK[name])
    good = send_command(writer.folder, Pause())
    taken = {c.id: c for c in writer.pending_commands()}
    bad = taken.pop(name.removesuffix(".json"))
    assert isinstance(bad, BadCommand)
    assert bad.reason and "\n" not in bad.reason and len(bad.reason) < 500
    assert list(taken) == [good]
    writer.record(ev.CommandTaken(id=bad.id, command="?", refused=bad.reason))
    writer.command_done(bad.id)
    assert [c.id for c in writer.pending_commands()] == [good]


def test_what_is_no_file_is_refused_and_set_aside(writer: SessionWriter, tmp_path: Path) -> None:
    inbox = writer.folder / "inbox"
    (inbox / "folder.json" / "inner").mkdir(parents=True)
    os.mkfifo(inbox / "pipe.json")
    secret = tmp_path / "secret.json"
    secret.write_text('{"kind":"stop"}')
    (inbox / "link.json").symlink_to(secret)
    (inbox / os.fsdecode(b"name-\xff.json")).write_text("x")
    taken = writer.pending_commands()
    assert len(taken) == 4
    for item in taken:
        assert isinstance(item, BadCommand), item
        writer.record(ev.CommandTaken(id=item.id, command="?", refused=item.reason))
        writer.command_done(item.id)
    assert writer.pending_commands() == []
    assert secret.exists()


def test_a_file_that_is_being_written_is_not_looked_at(writer: SessionWriter) -> None:
    (writer.folder / "inbox" / ".tmp-1-abc").write_text("{")
    assert writer.pending_commands() == []


def test_an_id_cannot_reach_outside_the_inbox(writer: SessionWriter) -> None:
    target = writer.folder / "session.json"
    writer.command_done("../session")
    writer.command_done("../session.json")
    assert target.exists()


def test_sending_to_what_is_no_session_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SessionNotFound):
        send_command(tmp_path / "none", Pause())
    assert list(tmp_path.iterdir()) == []


def test_an_inbox_that_was_removed_is_made_again(writer: SessionWriter) -> None:
    (writer.folder / "inbox").rmdir()
    assert writer.pending_commands() == []
    send_command(writer.folder, Pause())
    assert len(writer.pending_commands()) == 1


def test_a_command_that_is_no_json_is_one_sentence(writer: SessionWriter) -> None:
    hint = SendHint.model_construct(text="x\ud800", delivery="now", scope="once", kind="hint")
    with pytest.raises(StoreError, match="cannot be written as JSON"):
        send_command(writer.folder, hint)
    assert writer.pending_commands() == []


def test_a_command_waits_while_the_disk_does_not_give_it(
    writer: SessionWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is neither refused and lost, nor overtaken by one that was sent after it."""
    ids = [send_command(writer.folder, command) for command in (Pause(), Resume())]
    real = os.open

    def refuse(path: Path, *rest: int, **more: int) -> int:
        if ids[0] in str(path):
            raise OSError(errno.EMFILE, "Too many open files", str(path))
        return real(path, *rest, **more)

    with monkeypatch.context() as away:
        away.setattr(os, "open", refuse)
        assert writer.pending_commands() == []
    assert [c.id for c in writer.pending_commands()] == ids
