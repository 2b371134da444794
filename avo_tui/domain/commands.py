"""The commands of a person. Each is one file in the inbox, validated when the engine reads it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from avo_tui.domain.base import DEFERRED, Moment, Value
from avo_tui.domain.budget import Budget
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.records import (
    MEANT_BY_AVO,
    Author,
    HintDelivery,
    HintScope,
    NoteCategory,
    PauseMode,
)
from avo_tui.domain.run_settings import Level

MAX_TEXT = 20_000
"""Largest length of text in a command, such as a hint, a note or a reason, in characters."""

PAUSE_WORDS: dict[PauseMode, str] = {
    "after_tool": "after this tool",
    "after_step": "after this step",
    "now": "now",
}
"""Descriptions, for the screen, of when a pause takes effect."""

Text = Annotated[str, Field(max_length=MAX_TEXT)]
SomeText = Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]


class CommandBase(Value):
    """`id` and `at` are set when the command is sent."""

    id: str = ""
    at: Moment | None = None
    by: str = ""


class Pause(CommandBase):
    kind: Literal["pause"] = "pause"
    mode: PauseMode = "after_tool"


class Resume(CommandBase):
    """Ends a pause, or ends the waiting time of a parked run early."""

    kind: Literal["resume"] = "resume"


class Stop(CommandBase):
    kind: Literal["stop"] = "stop"
    reason: Text = ""
    """Why, where it is no person who ends the run."""


class SendHint(CommandBase):
    kind: Literal["hint"] = "hint"
    text: SomeText
    delivery: HintDelivery = "next_tool"
    scope: HintScope = "once"


class ClearHint(CommandBase):
    kind: Literal["clear_hint"] = "clear_hint"
    hint: str


class Rewind(CommandBase):
    kind: Literal["rewind"] = "rewind"
    version: int
    reason: Text = ""


class AbortStep(CommandBase):
    kind: Literal["abort"] = "abort"
    reason: Text = ""


class Approve(CommandBase):
    kind: Literal["approve"] = "approve"


class Reject(CommandBase):
    kind: Literal["reject"] = "reject"
    reason: Text = ""


class SetBudget(CommandBase):
    kind: Literal["budget"] = "budget"
    budget: Budget


OptionName = Annotated[str, Field(min_length=1, max_length=80)]
MAX_OPTION = 1000
"""Largest number of characters of an option's value."""
GivenOption = Annotated[str, Field(max_length=MAX_OPTION)] | int | float | bool


class SetOptions(CommandBase):
    """Changes options of the run by name, such as `agent.effort`; None restores the default."""

    kind: Literal["set"] = "set"
    options: Annotated[dict[OptionName, GivenOption | None], Field(min_length=1, max_length=100)]


class SetBookmark(CommandBase):
    """Sets a version's bookmark; None removes it."""

    kind: Literal["bookmark"] = "bookmark"
    version: int
    label: Annotated[str, Field(max_length=60)] | None


def why_no_bookmark(label: str) -> str:
    """Why a version cannot be called so; "" if it can."""
    if not MEANT_BY_AVO.fullmatch(label.strip()):
        return ""
    return f"{label.strip()!r} is how avo names a version by itself; choose another name"


class Annotate(CommandBase):
    kind: Literal["note"] = "note"
    version: int
    text: Text


class Submit(CommandBase):
    """Submits a candidate made outside the run; it is evaluated and judged by the gate as usual."""

    kind: Literal["submit"] = "submit"
    candidate: Candidate
    plan: Text = ""
    summary: Text = ""
    parent: int | None = None
    """Number of the version that it was made from; None means the head."""
    author: Author = "person"
    model: Annotated[str, Field(max_length=200)] = ""
    """The model or program that made it, if it was carried over."""
    origin: Annotated[str, Field(max_length=200)] = ""
    """`SESSION:VERSION` that it was carried over from; empty if it was made for this session."""


class Remeasure(CommandBase):
    kind: Literal["remeasure"] = "remeasure"
    version: int


class EditMemory(CommandBase):
    """Replaces a note's text, adds a note (`note` is None), or removes one (`text` is None)."""

    kind: Literal["memory"] = "memory"
    note: str | None = None
    category: NoteCategory = "fact"
    text: Text | None = None
    author: Author = "person"


class Supervise(CommandBase):
    """Starts an intervention of the supervisor, with the person's directions if any are given."""

    kind: Literal["supervise"] = "supervise"
    level: Level = "redirect"
    directions: tuple[SomeText, ...] = ()


class EditIntervention(CommandBase):
    """Dismisses an intervention, or replaces its directions."""

    kind: Literal["intervention"] = "intervention"
    intervention: str
    dismiss: bool = False
    directions: tuple[SomeText, ...] | None = None


Command = Annotated[
    Pause
    | Resume
    | Stop
    | SendHint
    | ClearHint
    | Rewind
    | AbortStep
    | Approve
    | Reject
    | SetBudget
    | SetOptions
    | SetBookmark
    | Annotate
    | Submit
    | Remeasure
    | EditMemory
    | Supervise
    | EditIntervention,
    Field(discriminator="kind"),
]

_ADAPTER: TypeAdapter[Command] = TypeAdapter(Command, config=DEFERRED)


def parse_command(text: str | bytes) -> Command:
    """Read a command from JSON. Raises pydantic's ValidationError, a ValueError."""
    return _ADAPTER.validate_json(text)


def command_text(command: Command) -> str:
    """What a command asks for in a few words, such as `rewind to v5`; none of it is free text."""
    match command:
        case Pause():
            return f"pause {PAUSE_WORDS[command.mode]}"
        case Rewind():
            return f"rewind to v{command.version}"
        case Remeasure():
            return f"measure v{command.version} again"
        case SetBookmark():
            return f"bookmark on v{command.version}"
        case Annotate():
            return f"note on v{command.version}"
        case SetOptions():
            return f"settings {', '.join(sorted(command.options))}"
        case Submit():
            return "candidate by hand"
    return _WORDS.get(command.kind, command.kind.replace("_", " "))


_WORDS = {
    "resume": "go on",
    "clear_hint": "clear a hint",
    "abort": "abort the step",
    "supervise": "intervention",
    "intervention": "change an intervention",
    "memory": "change the memory",
}


class CommandRecord(Value):
    """A command of the person that was taken from the inbox, with its result."""

    id: str
    at: Moment
    by: str
    kind: str
    summary: str
    effect: str = ""
    refused: str | None = None
    """Why the command was not carried out; None if it was."""
    undo: Command | None = None
    """The command that would undo this one; None if it cannot be undone."""
