"""Watches the budget caps and warns before one is used up."""

from __future__ import annotations

from avo_tui.domain import events as ev
from avo_tui.domain.budget import SOFT_WARNING, Spend, cap_states, exhausted, hours_left
from avo_tui.evolution.run import Run


class BudgetWatch:
    """Compares the caps of the run and its steps with the spend, including running time."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._warned: set[tuple[str, str, float, bool]] = set()

    def spend(self) -> tuple[Spend, Spend]:
        """(spend of the run, spend of the open step) up to now."""
        pending = Spend(seconds=self._run.clock.pending)
        step = self._run.open_step
        mine = step.spend + pending if step is not None else Spend()
        return self._run.state.session.spend + pending, mine

    def run_used_up(self) -> str | None:
        """A sentence about the cap of the whole run that is reached; None if none is."""
        cap = exhausted(self._run.state.session.budget.run, self.spend()[0])
        if cap is None:
            return None
        return f"budget of the run: {cap.text}"

    def used_up(self) -> str | None:
        """A sentence about the cap of the run or the step that is reached; None if none is."""
        cap = exhausted(self._run.state.session.budget.step, self.spend()[1])
        if cap is None:
            return self.run_used_up()
        return f"budget of the step: {cap.text}"

    def warn(self) -> None:
        """Warn once per cap of the run at `SOFT_WARNING`, and once more when it is used up."""
        budget, (run, step) = self._run.state.session.budget, self.spend()
        for scope, caps, spend in (("run", budget.run, run), ("step", budget.step, step)):
            for cap in cap_states(caps, spend):
                key = (scope, cap.unit, cap.cap, cap.exhausted)
                early = cap.fraction < SOFT_WARNING or (scope == "step" and not cap.exhausted)
                if early or key in self._warned:
                    continue
                self._warned.add(key)
                self._run.record(
                    ev.BudgetWarned(
                        unit=cap.unit,
                        cap=cap.cap,
                        used=cap.used,
                        exhausted=cap.exhausted,
                        hours_left=hours_left(cap, spend),
                    )
                )
