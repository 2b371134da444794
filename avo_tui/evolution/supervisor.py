"""The supervisor: notices a stall by numbers and redirects what makes the steps."""

from __future__ import annotations

import random
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Literal

from avo_tui.domain import events as ev
from avo_tui.domain import supervision
from avo_tui.domain.base import now
from avo_tui.domain.records import Direction, Intervention, Version
from avo_tui.domain.supervision import Level

if TYPE_CHECKING:
    from avo_tui.evolution.engine import Engine


class Supervisor:
    """Looks at the numbers at every boundary. All it knows is in the session's records."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._limits = supervision.limits(engine.state.session.settings)

    @property
    def ladder(self) -> tuple[Level, ...]:
        """What follows what, for the operator of this run."""
        tuner = self._engine.operator.author == "tuner"
        return supervision.ladder_of("tuner" if tuner else "agent")

    def look(self) -> Intervention | None:
        """Intervenes where a limit is crossed. Ends the step where the rung says so."""
        if getattr(self._engine.operator, "passive", False):
            return None
        found = supervision.stall(self._engine.state)
        reason = supervision.trigger(found, self._limits)
        if reason is None:
            return None
        return self.intervene(supervision.next_level(found.rung, self.ladder), reason)

    def intervene(
        self,
        level: Level,
        trigger: str,
        *,
        by: Literal["supervisor", "person"] = "supervisor",
        directions: tuple[Direction, ...] = (),
    ) -> Intervention:
        """Records an intervention and, for the upper rungs, ends the step."""
        engine = self._engine
        spend = engine.budget.spend()[0]
        made = Intervention(
            id=uuid.uuid4().hex[:8],
            at=now(),
            step=engine.state.session.step,
            level=level,
            trigger=trigger,
            diagnosis=self._diagnosis(),
            directions=directions or self._directions(level),
            review_wanted=level == "redirect" and not directions,
            by=by,
            seconds_at=spend.seconds,
            usd_at=spend.usd,
        )
        engine.record(ev.SupervisorIntervened(intervention=made))
        if level in {"stop_step", "restart"} and engine.busy_step is not None:
            engine.end_step("nothing", f"{level.replace('_', ' ')}: {trigger}")
        return made

    def _diagnosis(self) -> str:
        """What the records say about the stall; no judgement beyond them."""
        tried = supervision.tried_in_vain(self._engine.state, limit=200)
        if not tried:
            return "Nothing was tried since the last commit."
        verdicts = Counter(a.verdict.value.replace("_", " ") for a in tried if a.verdict)
        parts = ", ".join(f"{count} {kind}" for kind, count in verdicts.most_common(4))
        best = max(tried, key=lambda a: a.aggregate)
        text = f"{len(tried)} attempts since the last commit: {parts}."
        if best.aggregate > 0:
            rival = self._engine.reference()
            distance = best.aggregate / rival.aggregate - 1
            text += f" The nearest, “{best.title}”, came to {distance:+.1%} of v{rival.number}."
        return text

    def _directions(self, level: Level) -> tuple[Direction, ...]:
        if level == "restart":
            ancestor = self._ancestor()
            return (
                Direction(text=f"Start again from v{ancestor.number}.", parent=ancestor.number),
            )
        if self._engine.operator.author == "tuner":
            return (Direction(text="Change more tunables at once."),) if level == "nudge" else ()
        if level == "nudge":
            return (Direction(text="Say what limits the head now, and measure it before editing."),)
        if level == "redirect":
            titles = [a.title for a in supervision.tried_in_vain(self._engine.state, limit=5)]
            failed = "; ".join(dict.fromkeys(titles))
            return (
                Direction(text=f"Leave these directions, they came to nothing: {failed or '–'}."),
                Direction(text="Compare the head with two earlier versions and explain the gaps."),
                Direction(text="Name three changes of a different kind; try the cheapest first."),
            )
        return ()

    def _ancestor(self) -> Version:
        """A version to start from again: good ones more likely, those used before less."""
        state = self._engine.state
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

    def next_parent(self) -> int:
        """The version that the next step starts from: the head, or another by a direction."""
        state = self._engine.state
        for made in reversed(state.supervision.values()):
            if made.state != "active":
                continue
            for direction in made.directions:
                if direction.parent is not None and direction.parent in state.versions:
                    return direction.parent
        head = state.session.head
        assert head is not None
        return head

    def committed(self) -> None:
        """A commit ends every intervention in force."""
        self._close()

    def rewound(self) -> None:
        """The person chose where to start; directions to other ancestors no longer hold."""
        self._close(only_ancestors=True)

    def _close(self, *, only_ancestors: bool = False) -> None:
        for made in list(self._engine.state.supervision.values()):
            elsewhere = any(d.parent is not None for d in made.directions)
            if made.state == "active" and (elsewhere or not only_ancestors):
                self._engine.record(ev.InterventionChanged(intervention=made.id, state="done"))
