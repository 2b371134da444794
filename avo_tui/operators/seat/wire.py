"""What the seat and its client say to each other: one JSON document a line, over a local socket.

The client begins with a `Hello`; the seat answers with a `Welcome`. Then each `Call` gets one
`Answer` with the same `id`. Whoever closes the connection leaves the seat.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from avo_tui.domain.base import Value
from avo_tui.operators.toolbox.box import ToolSpec

POINTER = "seat.json"
"""File in the session's folder that says where the socket is; there while the engine runs."""

LINE_BYTES = 64 << 20
"""Longest line; a candidate has at most 8 MiB before escaping."""

Way = Literal["mcp", "command_line", "acp"]


class Pointer(Value):
    """What the pointer file holds."""

    socket: str
    pid: int


class Hello(Value):
    """The client says who it is."""

    client: str = Field(min_length=1, max_length=80)
    way: Way
    take_over: bool = False
    """Send away whoever sits there."""


class Welcome(Value):
    """The seat's first word."""

    refused: str = ""
    """Why the client may not sit down; "" where it may."""
    session: str = ""
    tools: tuple[ToolSpec, ...] = ()


class Call(Value):
    """A tool to run."""

    id: int
    tool: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    whole: bool = False
    """True for a client that wants the answer uncut, however long it is."""


class Letter(Value):
    """Words from somebody other than the tool: they come with its answer."""

    sender: Literal["person", "supervisor", "run"]
    """`run` is the program itself: a step that ended, a budget that is used up."""
    text: str


class Answer(Value):
    """What came of a call."""

    id: int
    ok: bool
    text: str
    """The tool's answer. A long one is cut in the middle, and says how to read the rest, unless the
    call asked for the whole."""
    characters: int = 0
    """Length of the whole answer."""
    call: str = ""
    """The call's name in the step's record: what `read_result` asks for. "" where none was run."""
    step: int = 0
    letters: tuple[Letter, ...] = ()
    step_ended: bool = False
    """True where the step is over: `begin_step` opens the next one."""
    run_ended: bool = False
    """True where there will be no other step."""

    def whole(self) -> str:
        """Answer and letters in one text, for an agent that reads text."""
        marks = {"person": "from the person", "supervisor": "from the supervisor", "run": "note"}
        parts = [self.text]
        parts += [f"[{marks[letter.sender]}]\n{letter.text}" for letter in self.letters]
        return "\n\n".join(parts)
