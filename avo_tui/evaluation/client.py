"""The local evaluator: one warm worker on this machine, started again when it dies."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from avo_tui.domain.device import DeviceState
from avo_tui.domain.report import EvaluationProgress
from avo_tui.domain.verdict import Verdict
from avo_tui.domain.workers import WorkerStatus
from avo_tui.evaluation.ports import EvaluatorError, ProgressSink
from avo_tui.evaluation.workers.evaluator import Evaluator
from avo_tui.evaluation.workers.link import WorkerLink
from avo_tui.evaluation.workers.members import Standing
from avo_tui.evaluation.workers.process import WorkerGoneError
from avo_tui.evaluation.workers.sensing import OwnSensors


class LocalEvaluator(Evaluator):
    """`Evaluator` on this machine. See `ports.Evaluator` for what the methods promise."""

    def __init__(
        self,
        *,
        kernels: Path | None = None,
        allow_weak_sandbox: bool = False,
        task: str | None = None,
        architecture: str | None = None,
    ) -> None:
        """`task`: what `start()` warms the worker for.

        `allow_weak_sandbox`: evaluate also where this machine cannot confine a candidate.

        `architecture`: what CUDA is compiled for instead of the device's own, such as `sm_100a`.
        """
        command = [sys.executable, "-m", "avo_tui.evaluation", "--serve"]
        if allow_weak_sandbox:
            command.append("--allow-weak-sandbox")
        if kernels is not None:
            command += ["--kernels", str(kernels)]
        if architecture is not None:
            command += ["--arch", architecture]
        self._link = WorkerLink(command)
        self._task = task
        self._sensors = OwnSensors()
        self._standing = Standing("local")

    @property
    def worker_pid(self) -> int | None:
        """The worker's process, while there is one."""
        return self._link.pid

    @property
    def pending(self) -> int:
        """Requests that are not answered yet."""
        return self._link.pending

    async def start(self) -> None:
        """Starts the worker, and warms it for the task if one was named."""
        who = await self._link.hello()
        self._standing.host = str(who.get("host", ""))
        if self._task is not None:
            await self._link.request({"op": "warm", "task": self._task})

    async def close(self) -> None:
        """Ends the worker and whatever candidate runs under it."""
        await self._link.close()

    async def rest(self) -> None:
        """Ends an idle worker; the next request starts one (about a second)."""
        await self._link.rest()

    async def devices(self) -> tuple[DeviceState, ...]:
        """See `Sensing.devices`; asked in this process, also while the worker rests."""
        return await asyncio.to_thread(self._sensors.sample)

    async def request(self, body: dict[str, object], progress: ProgressSink | None = None) -> Any:
        standing = self._standing
        standing.work_on(body)

        def see(now: EvaluationProgress) -> None:
            standing.hear(now)
            if progress is not None:
                progress(now)

        try:
            answer = await self._link.request(body, see)
        except WorkerGoneError as error:
            standing.lose(str(error))
            raise
        except EvaluatorError:
            standing.failures += 1
            raise
        finally:
            if standing.state == "busy":
                standing.become("idle")
        standing.answered += 1
        if isinstance(answer, dict):
            standing.failures += answer.get("verdict") == Verdict.HARNESS_ERROR
            standing.model = str(answer.get("device") or standing.model)
        return answer

    def workers(self) -> tuple[WorkerStatus, ...]:
        """See `Staffed.workers`: this machine as one device."""
        return (self._standing.status(),)
