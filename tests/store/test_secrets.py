"""No key that somebody types reaches the folder."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from avo_tui.domain import events as ev
from avo_tui.domain.commands import Annotate, EditMemory, Rewind, SendHint, Supervise
from avo_tui.domain.records import Attempt, Hint, Note, PlanItem
from avo_tui.store import SessionReader, SessionWriter, send_command

SHAPED = "sk-ant-api03-0123456789abcdef"
NAMED = "hunter2-of-the-gateway"
AT = datetime(2026, 1, 1, tzinfo=UTC)


def keep(folder: Path) -> bytes:
    """All that the folder holds, unpacked."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_TOKEN", NAMED)


def test_a_command_is_sent_without_keys(lived: Path) -> None:
    for key in (SHAPED, NAMED):
        for command in (
            SendHint(text=f"use {key}"),
            Annotate(version=1, text=f"{key} made it"),
            EditMemory(text=f"remember {key}"),
            Rewind(version=1, reason=key),
            Supervise(directions=(f"try {key}",)),
        ):
            send_command(lived, command)
    content = keep(lived / "inbox")
    assert SHAPED.encode() not in content and NAMED.encode() not in content
    assert content.count(b"[redacted]") == 10


def test_a_command_of_one_who_did_not_know_the_key_is_read_without_it(
    lived: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GATEWAY_TOKEN")
    send_command(lived, SendHint(text=f"use {NAMED}"))
    monkeypatch.setenv("GATEWAY_TOKEN", NAMED)
    with SessionWriter.open(lived) as writer:
        (hint,) = writer.pending_commands()
    assert isinstance(hint, SendHint) and hint.text == "use [redacted]"


def test_texts_of_events_are_recorded_without_keys(lived: Path) -> None:
    with SessionWriter.open(lived) as writer:
        for key in (SHAPED, NAMED):
            hint = Hint(id=f"h-{key[:2]}", text=f"use {key}", queued_at=AT)
            note = Note(id=f"n-{key[:2]}", text=f"remember {key}", at=AT)
            items = (PlanItem(text=f"with {key}"),)
            writer.record(ev.HintQueued(hint=hint))
            writer.record(ev.NoteWritten(note=note))
            writer.record(ev.PlanSet(title=f"log in with {key}", items=items))
            attempt = Attempt(
                step=9, number=1, parent=0, candidate="0" * 64, title=f"as {key} says", at=AT
            )
            writer.record(ev.AttemptStarted(attempt=attempt))
    content = keep(lived)
    assert SHAPED.encode() not in content and NAMED.encode() not in content
    assert SessionReader.open(lived).state.memory["n-sk"].text == "remember [redacted]"


def test_a_key_that_is_a_word_changes_no_name(lived: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_PASSWORD", "supervisor")
    with SessionWriter.open(lived) as writer:
        note = Note(id="n", text="the supervisor said so", at=AT, author="supervisor")
        event = writer.record(ev.NoteWritten(note=note))
    assert isinstance(event, ev.NoteWritten) and event.note.author == "supervisor"
    assert event.note.text == "the [redacted] said so"
