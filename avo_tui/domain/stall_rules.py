"""Detects that a run is stalled and chooses the intervention: values and rules only, no actions.

The counts start at the last commit, rewind or intervention, whichever is latest. They come from the
session's records, so a screen shows the same numbers that the supervisor uses.
"""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from avo_tui.domain import events as ev
from avo_tui.domain.base import ObjectId, Value
from avo_tui.domain.evidence import Ledger, PairedGains, log_gains
from avo_tui.domain.records import Attempt, Intervention
from avo_tui.domain.run_settings import Level, RunSettings
from avo_tui.domain.state import SessionState
from avo_tui.domain.verdict import Verdict


class Thresholds(Value):
    """Limits above which the supervisor intervenes; zero switches a limit off.

    The defaults are those that GEAK uses for its agents (8 evaluations without improvement, 45
    minutes, 5 wrong candidates, 3 identical ones). The descriptions are shown by `avo set`; they
    are no docstrings because pydantic would parse this file at every start to find those.
    """

    attempts: int = Field(
        default=8,
        ge=0,
        description="Attempts without a commit; the variants of one sweep count as one, and so does"
        " what waited together for a device.",
    )
    seconds: float = Field(
        default=2700.0,
        ge=0,
        description="Running seconds without a commit; paused, parked and waiting time is not"
        " counted.",
    )
    failures: int = Field(
        default=5, ge=0, description="Attempts in a row that ended with the same kind of failure."
    )
    repeats: int = Field(
        default=3, ge=0, description="Proposals of candidates that had been tried before."
    )
    usd: float = Field(default=0.0, ge=0, description="Dollars spent without a commit.")


OPTION = "supervisor."


def limits(settings: RunSettings) -> Thresholds:
    """The limits of a run: its options `supervisor.attempts`, `supervisor.seconds` and so on.

    Raises pydantic's ValidationError, a ValueError, for an option that is no limit.
    """
    given: dict[str, object] = {
        name.removeprefix(OPTION): value
        for name, value in settings.options.items()
        if name.startswith(OPTION)
    }
    given.setdefault("attempts", settings.operator_traits.stall_attempts)
    return Thresholds.model_validate(given)


class Stall(Value):
    """How long a run has gone without a commit, in several measures. The screen shows these."""

    attempts: int = 0
    seconds: float = 0.0
    failures: int = 0
    failure: Verdict | None = None
    repeats: int = 0
    usd: float = 0.0
    rung: int = 0
    """Interventions since the last commit."""


def stall(state: SessionState) -> Stall:
    """Measure the stall of a session from its records."""
    commit_step, commit_attempt = last_commit(state)
    since = [i for i in state.supervision.values() if i.step >= commit_step and i.state != "done"]
    rewound = state.session.rewound_at
    since = [i for i in since if i.by == "supervisor" and (rewound is None or i.at > rewound)]
    last = max(since, key=lambda i: i.at, default=None)
    attempts = _attempts_after(state, commit_step, commit_attempt, last)
    judged = [a for a in attempts if a.verdict is not None and a.verdict.judges_candidate]
    failures, failure = _equal_failures(judged)
    seconds, usd = _spend_since(state, commit_step, last)
    return Stall(
        attempts=_tries(judged),
        seconds=seconds,
        failures=failures,
        failure=failure,
        repeats=_tries([a for a in attempts if a.cached]),
        usd=usd,
        rung=len(since),
    )


def last_commit(state: SessionState) -> tuple[int, int]:
    """(step, attempt) of the newest version; (0, 0) where there is none."""
    if not state.versions:
        return 0, 0
    newest = state.versions[max(state.versions)]
    return newest.step, newest.attempt


def trigger(found: Stall, at: Thresholds) -> str | None:
    """The limit that was reached, as a phrase with its numbers; None if none was reached."""
    if at.failures and found.failures >= at.failures:
        what = found.failure.value.replace("_", " ") if found.failure else "failure"
        return f"{found.failures} times {what} in a row (limit {at.failures})"
    if at.repeats and found.repeats >= at.repeats:
        return f"{found.repeats} candidates were tried before (limit {at.repeats})"
    if at.attempts and found.attempts >= at.attempts:
        return f"{found.attempts} attempts without a commit (limit {at.attempts})"
    if at.seconds and found.seconds >= at.seconds:
        minutes, limit = found.seconds / 60, at.seconds / 60
        return f"{minutes:.0f} minutes without a commit (limit {limit:.0f})"
    if at.usd and found.usd >= at.usd:
        return f"${found.usd:.2f} without a commit (limit ${at.usd:.2f})"
    return None


def next_level(rung: int, ladder: tuple[Level, ...]) -> Level:
    """The intervention that follows `rung` others.

    After the last one on the ladder it begins again with the second, leaving out the nudge.
    """
    if rung < len(ladder):
        return ladder[rung]
    rest = ladder[1:] or ladder
    return rest[(rung - 1) % len(rest)]


class Rule(Value):
    """One measure that the supervisor checks, with its limit."""

    name: Literal["attempts", "seconds", "failures", "repeats", "usd"]
    words: str
    used: float
    limit: float
    """The limit; 0 where it is switched off."""

    @property
    def fraction(self) -> float:
        """Value divided by limit; 1 means that the limit is reached."""
        return self.used / self.limit if self.limit else 0.0


def rules(found: Stall, at: Thresholds) -> tuple[Rule, ...]:
    """All measures of a stall with their limits, in the order in which the supervisor checks
    them."""
    kind = found.failure.value.replace("_", " ") if found.failure else "equal failures"
    one = found.attempts == 1 and not at.attempts
    measures = (
        ("failures", f"{kind} in a row"),
        ("repeats", "candidates that were tried before"),
        ("attempts", f"attempt{'' if one else 's'} without a commit"),
        ("seconds", "seconds of running without a commit"),
        ("usd", "dollars without a commit"),
    )
    return tuple(
        Rule.model_validate(
            {"name": name, "words": words, "used": getattr(found, name), "limit": getattr(at, name)}
        )
        for name, words in measures
    )


def step_end(order: Intervention) -> str:
    """Why an intervention ends the running step; empty if the step continues."""
    if order.level not in {"stop_step", "restart"}:
        return ""
    return f"{order.level.replace('_', ' ')}: {order.trigger}"


def closing(state: SessionState, *, rewind: bool = False) -> list[ev.InterventionChanged]:
    """Events that end the interventions in force, as a commit does.

    A `rewind` ends those of the supervisor, which speak of the line that is left, and the person's
    that say where to start, since the person chose anew; other words of the person hold.
    """
    return [
        ev.InterventionChanged(intervention=order.id, state="done")
        for order in state.supervision.values()
        if order.state == "active"
        and (
            not rewind
            or order.by == "supervisor"
            or any(d.parent is not None for d in order.directions)
        )
    ]


def next_parent(state: SessionState) -> int:
    """The version that the next step starts from: the head, or another one that an active direction
    names.

    Raises ValueError if the lineage is empty.
    """
    for order in reversed(state.supervision.values()):
        if order.state != "active":
            continue
        for direction in order.directions:
            number = direction.parent
            if number is not None and number in state.versions and state.versions[number].holds:
                return number
    if state.session.head is None:
        raise ValueError("the lineage is empty")
    return state.session.head


def tried_in_vain(state: SessionState, limit: int = 8) -> list[Attempt]:
    """The attempts since the last commit or rewind that did not become versions, newest first."""
    step, attempt = last_commit(state)
    attempts = [a for a in _attempts_after(state, step, attempt) if a.version is None and a.title]
    return attempts[::-1][:limit]


def nearest_at_the_gate(state: SessionState) -> tuple[Attempt, PairedGains] | None:
    """The attempt since the last commit that came out best in pairs with a version, and what they
    showed; None if the gate measured none of them."""
    ledger = Ledger(state.comparisons.values())
    numbers = {v.candidate: v.number for v in state.versions.values()}
    measured = [
        (attempt, gains)
        for attempt in tried_in_vain(state, limit=200)
        if (gains := ledger.gains(attempt.candidate, numbers)) is not None
    ]
    return max(measured, key=lambda row: row[1].whole[0], default=None)


def unsettled(state: SessionState) -> dict[ObjectId, float]:
    """Candidates since the last commit that the gate called `unclear`, with their measured gains.

    Only candidates with a positive gain: 0.026 means 2.6% faster than the version they were
    compared with.
    """
    tried = {a.candidate for a in tried_in_vain(state, limit=200)}
    gains: dict[ObjectId, float] = {}
    for comparison in state.comparisons.values():
        if comparison.held != "unclear" or comparison.candidate not in tried:
            continue
        logs = log_gains(comparison.replicates)
        gain = math.expm1(math.fsum(logs) / len(logs)) if logs else 0.0
        if gain > 0:
            gains[comparison.candidate] = gain
    return gains


def never_compared(state: SessionState, best: float) -> list[Attempt]:
    """Attempts since the last commit that scored above `best` and that no gate measured.

    The best first; one of each candidate. A score is of a run of its own, so it shows no gain, and
    no failure either.
    """
    compared = {c.candidate for c in state.comparisons.values() if c.replicates}
    ahead = {
        a.candidate: a
        for a in tried_in_vain(state, limit=200)
        if a.aggregate > best and a.undecided and a.candidate not in compared
    }
    return sorted(ahead.values(), key=lambda a: -a.aggregate)


def before_version(state: SessionState, number: int) -> list[Intervention]:
    """Interventions between the previous commit and the commit of a version, oldest first."""
    versions = state.versions
    until = versions[number].created
    earlier = max((v.created for v in versions.values() if v.number < number), default=None)
    interventions = [
        i
        for i in state.supervision.values()
        if i.at <= until and (earlier is None or i.at > earlier)
    ]
    return sorted(interventions, key=lambda i: i.at)


def _tries(attempts: list[Attempt]) -> int:
    """How many things were tried: what was given together is one."""
    return len({(a.step, a.sweep or a.number) for a in attempts})


def _attempts_after(
    state: SessionState, step: int, number: int, last: Intervention | None = None
) -> list[Attempt]:
    """Attempts after the given one, after the last rewind, and after the intervention `last`,
    oldest first.

    Reads only the newest attempts, because it is called at every boundary of a run and must not
    become slower as the session grows.
    """
    after: list[Attempt] = []
    rewound = state.session.rewound_at
    for attempt in reversed(state.attempts.values()):
        if (attempt.step, attempt.number) <= (step, number):
            break
        if rewound is not None and attempt.at <= rewound:
            break
        if last is not None and attempt.at <= last.at:
            break
        after.append(attempt)
    return after[::-1]


def _equal_failures(attempts: list[Attempt]) -> tuple[int, Verdict | None]:
    alike, kind = list[Attempt](), None
    for attempt in reversed(attempts):
        if attempt.verdict in {None, Verdict.CORRECT} or kind not in {None, attempt.verdict}:
            break
        kind = attempt.verdict
        alike.append(attempt)
    return _tries(alike), kind


def _spend_since(
    state: SessionState, commit_step: int, last: Intervention | None
) -> tuple[float, float]:
    """Running seconds and dollars since the last commit, rewind or intervention, in whole steps.

    No more than since the agent in the seat sat down: a newcomer has not been stuck for longer.
    """
    spend, occupant = state.session.spend, state.session.occupant
    sat_seconds = sat_usd = math.inf
    if occupant is not None and occupant.seconds_at is not None:
        sat_seconds = max(0.0, spend.seconds - occupant.seconds_at)
        sat_usd = max(0.0, spend.usd - occupant.usd_at)
    if last is not None:
        seconds, usd = spend.seconds - last.seconds_at, spend.usd - last.usd_at
    else:
        seconds, usd = _spend_of_steps(state, commit_step)
    return min(seconds, sat_seconds), min(usd, sat_usd)


def _spend_of_steps(state: SessionState, commit_step: int) -> tuple[float, float]:
    """Running seconds and dollars of the steps after the last commit or rewind."""
    rewound = state.session.rewound_at
    seconds = usd = 0.0
    for step in reversed(state.steps.values()):
        if step.number <= commit_step or (rewound is not None and step.started <= rewound):
            break
        seconds += step.seconds
        usd += step.usd
    return seconds, usd
