"""Times one configuration beside the baselines."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from avo_tui.domain.score import ConfigurationScore
from avo_tui.domain.task import Configuration
from avo_tui.domain.verdict import Feedback, Verdict
from avo_tui.evaluation.backends.base import Rejected
from avo_tui.evaluation.backends.cuda.checking import SLOW_MILLISECONDS
from avo_tui.evaluation.backends.cuda.compiled import CudaCompiled
from avo_tui.evaluation.backends.cuda.conversation import Timing
from avo_tui.evaluation.backends.cuda.task import CudaTask
from avo_tui.evaluation.measurement import statistics, verdicts
from avo_tui.evaluation.measurement.metric import Ceilings

BUDGET_SECONDS = 1.0
"""Seconds of the candidate's own time to spend per configuration."""
WARM_SECONDS = 0.5


async def measure(
    task: CudaTask,
    compiled: CudaCompiled,
    configuration: Configuration,
    timing: Timing,
    ceilings: Ceilings,
    alone: dict[str, float],
) -> ConfigurationScore:
    """One configuration; measured again, once, where the reference baseline drifted.

    `alone` holds how long the baselines take where no candidate ever ran, in milliseconds; it is
    filled in where it is empty.
    """
    work = task.work(configuration)
    reference = task.reference_baseline
    for last in (False, True):
        request = {
            "op": "bench",
            "who": "candidate",
            "configuration": configuration.model_dump(),
            **compiled.launch(configuration),
            "seed": secrets.randbits(48),
            "budget": BUDGET_SECONDS,
            "warm": WARM_SECONDS,
            "alone": alone,
        }
        reply = await timing.ask(request, configuration)
        alone.update(reply["alone"])
        if reply["damage"]:
            raise Rejected(*verdicts.wrote_outside(reply["damage"], configuration.name))
        samples = {name: _seconds(values) for name, values in reply["samples"].items()}
        if not samples.get(reference):
            raise _no_reference(reference, configuration.name, reply["absent"])
        slowed = statistics.slowed(samples, {n: t / 1e3 for n, t in alone.items()})
        drifted = statistics.noisy(samples[reference])
        if (slowed or drifted) and not last and 1e3 * samples["candidate"][0] < SLOW_MILLISECONDS:
            continue
        break
    if slowed:
        raise Rejected(*verdicts.slowed_baseline(configuration.name, slowed))
    if why := ceilings.impossible(work, min(samples[statistics.CANDIDATE])):
        raise Rejected(*verdicts.impossible(configuration.name, why))
    flags = [f"no {name}: {why}" for name, why in reply["absent"].items()]
    flags += ceilings.remark(work, statistics.median(samples[statistics.CANDIDATE]))
    result = statistics.score(configuration, task.metric, work, samples, reference, flags)
    return result.model_copy(update={"prepare_milliseconds": reply["prepare_milliseconds"]})


def _seconds(milliseconds: Sequence[float]) -> list[float]:
    return [value / 1e3 for value in milliseconds]


def _no_reference(name: str, configuration: str, absent: dict[str, str]) -> Rejected:
    why = absent.get(name, "it is not installed")
    return Rejected(
        Verdict.HARNESS_ERROR,
        Feedback(
            summary=f"the reference baseline {name} does not run on {configuration}: {why}",
            configuration=configuration,
            hint="The ratio is taken against it; install what it needs, or choose another one.",
        ),
    )
