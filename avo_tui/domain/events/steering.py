"""The person's commands, hints and rewinds, the notes, and the supervisor."""

from __future__ import annotations

from typing import Literal

from avo_tui.domain.commands import Command
from avo_tui.domain.events.base import EventBase
from avo_tui.domain.records import Author, Direction, Hint, Intervention, Note


class CommandTaken(EventBase):
    kind: Literal["command_taken"] = "command_taken"
    id: str
    by: str = ""
    command: str
    """The command's kind."""
    summary: str = ""
    effect: str = ""
    refused: str | None = None
    """Why the command was not carried out; None if it was."""
    undo: Command | None = None
    """The command that would undo this one; None if it cannot be undone."""


class HintQueued(EventBase):
    kind: Literal["hint_queued"] = "hint_queued"
    hint: Hint


class HintDelivered(EventBase):
    kind: Literal["hint_delivered"] = "hint_delivered"
    hint: str
    where: str
    effect: str = ""


class HintClosed(EventBase):
    kind: Literal["hint_closed"] = "hint_closed"
    hint: str
    state: Literal["expired", "cleared"]
    why: str = ""


class Rewound(EventBase):
    kind: Literal["rewound"] = "rewound"
    origin: int
    """Number of the head before the rewind."""
    target: int
    """Number of the head after the rewind."""
    reason: str = ""


class NoteWritten(EventBase):
    """A note was added or replaced."""

    kind: Literal["note_written"] = "note_written"
    note: Note


class NoteRemoved(EventBase):
    kind: Literal["note_removed"] = "note_removed"
    note: str
    author: Author = "agent"
    """Who removed the note."""


class SupervisorIntervened(EventBase):
    kind: Literal["supervisor_intervened"] = "supervisor_intervened"
    intervention: Intervention


class InterventionChanged(EventBase):
    kind: Literal["intervention_changed"] = "intervention_changed"
    intervention: str
    state: Literal["active", "dismissed", "done"]
    directions: tuple[Direction, ...] | None = None
    """The new directions; None leaves them unchanged."""
    review: str | None = None
    """Diagnosis from a review of the run by the model; None if there was no review."""
    avoid: tuple[str, ...] | None = None
    """What the review says should no longer be tried; None leaves the earlier value unchanged."""
