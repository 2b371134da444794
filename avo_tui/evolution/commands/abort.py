"""`abort`: ends the open step; the run continues with the next one."""

from __future__ import annotations

from avo_tui.domain.commands import AbortStep
from avo_tui.evolution import steps
from avo_tui.evolution.commands.base import CommandAnswer, CommandSpec, Desk, Refused, short


def _handle(desk: Desk, command: AbortStep) -> CommandAnswer:
    run = desk.run
    step = run.open_step
    if step is None:
        raise Refused("no step is running")
    reason = command.reason or "aborted by the person"
    effect = f"step {step.number} ends"
    if run.mode.only_inbox:
        return CommandAnswer(effect, steps.ending(run, "aborted", reason))
    return CommandAnswer(effect, then=lambda: run.control.end_step("aborted", reason))


SPEC = CommandSpec(AbortStep, _handle, summary=lambda command: short(command.reason))
