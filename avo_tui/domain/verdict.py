"""The outcome of an evaluation, and the feedback that says what to fix."""

from __future__ import annotations

from enum import StrEnum

from avo_tui.domain.base import Value
from avo_tui.domain.plain import Safe


class Verdict(StrEnum):
    CORRECT = "correct"
    COMPILE_ERROR = "compile_error"
    MANIFEST_ERROR = "manifest_error"
    WRONG_RESULT = "wrong_result"
    CRASH = "crash"
    ILLEGAL_ACCESS = "illegal_access"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    SUSPICIOUS = "suspicious"
    NO_DEVICE = "no_device"
    CANCELLED = "cancelled"
    HARNESS_ERROR = "harness_error"
    """The harness itself failed; this says nothing about the candidate."""

    @property
    def judges_candidate(self) -> bool:
        """Whether the verdict is about the candidate; False if it is about the machine."""
        machine = self is Verdict.NO_DEVICE or self is Verdict.HARNESS_ERROR
        return not (machine or self is Verdict.CANCELLED)  # asked of every attempt of a long run


class Feedback(Value):
    """Explanation of the verdict for the agent and the person.

    `log` and `detail` are untrusted text: control characters are removed, and the text is only
    displayed, never interpreted.
    """

    summary: Safe
    """One sentence."""
    configuration: str | None = None
    """First public configuration that failed; None where it is hidden or does not matter."""
    detail: Safe = ""
    """Position and size of the error: index, expected error, tolerance, or the signal."""
    hint: Safe = ""
    """What usually fixes this."""
    log: Safe = ""
    """Output of the compiler or of the candidate, shortened to a limit."""
