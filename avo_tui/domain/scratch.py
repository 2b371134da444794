"""A scratch experiment: a small program of the operator's, outside of evaluations."""

from __future__ import annotations

from avo_tui.domain.base import Value
from avo_tui.domain.plain import Safe


class InputsWanted(Value):
    """The inputs that a scratch program asks for."""

    configuration: str = ""
    """Name of a scored configuration; empty: the first one."""
    kind: str = ""
    """Kind of values, as the task names it; empty: the first kind that is timed."""
    seed: int = 1
    """What the values are drawn from: the same seed gives the same values."""


class ScratchReport(Value):
    """The outcome of a scratch experiment: a small program of the agent's, run in the sandbox."""

    compiled: bool
    exit_code: int | None = None
    """Exit code; None if it did not compile, or was ended by a signal or by the harness."""
    outcome: Safe = ""
    """How it ended, in one sentence: `ended with exit code 0`, `killed: time limit of 10 s`, …"""
    compiler_log: Safe = ""
    stdout: Safe = ""
    stderr: Safe = ""
    """Output, cut to a limit; the text says where it was cut."""
    seconds: float = 0.0
    sandbox: str = ""
