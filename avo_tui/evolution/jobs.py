"""Commands of the person that need the evaluator: a candidate by hand, a re-measurement.

The command stays in the inbox until its job is done, so that a crash does not lose it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from avo_tui.domain import events as ev
from avo_tui.domain.base import now
from avo_tui.domain.commands import Remeasure, Submit
from avo_tui.domain.records import Remeasurement
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evolution import commands, gate, recovery

if TYPE_CHECKING:
    from avo_tui.evolution.engine import Engine


async def do(engine: Engine, command: Submit | Remeasure) -> None:
    """Does one job and answers its command. Raises Interrupted when the engine stops."""
    try:
        if isinstance(command, Submit):
            effect = await _submit(engine, command)
        else:
            effect = await _remeasure(engine, command)
    except EvaluatorError as error:
        engine.trouble("evaluator", str(error))
        commands.answer(engine, command, refused=str(error))
        return
    commands.answer(engine, command, effect=effect)


async def _know_machine(engine: Engine) -> None:
    if engine.machine is None:
        work = engine.evaluator.machine(engine.state.session.task.name)
        engine.machine = await engine.control.race(work, engine.control.interrupts_job)


async def _submit(engine: Engine, command: Submit) -> str:
    """Evaluates a candidate made outside and asks the gate; in a step of its own between steps."""
    await _know_machine(engine)
    head = engine.state.session.head
    assert head is not None
    parent = head if command.parent is None else command.parent
    for version in engine.state.versions.values():
        if version.candidate == command.candidate.id:
            return f"the same source is v{version.number} already"
    passive = bool(getattr(engine.operator, "passive", False))
    own_step = passive or engine.busy_step is None
    if engine.busy_step is None:
        engine.record(ev.StepStarted(step=engine.state.session.step + 1, parent=parent))
    title = command.plan.strip().splitlines()[0] if command.plan.strip() else "made by hand"
    recovery.record_edit(engine, command.candidate, parent, title)
    cut = engine.control.interrupts_job
    try:
        result = await engine.measure.attempt(
            command.candidate, title=title, parent=parent, cut=cut
        )
        word = await gate.submit(
            engine,
            result,
            parent=parent,
            plan=command.plan,
            summary=command.summary,
            author=command.author,
            cut=cut,
        )
    except EvaluatorError as error:
        if own_step:
            engine.finish_step("failed", str(error))
        raise
    if own_step:
        engine.finish_step("committed" if word.version is not None else "nothing", word.reason)
    if word.version is not None:
        return f"committed as v{word.version.number}: {word.version.gate.reason}"
    return f"not committed: {word.reason}"


async def _remeasure(engine: Engine, command: Remeasure) -> str:
    await _know_machine(engine)
    version = engine.state.versions[command.version]
    work = engine.evaluator.evaluate(
        engine.state.session.task.name,
        engine.candidate(version.candidate),
        progress=lambda p: engine.measure.note_progress(0, p),
    )
    report = await engine.measure.plain(work, engine.control.interrupts_job)
    if report.score is None:
        engine.trouble(f"v{version.number} measured again", report.feedback.summary)
        return f"v{version.number} gave no score: {report.feedback.summary}"
    measurement = Remeasurement(at=now(), score=report.score, device=report.device)
    engine.record(ev.VersionRemeasured(number=version.number, measurement=measurement))
    return (
        f"v{version.number} measured again: {report.score.aggregate:.4f}, "
        f"{version.aggregate:.4f} at the gate"
    )
