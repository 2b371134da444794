"""`bookmark` and `note`: the person attaches a mark or a text to a version."""

from __future__ import annotations

from avo_tui.domain.commands import Annotate, Command, SetBookmark, why_no_bookmark
from avo_tui.domain.events import VersionAnnotated
from avo_tui.domain.state import SessionState
from avo_tui.evolution.commands.base import CommandAnswer, CommandSpec, Desk, Refused, short


def _bookmark(desk: Desk, command: SetBookmark) -> CommandAnswer:
    version = desk.version(command.version)
    label = (command.label or "").strip() or None
    if label and (why := why_no_bookmark(label)):
        raise Refused(why)
    change = VersionAnnotated(number=version.number, bookmark=label, note=version.note)
    marked = f"is marked {label}" if label else "is not marked"
    return CommandAnswer(f"v{version.number} {marked}", (change,))


def _bookmark_summary(command: SetBookmark) -> str:
    return f"v{command.version} {command.label or 'without bookmark'}"


def _bookmark_before(state: SessionState, command: SetBookmark) -> Command | None:
    version = state.versions.get(command.version)
    return None if version is None else SetBookmark(version=version.number, label=version.bookmark)


def _note(desk: Desk, command: Annotate) -> CommandAnswer:
    version = desk.version(command.version)
    change = VersionAnnotated(
        number=version.number, bookmark=version.bookmark, note=command.text.strip()
    )
    return CommandAnswer(f"the note of v{version.number} is written", (change,))


def _note_before(state: SessionState, command: Annotate) -> Command | None:
    version = state.versions.get(command.version)
    return None if version is None else Annotate(version=version.number, text=version.note)


BOOKMARK = CommandSpec(SetBookmark, _bookmark, summary=_bookmark_summary, undo=_bookmark_before)
NOTE = CommandSpec(
    Annotate,
    _note,
    summary=lambda command: f"v{command.version}: {short(command.text)}",
    undo=_note_before,
)
