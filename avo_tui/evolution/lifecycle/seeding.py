"""The beginning of a lineage: identifies the machine and evaluates the seed as v0."""

from __future__ import annotations

from avo_tui.domain import events as ev
from avo_tui.domain.base import now
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.gate_rules import GateDecision
from avo_tui.domain.questions import SeedQuestion
from avo_tui.domain.records import Version
from avo_tui.domain.score import ConfigurationScore, Score
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evolution.admission.evaluations import EvaluationRecorder
from avo_tui.evolution.control import Finish
from avo_tui.evolution.lifecycle.waiting import Standstill
from avo_tui.evolution.run import Run
from avo_tui.operators.ports import Interrupted

ORIGIN_OPTION = "origin_candidate"
"""Option that names the stored candidate of another session to start from."""

_STRAYS = 0.05
"""Ratio of a base to itself less 1, from which on it is told that the machine is busy."""

RETRY_SECONDS = (15.0, 60.0, 300.0, 900.0)
"""How long a run that has measured before waits for its evaluator, time after time."""


async def know_machine(run: Run, waits: Standstill) -> None:
    """Ask the evaluator which machine it measures on.

    While the evaluator fails, a run that has a version parks, since what it measured on may be back
    soon (a host or a scheduler that was restarted with it); then, and without a version at once, it
    pauses for the person.
    """
    delays = list(RETRY_SECONDS) if run.state.versions else []
    while run.machine is None:
        try:
            await run.know_machine()
        except EvaluatorError as error:
            run.trouble("evaluator", str(error))
            if delays:
                await waits.park(delays.pop(0), f"{error}; it is tried again")
                await waits.rest()
            else:
                await waits.pause_for(str(error))
        except Interrupted:
            await waits.rest()


async def plant(run: Run, evaluations: EvaluationRecorder, waits: Standstill) -> None:
    """Evaluate the seed and make it v0. If the seed fails, the run pauses.

    Raises DiskTrouble, and Finish if nobody is present who could fix the seed.
    """
    while not run.state.versions:
        await waits.rest()
        run.set_state("running", "evaluating the seed")
        try:
            reason = await _try(run, evaluations)
        except Interrupted:
            continue
        except EvaluatorError as error:
            reason = str(error)
        if reason:
            run.trouble("seed", reason)
            if run.mode.unattended:
                raise Finish("stopped", f"the seed cannot start the lineage: {reason}")
            await waits.pause_for(f"the seed cannot start the lineage: {reason}")


def _carried_over(run: Run) -> Candidate | None:
    """The candidate of another session that this session starts from; None to use the seed."""
    identity = run.state.session.settings.options.get(ORIGIN_OPTION)
    return run.candidate(identity) if isinstance(identity, str) else None


async def _try(run: Run, evaluations: EvaluationRecorder) -> str:
    """Make v0; returns why that failed, or an empty string on success."""
    control, session = run.control, run.state.session
    origin = _carried_over(run)
    source = f"carried over from {session.settings.origin}"
    seed = origin
    if seed is None:
        work = run.evaluator.ask(session.task.name, SeedQuestion())
        seed = await control.race(work, control.interrupts_step)
    if origin is None and session.task.seedless:
        _plant_skeleton(run, seed)
        return ""
    result = await evaluations.attempt(
        seed,
        title="seed" if origin is None else f"seed, {source}",
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
        conditions=report.conditions,
        gate=GateDecision(
            gate="seed",
            accepted=True,
            reason=said_of_base(report.score.aggregate)
            if session.task.tree and origin is None
            else "the seed starts the lineage",
        ),
        summary="The seed of the task." if origin is None else source.capitalize() + ".",
        author="seed",
        resources=report.resources,
        device=report.device,
        created=now(),
    )
    run.record(ev.VersionCommitted(version=version))
    return ""


def said_of_base(ratio: float) -> str:
    """Why a repository's base is v0, and its speed over itself where that is far from 1."""
    began = "the base starts the lineage"
    if abs(ratio - 1) < _STRAYS:
        return began
    return (
        f"{began}; run beside itself it came out at {ratio:.2f}: this machine is busy, or the"
        " benchmark is noisy, so that small gains take many pairs, or a quieter hour"
    )


def _plant_skeleton(run: Run, skeleton: Candidate) -> None:
    """Make v0 from a kernel that computes nothing yet, with throughput zero.

    Every correct candidate is faster than that, so the first correct one is committed.
    """
    task = run.state.session.task
    run.writer.put(skeleton.canonical())
    zeros = tuple(
        ConfigurationScore(
            name=c.name, parameters=c.parameters, throughput=0.0, p20=0.0, p80=0.0, ratio=0.0
        )
        for c in task.configurations
    )
    version = Version(
        number=0,
        parent=None,
        step=0,
        attempt=0,
        candidate=skeleton.id,
        score=Score(
            unit=task.unit, reference_baseline=task.reference_baseline, configurations=zeros
        ),
        conditions=run.conditions,
        gate=GateDecision(gate="seed", accepted=True, reason="a skeleton starts the lineage"),
        summary="A skeleton of the right signature: it computes nothing yet.",
        author="seed",
        created=now(),
    )
    run.record(ev.VersionCommitted(version=version))
