"""`submit`: evaluates a candidate made outside the run and asks the gate about it, as for any
other."""

from __future__ import annotations

from collections.abc import Callable

from avo_tui.domain.commands import Submit
from avo_tui.domain.events import CandidateEdited, CommandTaken, Event, HintDelivered, StepStarted
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evolution import steps
from avo_tui.evolution.admission.gate import Proposal
from avo_tui.evolution.commands.base import CommandSpec, Desk, Refused, short
from avo_tui.evolution.run import Run
from avo_tui.operators.ports import AttemptResult, SubmitResult


async def _job(desk: Desk, command: Submit, answer: Callable[[str], CommandTaken]) -> None:
    """Evaluate the submitted candidate and ask the gate; opens a step if none is open."""
    run = desk.run
    await run.know_machine()
    parent = run.state.session.head if command.parent is None else command.parent
    assert parent is not None
    for version in run.state.versions.values():
        if version.candidate == command.candidate.id:
            effect = answer(f"the same source is v{version.number} already")
            run.record(*_end_own_step(run, command, None, effect.effect), effect)
            return
    earlier = _evaluated_before(run, command)
    if earlier is None and desk.evaluations.known(command.candidate.id) is None:
        _require_budget(desk, command)
    title = (command.plan.strip().splitlines() or ["made by hand"])[0]
    _open(run, command, parent, title)

    def along(word: SubmitResult) -> list[Event]:
        hints, words = _hints(run, title)
        events = [*hints, *_end_own_step(run, command, word, word.reason)]
        return [*events, answer(f"{_effect(word)}{words}")]

    try:
        result = earlier or await desk.evaluations.attempt(
            command.candidate, title=title, parent=parent, cut=run.control.interrupts_job
        )
        await desk.gate.submit(
            result,
            Proposal(
                parent,
                command.plan,
                command.summary,
                command.author,
                command.model,
                origin=command.origin,
            ),
            cut=run.control.interrupts_job,
            along=along,
        )
    except EvaluatorError as error:
        if _owns_step(run, command):
            steps.finish(run, "failed", str(error))
        raise
    if run.open_step is None:
        run.control.end = None


def _require_budget(desk: Desk, command: Submit) -> None:
    """Raises Refused where the run's budget is used up, unless a person wrote the candidate."""
    used_up = desk.budget.run_used_up()
    if used_up is None or (command.author == "person" and not command.origin):
        return
    own = desk.run.open_step
    if own is not None and own.command == command.id:
        steps.finish(desk.run, "nothing", used_up)
    raise Refused(f"{used_up}; it was not evaluated")


def _hints(run: Run, title: str) -> tuple[list[Event], str]:
    """Deliver the queued hints with the answer: (events of the delivery, text of the hints).

    Only for operators without steps of their own: the one who submits is then the recipient of the
    hints.
    """
    if run.traits.steps_by_itself:
        return [], ""
    queued = [hint for hint in run.state.hints.values() if hint.state == "queued"]
    where = f"in the answer to the submission {short(title)!r}"
    events: list[Event] = [HintDelivered(hint=hint.id, where=where) for hint in queued]
    return events, "".join(f"\nhint of the person: {hint.text}" for hint in queued)


def _effect(word: SubmitResult) -> str:
    if word.version is not None:
        return f"committed as v{word.version.number}: {word.version.gate.reason}"
    return f"not committed: {word.reason}"


def _owns_step(run: Run, command: Submit) -> bool:
    """True if the open step is this command's own, or nobody else's."""
    step = run.open_step
    if step is None:
        return False
    return step.command == command.id or not run.traits.steps_by_itself


def _open(run: Run, command: Submit, parent: int, title: str) -> None:
    """Open a step if none is open and record the edit; has no effect when called again."""
    step = run.open_step
    if step is not None and any(
        isinstance(e, CandidateEdited) and e.candidate == command.candidate.id
        for e in run.writer.step_events(step.number)
    ):
        return
    events: list[Event] = []
    if step is None:
        number = run.state.session.step + 1
        events.append(StepStarted(step=number, parent=parent, command=command.id))
    run.record(*events, steps.edited(run, command.candidate, parent, title))


def _evaluated_before(run: Run, command: Submit) -> AttemptResult | None:
    """The finished attempt that an earlier engine made for this command, if there is one."""
    step = run.open_step
    if step is None:
        return None
    for (number, _), attempt in reversed(run.state.attempts.items()):
        if number != step.number:
            break
        if attempt.candidate == command.candidate.id and attempt.verdict is not None:
            report = run.report(attempt)
            if report is not None and report.verdict.judges_candidate:
                return AttemptResult(
                    step=number, number=attempt.number, candidate=attempt.candidate, report=report
                )
    return None


def _end_own_step(run: Run, command: Submit, word: SubmitResult | None, reason: str) -> list[Event]:
    """The events that end the step opened for this command; none if the step has another
    purpose."""
    if not _owns_step(run, command):
        return []
    run.settle()
    version = word.version.number if word is not None and word.version is not None else None
    outcome, reason = steps.wished(run, "nothing" if version is None else "committed", reason)
    return steps.ending(run, outcome, reason, version)


def _handle(desk: Desk, command: Submit) -> None:
    if command.parent is not None:
        desk.version(command.parent)
    run = desk.run
    if not run.state.versions and run.mode.only_inbox:
        raise Refused(f"the lineage has no seed yet; start it: avo run --resume {run.before.name}")
    # where this engine is about to measure the seed, the submission waits in the queue for it


SPEC = CommandSpec(
    Submit,
    _handle,
    summary=lambda command: short(command.plan) or f"candidate {command.candidate.short_id}",
    job=_job,
)
