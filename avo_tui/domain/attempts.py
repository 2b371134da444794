"""The list of attempts: outcome, filter and order. Used by the screen and by `avo attempts`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal

from avo_tui.domain.records import Attempt, Step
from avo_tui.domain.verdict import Verdict

AttemptOrder = Literal["newest", "score", "status"]
ORDERS: tuple[AttemptOrder, ...] = ("newest", "score", "status")

FILTERS: dict[str, str] = {
    "rejected": "did not become a version: failed, or turned down by the gate",
    "committed": "became a version",
    "wrong": "computed a wrong result",
    "failed": "did not compile, crashed, hung, or computed a wrong result",
    "noise": "turned down because the gain was within the noise of the measurement",
    "suspicious": "measured faster than can be believed",
    "running": "still evaluated, or undecided: the gate may still decide on it",
}
"""Filter words with a special meaning; any other word is searched for in the attempt's text."""


UNDECIDED = "undecided"
"""Status of a correct attempt of the open step that the gate has not accepted or refused yet."""

NO_DECISION = "no decision"
"""Status of a correct attempt whose step ended before the gate accepted or refused it."""


def open_step(number: int, steps: Mapping[int, Step]) -> int | None:
    """`number`, the newest step, if it has not ended; only its attempts can still change."""
    step = steps.get(number)
    return number if step is not None and step.ended is None else None


def attempt_name(attempt: Attempt) -> str:
    """The name of an attempt, such as `25.3`: the third attempt of step 25."""
    return f"{attempt.step}.{attempt.number}"


def is_open(attempt: Attempt, step: int | None) -> bool:
    """Whether an attempt may still become a version; `step` is the open step."""
    unsettled = attempt.verdict is None or attempt.undecided
    return unsettled and attempt.step == step and attempt.version is None


def attempt_status(attempt: Attempt, step: int | None) -> str:
    """The outcome of an attempt in one or two words; `step` is the open step."""
    if attempt.version is not None:
        return f"v{attempt.version}"
    if attempt.verdict is None:
        return "running" if is_open(attempt, step) and not attempt.reason else "interrupted"
    if attempt.verdict is not Verdict.CORRECT:
        return attempt.verdict.value.replace("_", " ")
    if not attempt.undecided:
        return "rejected"
    return UNDECIDED if is_open(attempt, step) else NO_DECISION


def attempt_reason(attempt: Attempt, step: int | None) -> str:
    """Why an attempt is no version, or that it became one, in a sentence."""
    if attempt.reason:
        return attempt.reason
    if attempt.version is not None:
        return "it became a version"
    status = attempt_status(attempt, step)
    if status == UNDECIDED:
        return "it is correct; the gate is still measuring it, or was not asked yet"
    if status == NO_DECISION:
        return (
            "it is correct, but its step ended without a decision of the gate: most often because"
            " it was never submitted"
        )
    if status == "interrupted":
        return "its step ended before its evaluation did"
    return "it is being evaluated"


def was_rejected(attempt: Attempt) -> bool:
    """Whether an attempt was evaluated and did not become a version."""
    done = attempt.verdict is not None and not attempt.undecided
    return done and attempt.version is None


def _is(attempt: Attempt, word: str, step: int | None) -> bool:
    verdict = attempt.verdict
    if word == "rejected":
        return was_rejected(attempt)
    if word == "committed":
        return attempt.version is not None
    if word == "wrong":
        return verdict is Verdict.WRONG_RESULT
    if word == "failed":
        failed = verdict is not None and verdict is not Verdict.CORRECT
        return failed and verdict is not None and verdict.judges_candidate
    if word == "noise":
        gate = was_rejected(attempt) and verdict is Verdict.CORRECT
        return gate and _within_noise(attempt.reason)
    if word == "suspicious":
        return verdict is Verdict.SUSPICIOUS
    return is_open(attempt, step)


_NOT_MORE = re.compile(r"([+-]?[\d.]+)% against .*not more than the noise of ([\d.]+)%")
"""How the gate's reason read in earlier recordings, for a gain in the noise and a loss alike."""


def _within_noise(reason: str) -> bool:
    """Whether the gate's reason is that the difference cannot be told from noise."""
    if earlier := _NOT_MORE.search(reason):
        gain, noise = map(float, earlier.groups())
        return abs(gain) <= noise
    return "unclear" in reason


def attempt_matches(attempt: Attempt, text: str, step: int | None) -> bool:
    """Whether an attempt passes a filter: every word of `text` must hold. Case does not matter.

    `step` is the open step.
    """
    name, status = attempt_name(attempt), attempt_status(attempt, step)
    whole = f"{name} {status} {attempt.title} {attempt.reason}".casefold()
    words = text.casefold().split()
    return all(_is(attempt, word, step) if word in FILTERS else word in whole for word in words)


def ordered(attempts: Iterable[Attempt], order: AttemptOrder, step: int | None) -> list[Attempt]:
    """Attempts in an order: `newest` first, by `score` the best first, or grouped by `status`."""
    newest = sorted(attempts, key=lambda a: (a.step, a.number), reverse=True)
    if order == "score":
        return sorted(newest, key=lambda a: -a.aggregate)
    if order == "status":
        return sorted(newest, key=lambda a: (a.version is None, attempt_status(a, step)))
    return newest
