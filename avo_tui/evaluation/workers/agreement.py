"""Whether the devices of a fleet agree: each measures the same candidate now and then.

The control candidate is the first one that was measured as correct, which is the seed in most runs.
A device disagrees where its verdict is another one than that of the others, or where its aggregate
(the geometric mean of the ratios to the reference baseline) differs by more than the noise of both.
Which of them is right cannot be known: the larger group of those that agree stays, of two equal
groups the one with a device that agrees with its own first measurement, then the one with the
device that joined first. A device whose figure differs is measured twice, and so is the one it is
compared with, before it is believed; another verdict counts at once. Meanwhile it gets no work.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import ValidationError

from avo_tui.domain.report import EvaluationReport
from avo_tui.domain.verdict import Verdict

log = logging.getLogger(__name__)

EVERY = 40
"""Requests that a device answers between two measurements of the control candidate."""
LEAST = 0.05
"""Relative difference of aggregates that is always allowed."""
WIDTHS = 4.0
"""Allowed difference over the noise of both, which is half the width from the 20th to the 80th
percentile: four of them are 3.4 standard deviations."""
AGREEMENTS = 2
"""Agreeing measurements in a row after which a device takes part again; one more for each time
that it was found to disagree before."""


@dataclass(frozen=True)
class Outcome:
    """What one device measured of the control candidate."""

    verdict: Verdict
    ratio: float = 0.0
    """Aggregate; 0 without a score."""
    noise: float = 0.0
    number: int = 0
    """Place in the order of all measurements of the control candidate."""

    def allowed(self, other: Outcome) -> float:
        """Largest relative difference of the two ratios that noise explains."""
        return max(LEAST, WIDTHS * math.hypot(self.noise, other.noise))

    def agrees(self, other: Outcome) -> bool:
        """Whether noise explains all of the difference."""
        if self.verdict is not other.verdict:
            return False
        if self.ratio <= 0 or other.ratio <= 0:
            return self.ratio == other.ratio
        return abs(math.log(self.ratio / other.ratio)) <= math.log1p(self.allowed(other))


@dataclass
class _Record:
    first: Outcome
    latest: Outcome
    at: int
    """Requests that it had answered when it measured last."""
    answered: int
    """From how many answers on the next measurement is counted."""
    trusted: int = 0
    """Requests that it had answered by its last measurement that agreed."""
    doubted: Outcome | None = None
    """The first measurement that differed and was not yet done again."""
    agreed: int = 0
    """Agreeing measurements in a row since it was found to disagree."""
    found: int = 0
    """Times that it was found to disagree."""


@dataclass
class Controls:
    """The control candidate and what each device measured of it."""

    body: dict[str, object] | None = None
    """The request that measures it; None until there is one."""
    _records: dict[str, _Record] = field(default_factory=dict)
    _skipped: dict[str, int] = field(default_factory=dict)
    """Device → requests that it had answered when it failed to measure, until it does."""
    _number: int = 0

    def offer(self, body: Mapping[str, object], answer: object) -> bool:
        """Makes a candidate that was measured as correct the control, where there is none yet."""
        if self.body is not None or body.get("op") != "evaluate":
            return False
        try:
            report = EvaluationReport.model_validate(answer)
        except ValidationError:
            return False  # whoever asked is told
        if not report.correct or report.score is None or report.score.aggregate <= 0:
            return False
        self.body = dict(body)
        return True

    def due(self, name: str, answered: int) -> bool:
        """Whether a device that has answered so many requests is to measure it now."""
        if self.body is None:
            return False
        if answered - self._skipped.get(name, -EVERY) < EVERY:
            return False
        record = self._records.get(name)
        if record is None or answered - record.answered >= EVERY:
            return True
        return record.doubted is record.latest

    def take(self, name: str, answer: object, answered: int) -> Outcome | None:
        """Keeps a measurement and returns it; None if the harness failed to measure."""
        try:
            report = EvaluationReport.model_validate(answer)
        except ValidationError:
            self._skip(name, answered)
            return None
        if not report.verdict.judges_candidate:
            self._skip(name, answered)
            return None
        self._skipped.pop(name, None)
        self._number += 1
        score = report.score
        outcome = Outcome(
            verdict=report.verdict,
            ratio=score.aggregate if score is not None else 0.0,
            noise=score.noise if score is not None else 0.0,
            number=self._number,
        )
        record = self._records.get(name)
        if record is None:
            self._records[name] = _Record(outcome, outcome, answered, answered)
        else:
            record.latest, record.at, record.answered = outcome, answered, answered
        return outcome

    def _skip(self, name: str, answered: int) -> None:
        """Gives up a measurement that failed; the device measures when the next is due."""
        record = self._records.get(name)
        if record is not None:
            record.doubted = None
        self._skipped[name] = answered

    def answered_since_agreement(self, name: str, answered: int) -> int:
        """Requests that a device answered since it last agreed with the others."""
        record = self._records.get(name)
        return answered - record.trusted if record is not None else answered

    def forget(self, name: str) -> None:
        """Forgets what a device measured, because its worker was replaced."""
        self._skipped.pop(name, None)
        record = self._records.get(name)
        if record is not None:
            record.answered = -EVERY

    def review(self, names: Sequence[str]) -> dict[str, str]:
        """Devices that disagree → why, after a measurement. `names`: the devices in use, in the
        order in which they joined. Whoever must measure again first is `due` from now on."""
        known = [name for name in names if name in self._records]
        if len(known) < 2:
            return {}
        anchor = self._anchor(known)
        theirs = self._records[anchor]
        odd = {}
        for name in known:
            mine = self._records[name]
            if mine.latest.agrees(theirs.latest):
                mine.doubted = None
                mine.trusted = mine.at
            elif self._is_sure(mine, theirs):
                mine.doubted, mine.agreed, mine.found = None, 0, mine.found + 1
                odd[name] = _words(mine.latest, anchor, theirs.latest)
        return odd

    def _is_sure(self, mine: _Record, theirs: _Record) -> bool:
        """Whether a difference is certain; if not, the devices concerned measure again."""
        newest = mine.latest.number == self._number
        if mine.latest.verdict is not theirs.latest.verdict and newest:
            return True
        if mine.doubted is None:
            mine.doubted = mine.latest
        if theirs.latest.number < mine.doubted.number:
            theirs.answered = -EVERY
            return False
        return mine.latest is not mine.doubted

    def agrees_again(self, name: str, names: Sequence[str]) -> bool:
        """Whether a device that disagreed, and has just measured, may take part again.

        `names`: the devices in use.
        """
        mine = self._records.get(name)
        if mine is None:
            return False
        known = [other for other in names if other in self._records and other != name]
        if known and mine.latest.agrees(self._records[self._anchor(known)].latest):
            mine.agreed += 1
        else:
            mine.agreed = 0
        return mine.agreed >= AGREEMENTS + mine.found - 1

    def _anchor(self, names: Sequence[str]) -> str:
        """The device that the others are compared with."""

        def weight(place: int) -> tuple[int, bool, int]:
            record = self._records[names[place]]
            company = sum(self._records[n].latest.agrees(record.latest) for n in names)
            return company, record.latest.agrees(record.first), -place

        return names[max(range(len(names)), key=weight)]


def _words(mine: Outcome, anchor: str, theirs: Outcome) -> str:
    if mine.verdict is not theirs.verdict:
        return (
            f"it found the control candidate {mine.verdict.value}, {anchor} found it "
            f"{theirs.verdict.value}"
        )
    return (
        f"it measured the control candidate at {mine.ratio:.3f} of the baseline, {anchor} at "
        f"{theirs.ratio:.3f}; noise explains {mine.allowed(theirs):.0%}"
    )
