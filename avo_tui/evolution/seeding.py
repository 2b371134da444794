"""The beginning of a lineage: what is measured on, and the seed as v0."""

from __future__ import annotations

from typing import TYPE_CHECKING

from avo_tui.domain import events as ev
from avo_tui.domain.acceptance import GateDecision
from avo_tui.domain.base import now
from avo_tui.domain.records import Version
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evolution import recovery
from avo_tui.operators.ports import Interrupted
from avo_tui.store import NoSpace

if TYPE_CHECKING:
    from avo_tui.evolution.engine import Engine


async def know_machine(engine: Engine) -> None:
    """Learns what is measured on. Pauses with the evaluator's sentence while it cannot serve."""
    while engine.machine is None:
        try:
            work = engine.evaluator.machine(engine.state.session.task.name)
            engine.machine = await engine.control.race(work, engine.control.interrupts_job)
        except EvaluatorError as error:
            engine.trouble("evaluator", str(error))
            await engine.waits.pause_for(str(error))
        except Interrupted:
            await engine.waits.rest()


async def plant(engine: Engine) -> None:
    """Evaluates the seed and makes it v0. A seed that fails pauses the run."""
    while not engine.state.versions:
        await engine.waits.rest()
        engine.set_state("running", "evaluating the seed")
        try:
            reason = await _try(engine)
        except Interrupted:
            continue
        except EvaluatorError as error:
            reason = str(error)
        except NoSpace as error:
            await engine.waits.for_room(error)
            continue
        if reason:
            engine.trouble("seed", reason)
            await engine.waits.pause_for(f"the seed cannot start the lineage: {reason}")


async def _try(engine: Engine) -> str:
    """Makes v0; returns why it could not be made, "" where it was."""
    control, session = engine.control, engine.state.session
    origin = recovery.planted(engine)
    came = f"carried over from {session.settings.origin}"
    seed = origin
    if seed is None:
        work = engine.evaluator.seed(session.task.name)
        seed = await control.race(work, control.interrupts_step)
    result = await engine.measure.attempt(
        seed,
        title="seed" if origin is None else f"seed, {came}",
        parent=0,
        cut=control.interrupts_step,
        fresh=True,
    )
    report = result.report
    if report.score is None:
        return report.feedback.summary
    version = Version(
        number=0,
        parent=None,
        step=0,
        attempt=result.number,
        candidate=seed.id,
        score=report.score,
        gate=GateDecision(gate="seed", accepted=True, reason="the seed starts the lineage"),
        summary="The seed of the task." if origin is None else came.capitalize() + ".",
        author="seed",
        resources=report.resources,
        device=report.device,
        created=now(),
    )
    engine.record(ev.VersionCommitted(version=version))
    return ""
