"""`budget`: new caps for the run and for each step."""

from __future__ import annotations

from avo_tui.domain.commands import SetBudget
from avo_tui.domain.events import BudgetChanged
from avo_tui.evolution.commands.base import CommandAnswer, CommandSpec, Desk


def _summary(command: SetBudget) -> str:
    caps = command.budget.run.model_dump(exclude_none=True)
    return ", ".join(f"{unit} {cap:g}" for unit, cap in caps.items()) or "no caps"


def _handle(desk: Desk, command: SetBudget) -> CommandAnswer:
    change = BudgetChanged(budget=command.budget)
    return CommandAnswer(f"the caps are {_summary(command)}", (change,))


SPEC = CommandSpec(
    SetBudget,
    _handle,
    summary=_summary,
    undo=lambda state, command: SetBudget(budget=state.session.budget),
)
