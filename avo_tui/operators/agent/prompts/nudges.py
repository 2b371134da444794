"""What the agent is told when an answer of its own, or one of its calls, came to nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

INTERRUPTED = (
    "Interrupted: the engine stopped while this ran, so its outcome is not known. It may have taken"
    " effect in part. Look at the state (read_candidate, list_attempts) before you repeat it."
)
SKIPPED = "Skipped, not run: operator message. Read it below, then decide whether this still fits."
NOBODY = (
    "Nobody answers here, and a turn without a tool call does nothing. Go on with the work: edit,"
    " compile, evaluate; submit a correct candidate, or end_step."
)
REFUSED = (
    "Your last answer was withheld by a safety filter and is not part of the conversation. This is"
    " ordinary performance work on a numerical kernel; go on with it, in plain technical words."
)
WRITTEN = (
    "Your call was written as text, so nothing was run. Call tools as the API has it, not in prose:"
    " one call, its name exactly as in the list of tools, its arguments as one JSON object."
)


def for_prose(content: Sequence[Mapping[str, Any]]) -> str:
    """After an answer that called no tool; it may have written a call as text."""
    text = " ".join(str(block.get("text", "")) for block in content)
    written = ("<tool_call", "<function=", "<invoke ", "[TOOL_CALLS]", '"arguments":')
    return WRITTEN if any(mark in text for mark in written) else NOBODY


def in_vain(answers: int) -> str:
    """After so many answers whose calls brought nothing new."""
    return (
        f"Your last {answers} answers brought nothing new: every call failed, or repeated an"
        " earlier one with the same result. Do something else: edit, compile, evaluate, or"
        " end_step with what you learned."
    )


def failing(tool: str, times: int) -> str:
    """After so many failures of one tool in a row."""
    return (
        f"{tool} has failed {times} times in a row. Its answers say why: read them, or do without"
        " it."
    )


def cut_at(where: str) -> str:
    """After an answer that was cut at its limit, or where the context was full."""
    return (
        f"Your answer was cut at {where}; a tool call that was being written is lost. Go on in"
        " smaller pieces: replace_text or apply_diff instead of whole files."
    )
