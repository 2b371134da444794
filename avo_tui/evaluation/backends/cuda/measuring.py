"""Timing one configuration, alone beside the baselines or beside another candidate."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from avo_tui.domain.score import ConfigurationScore
from avo_tui.domain.task import Configuration
from avo_tui.domain.verdict import Feedback, Verdict
from avo_tui.evaluation.backends.base import Rejected
from avo_tui.evaluation.backends.cuda import statistics
from avo_tui.evaluation.backends.cuda.checking import SLOW_MILLISECONDS
from avo_tui.evaluation.backends.cuda.compiled import CudaCompiled
from avo_tui.evaluation.backends.cuda.conversation import Timing, wrote_outside
from avo_tui.evaluation.backends.cuda.device import Gpu
from avo_tui.evaluation.backends.cuda.task import CudaTask

BUDGET_SECONDS = 1.0
"""Of a candidate's own time, per configuration."""
WARM_SECONDS = 0.5
VERIFY = 2
"""Timed outputs judged per configuration."""


async def measure(
    task: CudaTask,
    compiled: CudaCompiled,
    configuration: Configuration,
    timing: Timing,
    gpu: Gpu,
    ceiling: float,
    alone: dict[str, float],
) -> ConfigurationScore:
    """One configuration; measured again, once, where the reference baseline drifted.

    `alone` holds how long the baselines take where no candidate ever ran, in milliseconds; it is
    filled in where it is empty.
    """
    flops = task.flops(configuration)
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
            "verify": VERIFY,
            "alone": alone,
        }
        reply = await timing.ask(request, configuration)
        alone.update(reply["alone"])
        if reply["damage"]:
            raise wrote_outside(reply["damage"], configuration.name)
        samples: dict[str, list[float]] = reply["samples"]
        if not samples.get(reference):
            raise _no_reference(reference, configuration.name, reply["absent"])
        slowed = statistics.slowed(samples, alone)
        drifted = statistics.spread(samples[reference]) > statistics.DRIFT
        if (slowed or drifted) and not last and samples["candidate"][0] < SLOW_MILLISECONDS:
            continue
        break
    if slowed:
        raise Rejected(
            Verdict.SUSPICIOUS,
            Feedback(
                summary=f"on {configuration.name} the baseline {slowed[0]}",
                configuration=configuration.name,
                detail="; ".join(slowed),
                hint="A candidate must leave the GPU as it found it.",
            ),
        )
    flags = [f"no {name}: {why}" for name, why in reply["absent"].items()]
    result = statistics.score(configuration, flops, samples, reference, flags)
    result = result.model_copy(update={"prepare_milliseconds": reply["prepare_milliseconds"]})
    fastest = flops / (min(samples["candidate"]) * 1e-3)
    if fastest > gpu.peak:
        raise Rejected(
            Verdict.SUSPICIOUS,
            Feedback(
                summary=f"{fastest / 1e12:.0f} TFLOP/s on {configuration.name}: more than the "
                f"{gpu.peak / 1e12:.0f} TFLOP/s that the hardware can do",
                configuration=configuration.name,
                hint="The work is not being done in the timed run.",
            ),
        )
    if result.throughput * 1e12 > 1.02 * ceiling:
        result = result.model_copy(update={"flags": (*result.flags, "above the measured ceiling")})
    return result


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


async def compare(
    a: CudaCompiled,
    b: CudaCompiled,
    configuration: Configuration,
    timing: Timing,
) -> tuple[list[float], float]:
    """How many times faster `a` is than `b`, round by round, and the median milliseconds of `a`."""
    request = {
        "op": "paired",
        "configuration": configuration.model_dump(),
        "seed": secrets.randbits(48),
        "budget": 2 * BUDGET_SECONDS,
        "warm": WARM_SECONDS,
        "verify": 1,
        "a": a.launch(configuration),
        "b": b.launch(configuration),
    }
    reply = await timing.ask(request, configuration)
    for damage in reply["damage"].values():
        if damage:
            raise wrote_outside(damage, configuration.name)
    ours, theirs = (_by_round(reply["samples"][who]) for who in ("a", "b"))
    return statistics.ratios(ours, theirs), statistics.quantile(reply["samples"]["a"], 0.5)


def _by_round(samples: Sequence[float]) -> list[float]:
    """Two samples of each round, added."""
    return [a + b for a, b in zip(samples[::2], samples[1::2], strict=True)]
