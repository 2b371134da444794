"""The supervisor: detects a stall by its numbers and redirects the variation operator."""

from __future__ import annotations

import random
import uuid
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from avo_tui.domain import events as ev
from avo_tui.domain import memory, stall_rules
from avo_tui.domain.attempts import attempt_name
from avo_tui.domain.base import ObjectId, now
from avo_tui.domain.records import Attempt, Direction, Intervention, Version
from avo_tui.domain.run_settings import Level
from avo_tui.evolution.run import Run
from avo_tui.evolution.watch.budget import BudgetWatch
from avo_tui.operators.toolbox.switched_off import fitting, parts_off

_NAMED = 3
"""Candidates that were never submitted which an intervention names."""


class Supervisor:
    """Checks for a stall at every boundary, using only the session's records."""

    def __init__(self, run: Run, budget: BudgetWatch) -> None:
        self._run = run
        self._budget = budget
        stall_rules.limits(run.state.session.settings)  # reports an invalid option early

    @property
    def ladder(self) -> tuple[Level, ...]:
        """The kinds of intervention for this run's operator, in order."""
        return self._run.traits.ladder

    @property
    def limits(self) -> stall_rules.Thresholds:
        return stall_rules.limits(self._run.state.session.settings)

    def look(self) -> None:
        """Intervene if a limit is exceeded. Ends the step if the kind of intervention requires
        it."""
        if not self.ladder:
            return
        stall = stall_rules.stall(self._run.state)
        reason = stall_rules.trigger(stall, self.limits)
        if reason is None or self._answers_are_to_come():
            return
        order = self.intervention(stall_rules.next_level(stall.rung, self.ladder), reason)
        self._run.record(ev.SupervisorIntervened(intervention=order))
        ends = stall_rules.step_end(order)
        if ends and self._run.open_step is not None:
            self._run.control.end_step("nothing", ends)

    def _answers_are_to_come(self) -> bool:
        """Whether candidates of the open step wait for a device or are on it.

        One of them may be the commit that is missing, and the end of the step would withdraw them.
        """
        state = self._run.state
        return any(
            attempt.step == state.session.step and attempt.verdict is None
            for attempt in state.attempts.values()
        )

    def intervention(
        self,
        level: Level,
        trigger: str,
        *,
        by: Literal["supervisor", "person"] = "supervisor",
        directions: tuple[Direction, ...] = (),
    ) -> Intervention:
        """An intervention with its diagnosis, not recorded yet."""
        spend = self._budget.spend()[0]
        return Intervention(
            id=uuid.uuid4().hex[:8],
            at=now(),
            step=self._run.state.session.step,
            level=level,
            trigger=trigger,
            diagnosis=self._diagnosis(),
            directions=directions or self._directions(level),
            review_wanted=level == "redirect" and not directions,
            by=by,
            seconds_at=spend.seconds,
            usd_at=spend.usd,
        )

    def _diagnosis(self) -> str:
        tried = stall_rules.tried_in_vain(self._run.state, limit=200)
        if not tried:
            return "Nothing was tried since the last commit."
        verdicts = Counter(a.verdict.value.replace("_", " ") for a in tried if a.verdict)
        parts = ", ".join(f"{count} {kind}" for kind, count in verdicts.most_common(4))
        text = f"{len(tried)} attempts since the last commit: {parts}."
        nearest = stall_rules.nearest_at_the_gate(self._run.state)
        if nearest is not None:
            attempt, gains = nearest
            return f"{text} At the gate the nearest was “{attempt.title}”: {gains.text()}."
        if any(a.aggregate > 0 for a in tried):
            text += " None of them was measured at the gate, so no gain or loss is known."
        return text

    def _directions(self, level: Level) -> tuple[Direction, ...]:
        if level == "restart":
            ancestor = self._ancestor()
            return (
                Direction(text=f"Start again from v{ancestor.number}.", parent=ancestor.number),
            )
        if self._run.traits.hints != "text":  # it reads levels only
            return (Direction(text="Change more tunables at once."),) if level == "nudge" else ()
        if level == "nudge":
            return (Direction(text="Say what limits the head now, and measure it before editing."),)
        if level == "redirect":
            return (
                *self._left_and_kept(),
                Direction(text="Compare the head with two earlier versions and explain the gaps."),
                Direction(text="Name three changes of a different kind; try the cheapest first."),
            )
        return ()

    def _left_and_kept(self) -> tuple[Direction, ...]:
        """Directions: which attempts to abandon, and which unclear ones to continue.

        Candidates that are ahead by too little to be shown are not failures.
        """
        state = self._run.state
        gains = stall_rules.unsettled(state)
        tried = stall_rules.tried_in_vain(state, limit=200)
        rival = self._run.reference()
        untested = stall_rules.never_compared(state, rival.aggregate)
        open_ = {*gains, *(a.candidate for a in untested)}
        judged = [a for a in tried if a.verdict is not None and a.verdict.judges_candidate]
        failed = dict.fromkeys(a.title for a in judged[:5] if a.candidate not in open_)
        doubts = self._doubted([a for a in tried if a.candidate in open_])
        untested = [a for a in untested if a.candidate not in doubts]
        ahead = {
            a.title: gains[a.candidate]
            for a in tried
            if a.candidate in gains and a.candidate not in doubts
        }
        directions = []
        if failed:
            text = f"Leave these directions, they came to nothing: {'; '.join(failed)}."
            directions.append(Direction(text=text))
        if ahead:
            named = "; ".join(f"{title} ({gain:+.1%})" for title, gain in ahead.items())
            directions.append(
                Direction(
                    text=f"These are ahead, but not by enough to be shown: {named}. Combine them, "
                    "or submit the best of them again, which adds pairs to its measurement."
                )
            )
        if untested:
            named = "; ".join(f"{a.title} ({a.aggregate:.3f})" for a in untested[:_NAMED])
            directions.append(
                Direction(
                    text=f"These are correct and were never timed beside v{rival.number}; their"
                    f" scores are of their own runs: {named}. {self._ask_of_them()}."
                )
            )
        if doubts:
            text = (
                f"Notes of failures name these, though their checks passed:"
                f" {'; '.join([*doubts.values()][:_NAMED])}. Settle what the note says before you"
                " hand one in."
            )
            directions.append(Direction(text=text))
        return tuple(directions)

    def _doubted(self, attempts: Sequence[Attempt]) -> dict[ObjectId, str]:
        """Candidate → its attempt's title, name and the note that doubts it; newest first."""
        notes = self._run.state.memory.values()
        return {
            a.candidate: f"{a.title} ({attempt_name(a)}, note {note.id})"
            for a in attempts
            if (note := memory.doubt(a, notes)) is not None
        }

    def _ask_of_them(self) -> str:
        """What to do with attempts of which a score alone is known."""
        off = parts_off(self._run.state.session.settings)
        text = (
            "[[timing: Time them in turn with bench, and submit the fastest]]"
            "[[no timing: Submit them, the gate times each in turn]]"
        )
        return fitting(text, off)

    def _ancestor(self) -> Version:
        """An earlier version to start from again, drawn at random.

        Better versions are more likely, those used before less likely.
        """
        state = self._run.state
        used = Counter(
            d.parent
            for i in state.supervision.values()
            for d in i.directions
            if d.parent is not None
        )
        others = [v for v in state.versions.values() if v.number != state.session.head]
        if not others:
            others = list(state.versions.values())
        top = max(v.aggregate for v in others) or 1.0
        weights = [(0.05 + v.aggregate / top) / (1 + used[v.number]) ** 2 for v in others]
        seed = f"{state.session.settings.random_seed}:{state.session.step}:{sum(used.values())}"
        return random.Random(seed).choices(others, weights)[0]  # noqa: S311 - a search, no secret
