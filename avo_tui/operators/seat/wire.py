"""The protocol between the seat and its client: one JSON document per line, over a local socket.

The client begins with a `Hello`; the seat answers with a `Welcome`. Then each `Call` gets one
`Answer` with the same `id`, after any number of `Working` if the client asked for them. Closing the
connection leaves the seat.

The evaluation worker and the GPU process speak JSON lines of their own (`evaluation/serve.py`,
`evaluation/backends/cuda/harness/child.py`). What the three have in common is one line of code;
here a stranger is refused or let in, there the other side is watched for signs of life, or waits
in the middle of an answer for an acknowledgement.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from avo_tui.domain.base import Value
from avo_tui.domain.records import RunState
from avo_tui.operators.toolbox.box import ToolSpec

POINTER = "seat.json"
"""File in the session's folder with the address of the socket; it exists while the engine runs."""

LINE_BYTES = 64 << 20
"""Longest line in bytes; a candidate has at most 8 MiB before escaping."""

Way = Literal["mcp", "command_line", "acp"]


class Pointer(Value):
    """Content of the pointer file."""

    socket: str
    pid: int


class Hello(Value):
    """First message of the client: its name and kind."""

    client: str = Field(min_length=1, max_length=80)
    way: Way
    take_over: bool = False
    """Disconnect the client that has the seat, if any."""
    hears: bool = False
    """True for a client that wants to be told what a running tool does."""


class Welcome(Value):
    """First message of the seat."""

    refused: str = ""
    """Why the client may not take the seat; empty if it may."""
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
    """A message from somebody other than the tool, sent with the tool's answer."""

    sender: Literal["person", "supervisor", "run"]
    """`run` means the program itself: for example, a step has ended or a budget is used up."""
    text: str


class Working(Value):
    """What the tool of a call does now."""

    id: int
    working: str
    """Such as `2 of 10: TILE=64; waits for the device: …`."""
    results: tuple[str, ...] = ()
    """What came of the things before, a line each."""


class Answer(Value):
    """The result of a call."""

    id: int
    ok: bool
    text: str
    """The tool's answer. A long one is cut in the middle, and says how to read the rest, unless the
    call asked for the whole."""
    characters: int = 0
    """Length of the whole answer."""
    call: str = ""
    """The call's name in the step's record, as `read_result` takes it; empty if no tool was run."""
    step: int = 0
    letters: tuple[Letter, ...] = ()
    step_ended: bool = False
    """True if the step has ended; `begin_step` opens the next one."""
    run_ended: bool = False
    """True if there will be no further step."""
    run_state: RunState | None = None
    """The state of the run when this was answered; None where that is not known."""

    def whole(self) -> str:
        """The answer and the messages as one text, for an agent that reads text."""
        marks = {"person": "from the person", "supervisor": "from the supervisor", "run": "note"}
        parts = [self.text]
        parts += [f"[{marks[letter.sender]}]\n{letter.text}" for letter in self.letters]
        return "\n\n".join(parts)
