"""Asking the GPU process, with everything that can become of a candidate as a rejection."""

from __future__ import annotations

import asyncio

from avo_tui.domain.task import Configuration
from avo_tui.domain.verdict import Feedback, Verdict
from avo_tui.evaluation.backends.base import Rejected
from avo_tui.evaluation.backends.cuda import judging, verdicts
from avo_tui.evaluation.backends.cuda.process import (
    GpuProcess,
    ProcessDiedError,
    ProcessTimeoutError,
    Reply,
)
from avo_tui.evaluation.backends.cuda.task import CudaTask


async def ask(
    process: GpuProcess, request: Reply, seconds: float, configuration: str | None
) -> Reply:
    """The answer, or the rejection that says what became of the candidate."""
    try:
        reply = await process.ask(request, seconds)
    except ProcessTimeoutError as error:
        raise verdicts.of_timeout(error, configuration) from error
    except ProcessDiedError as error:
        raise verdicts.of_death(error, configuration) from error
    if not reply["ok"]:
        raise verdicts.of_reply(reply, configuration, process.printed())
    return reply


async def verified(
    task: CudaTask,
    process: GpuProcess,
    request: Reply,
    seconds: float,
    configuration: Configuration,
) -> Reply:
    """The answer to a timing, once the timed outputs it handed over have been found right."""
    kept: list[tuple[str, judging.Taken]] = []
    reply: Reply = {}
    try:
        async for reply in process.converse(request, seconds):
            if "event" in reply:
                outputs = judging.take(task, process.shared, reply["outputs"], configuration)
                taken = judging.Taken(configuration, "normal", reply["seed"], outputs)
                kept.append((reply["who"], taken))
                await process.acknowledge()
    except ProcessTimeoutError as error:
        raise verdicts.of_timeout(error, configuration.name) from error
    except ProcessDiedError as error:
        raise verdicts.of_death(error, configuration.name) from error
    if not reply["ok"]:
        raise verdicts.of_reply(reply, configuration.name, process.printed())
    for who, taken in kept:
        found = await asyncio.to_thread(judging.judge_outputs, task, taken)
        if not found.ok:
            which = "the other candidate's" if who == "b" else "a"
            raise Rejected(
                Verdict.SUSPICIOUS,
                Feedback(
                    summary=f"{which} timed output is wrong on {configuration.name}, although the "
                    "check passed",
                    configuration=configuration.name,
                    detail=found.detail,
                    hint="Every run must compute its output from its inputs: nothing may be kept "
                    "from one run to the next.",
                ),
            )
    return reply


def wrote_outside(damage: str, configuration: str | None) -> Rejected:
    """The rejection for a damaged guard band."""
    where = f" on {configuration}" if configuration else " on a hidden configuration"
    return Rejected(
        Verdict.ILLEGAL_ACCESS,
        Feedback(
            summary=f"the candidate wrote outside its buffers{where}",
            configuration=configuration,
            detail=damage,
            hint="Check the indices at the ends of the sequence and the sizes of workspaces.",
        ),
    )
