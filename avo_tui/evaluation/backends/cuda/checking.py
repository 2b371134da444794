"""One pass over the cases of a check; a case is judged while the next one runs."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Sequence
from typing import Any

from avo_tui.domain.report import ConfigurationCheck
from avo_tui.evaluation.backends.base import Context, Rejected
from avo_tui.evaluation.backends.cuda import judging
from avo_tui.evaluation.backends.cuda.compiled import CudaCompiled
from avo_tui.evaluation.backends.cuda.conversation import SLOWEST, ask
from avo_tui.evaluation.backends.cuda.process import GpuProcess
from avo_tui.evaluation.backends.cuda.task import CudaTask
from avo_tui.evaluation.measurement import verdicts
from avo_tui.evaluation.measurement.cases import MORE_SECONDS, CheckCase, CheckRecord, public_first
from avo_tui.evaluation.measurement.judge import Judgement

SLOW_MILLISECONDS = 1500.0
"""A run expected to take longer is neither repeated nor perturbed on the scored configurations."""


class Check:
    """One pass over the cases of a check."""

    def __init__(
        self,
        task: CudaTask,
        compiled: CudaCompiled,
        cases: Sequence[CheckCase],
        context: Context,
    ) -> None:
        self._task, self._compiled = task, compiled
        self._cases = public_first(cases)
        self._record = CheckRecord(len(cases), context.progress)
        self._scored = {c.name for c in task.configurations}
        self._rate = 0.0
        self._hidden_ran = False
        """Whether a hidden case was begun."""
        self._wrong: Rejected | None = None
        self._until = float("inf")
        """When, by the monotonic clock, no more cases are run after a wrong one."""

    async def all(self, process: GpuProcess) -> tuple[ConfigurationCheck, ...]:
        """Runs and judges every case. Raises Rejected for the first that fails.

        A wrong result does not end the check: the other public cases are run, too, so that their
        author sees which of them fail.
        """
        try:
            await self._each(process)
        except Rejected as rejection:
            told = self._wrong or rejection
            told.silent = self._hidden_ran
            told.checks = self._record.results
            raise told from rejection.__cause__
        finally:
            self._record.tell()
        return self._record.results

    async def _each(self, process: GpuProcess) -> None:
        pending: tuple[CheckCase, asyncio.Task[Judgement]] | None = None
        try:
            for case in self._cases:
                if pending is not None and (case.hidden and not self._hidden_ran):
                    await self._finish(*pending)
                    pending = None
                if self._wrong and (case.hidden or time.monotonic() > self._until):
                    break
                seed = secrets.randbits(48)
                running = asyncio.create_task(self._run(process, case, seed))
                try:
                    if pending is not None:
                        await self._finish(*pending)
                        pending = None
                    taken = await running
                finally:
                    if not running.done():
                        running.cancel()
                        with contextlib.suppress(asyncio.CancelledError):
                            await running
                judging_it = asyncio.to_thread(judging.judge_outputs, self._task, taken)
                pending = (case, asyncio.create_task(judging_it))
            if pending is not None:
                await self._finish(*pending)
                pending = None
            if self._wrong:
                raise self._wrong
        finally:
            if pending is not None:
                # A thread cannot be cancelled; its result is simply ignored.
                await asyncio.wait({pending[1]})

    async def _finish(self, case: CheckCase, judgement: asyncio.Task[Judgement]) -> None:
        judged = await judgement
        self._record.add(case, judged.ok, judged.error, judged.detail)
        if judged.ok:
            return
        self._wrong = self._wrong or Rejected(*verdicts.wrong_result(case, judged))
        self._until = min(self._until, time.monotonic() + MORE_SECONDS)
        if case.hidden:
            raise self._wrong

    async def _run(self, process: GpuProcess, case: CheckCase, seed: int) -> judging.Taken:
        name = case.public_name
        self._hidden_ran |= case.hidden
        scored = case.configuration.name in self._scored
        flops = self._task.flops(case.configuration)
        slow = bool(self._rate) and 1e3 * flops / self._rate > SLOW_MILLISECONDS
        request = run_request(self._compiled, case, seed, steady=not (scored and slow))
        limit = judging.expected_seconds(self._task, case, SLOWEST)
        reply = await ask(process, request, limit, name, secret=case.hidden)
        if reply["milliseconds"] > 0:
            self._rate = max(self._rate, flops / (reply["milliseconds"] * 1e-3))
        if reply["damage"]:
            raise Rejected(*verdicts.wrote_outside(reply["damage"], name))
        if reply["changed_inputs"]:
            raise Rejected(*verdicts.changed_inputs(reply["changed_inputs"], name))
        taken = judging.Taken(
            case.configuration,
            case.distribution,
            seed,
            self._take(process, reply["outputs"], case),
            self._take(process, reply["perturbed"], case) if "perturbed" in reply else None,
        )
        if reply.get("unsteady"):
            raise await self._unsteady(case, taken, reply["unsteady"])
        return taken

    async def _unsteady(self, case: CheckCase, taken: judging.Taken, what: str) -> Rejected:
        """The rejection for differing results; if the result is also wrong, it is reported as
        wrong."""
        judged = await asyncio.to_thread(judging.judge_outputs, self._task, taken)
        if not judged.ok:
            also = "and runs on the same inputs differ"
            detail, reason = f"{judged.detail}; {also}", f"{judged.reason.rstrip('.')}, {also}."
            wrong = Judgement(judged.error, detail, reason)
            return Rejected(*verdicts.wrong_result(case, wrong))
        return Rejected(*verdicts.unsteady(case, Judgement(float("inf"), what)))

    def _take(self, process: GpuProcess, offsets: dict[str, int], case: CheckCase) -> Any:
        return judging.take(self._task, process.shared, offsets, case.configuration)


def run_request(
    compiled: CudaCompiled, case: CheckCase, seed: int, *, steady: bool
) -> dict[str, Any]:
    """The request that runs one case; `steady` also runs it again and on changed inputs."""
    return {
        "op": "run",
        "who": "candidate",
        **compiled.launch(case.configuration),
        "configuration": case.configuration.model_dump(),
        "seed": seed,
        "distribution": case.distribution,
        "repeat": case.repeat and steady,
        "perturb": case.perturb and steady,
    }
