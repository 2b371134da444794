"""Sends requests to the GPU process and turns every failure of a candidate into a rejection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from types import TracebackType
from typing import Self

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.backends.base import Rejected
from avo_tui.evaluation.backends.cuda import failures, judging
from avo_tui.evaluation.backends.cuda.process import (
    GpuProcess,
    ProcessDiedError,
    ProcessTimeoutError,
    Reply,
)
from avo_tui.evaluation.backends.cuda.task import CudaTask
from avo_tui.evaluation.measurement import verdicts

SLOWEST = 0.25e12
"""Operations per second below which a run is considered hung."""
SILENCE = 30.0
"""Seconds without any message, beyond the time of the slowest call, after which a run is considered
hung."""


async def ask(
    process: GpuProcess,
    request: Reply,
    seconds: float,
    configuration: str | None,
    *,
    secret: bool = False,
) -> Reply:
    """The answer, or the rejection that says what became of the candidate.

    What its kernels printed meanwhile is told, too, unless the request is `secret`: that of a
    hidden case, of which neither values nor sizes may reach the candidate's author.
    """
    mark = process.mark()

    def printed() -> str:
        return "" if secret else process.printed(mark)

    try:
        reply = await process.ask(request, seconds)
    except ProcessTimeoutError as error:
        raise failures.of_timeout(error, configuration) from error
    except ProcessDiedError as error:
        raise failures.of_death(error, configuration, printed()) from error
    if not reply["ok"]:
        told = {**reply, "doing": "", "trace": ""} if secret else reply
        raise failures.of_reply(told, configuration, printed())
    return reply


class Timing:
    """The timings in one process. Outputs of one are judged while the next one warms up the GPU."""

    def __init__(self, task: CudaTask, process: GpuProcess, ids: Mapping[str, str]) -> None:
        """`ids`: name of a candidate in the requests → its id, for rejections."""
        self._task = task
        self._process = process
        self._ids = ids
        self._judging: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            await self.settle()
        elif self._judging is not None:
            # A thread cannot be cancelled; its result is simply ignored.
            await asyncio.wait({self._judging})
            self._judging.exception()

    async def settle(self) -> None:
        """Wait for the outputs still being judged. Raises Rejected if a timed output was wrong."""
        judging_it, self._judging = self._judging, None
        if judging_it is not None:
            await judging_it

    async def ask(self, request: Reply, configuration: Configuration) -> Reply:
        """The answer to a timing; the outputs it handed over are judged from now on."""
        reply: Reply = {}
        async for reply in self.events(request, configuration):
            assert "event" not in reply, reply
        return reply

    async def events(self, request: Reply, configuration: Configuration) -> AsyncGenerator[Reply]:
        """The events after which the process waits for an order, and last the answer.

        The outputs that it handed over are judged from the answer on. Raises Rejected.
        """
        kept: list[tuple[str, judging.Taken]] = []
        reply: Reply = {}
        mark = self._process.mark()
        process, name = self._process, configuration.name
        silence = SILENCE + 2 * self._task.flops(configuration) / SLOWEST
        try:
            async for reply in process.converse(request, silence):
                event = reply.get("event")
                if event == "verify":
                    kept.append((reply["who"], self._taken(reply, configuration)))
                elif event == "ready":
                    await self.settle()
                if event in {"verify", "ready"}:
                    await process.acknowledge()
                elif event == "idle":
                    yield reply
        except ProcessTimeoutError as error:
            raise failures.of_timeout(error, name) from error
        except ProcessDiedError as error:
            raise failures.of_death(error, name, process.printed(mark)) from error
        if not reply["ok"]:
            raise failures.of_reply(reply, name, process.printed(mark))
        await self.settle()
        for who, trouble in reply["trouble"].items():
            if ruling := _trouble(who, trouble, name):
                raise self.rejected(who, ruling)
        self._judging = asyncio.create_task(self._judge(kept, configuration))
        yield reply

    def _taken(self, event: Reply, configuration: Configuration) -> judging.Taken:
        """The outputs that an event hands over."""
        outputs = judging.take(self._task, self._process.shared, event["outputs"], configuration)
        return judging.Taken(configuration, event["distribution"], event["seed"], outputs)

    async def _judge(
        self, kept: list[tuple[str, judging.Taken]], configuration: Configuration
    ) -> None:
        for who, taken in kept:
            judged = await asyncio.to_thread(judging.judge_outputs, self._task, taken)
            if not judged.ok:
                whose = "the other candidate's" if who == "b" else "a"
                ruling = verdicts.wrong_when_timed(configuration.name, judged, whose)
                raise self.rejected(who, ruling)

    def rejected(self, who: str, ruling: verdicts.Ruling) -> Rejected:
        """The rejection of the candidate that requests call `who`."""
        rejection = Rejected(*ruling)
        rejection.whose = self._ids[who]
        return rejection


def _trouble(who: str, trouble: dict[str, str], configuration: str) -> verdicts.Ruling | None:
    """What timed calls did to their inputs, or left in their outputs; None if nothing."""
    whose = "the other candidate's " if who == "b" else ""
    if "changed" in trouble:
        return verdicts.changed_inputs([trouble["changed"]], configuration)
    if "differs" in trouble:
        return verdicts.timed_outputs_differ(configuration, trouble["differs"], whose)
    return None
