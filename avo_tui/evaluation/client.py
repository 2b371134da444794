"""The local evaluator: starts the warm worker, talks to it, and starts it again when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import os
import sys
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from avo_tui.devices import Sensor, machine_sensors
from avo_tui.domain.base import now
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.device import DeviceState
from avo_tui.domain.secrets import may_hold_a_secret
from avo_tui.domain.task import TaskInfo
from avo_tui.domain.verdict import (
    EvaluationProgress,
    EvaluationReport,
    Feedback,
    MachineInfo,
    ScratchReport,
    Verdict,
)
from avo_tui.evaluation.ports import EvaluatorError, ProgressSink

log = logging.getLogger(__name__)

_LINE_LIMIT = 64 << 20
_START_SECONDS = 60.0
_CANCEL_SECONDS = 20.0


class _WorkerGoneError(Exception):
    """The worker ended while it owed an answer."""


class _Worker:
    """One worker process and the requests it has not answered."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.pending: dict[int, tuple[asyncio.Future[Any], ProgressSink | None]] = {}
        self.last_words: deque[str] = deque(maxlen=40)
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._readers = [
            asyncio.create_task(self._read_answers()),
            asyncio.create_task(self._read_log()),
        ]

    @property
    def alive(self) -> bool:
        return self.process.returncode is None and not self._readers[0].done()

    def send(self, body: dict[str, object]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(body).encode() + b"\n")

    async def _read_answers(self) -> None:
        assert self.process.stdout is not None
        try:
            while line := await self.process.stdout.readline():
                self._take(json.loads(line))
        finally:
            gone = _WorkerGoneError("the evaluation worker ended unexpectedly")
            for future, _ in self.pending.values():
                if not future.done():
                    future.set_exception(gone)
            if not self.ready.done():
                self.ready.set_exception(gone)

    def _take(self, answer: dict[str, Any]) -> None:
        if answer.get("ready"):
            if not self.ready.done():
                self.ready.set_result(None)
            return
        if "log" in answer:
            log.info("%s", answer["log"])
            return
        future, sink = self.pending.get(answer.get("id", -1), (None, None))
        if future is None or future.done():
            return
        if "progress" in answer:
            if sink is not None:
                sink(EvaluationProgress.model_validate(answer["progress"]))
        elif "error" in answer:
            kind = answer.get("kind")
            error = asyncio.CancelledError() if kind == "cancelled" else None
            future.set_exception(error or EvaluatorError(str(answer["error"])))
        else:
            future.set_result(answer.get("result"))

    async def _read_log(self) -> None:
        assert self.process.stderr is not None
        while line := await self.process.stderr.readline():
            self.last_words.append(line.decode(errors="replace").rstrip())

    async def end(self) -> None:
        """Asks for the end, insists after a while, and waits for it."""
        if self.process.returncode is None:
            with contextlib.suppress(OSError, RuntimeError):
                self.send({"op": "shutdown"})
                assert self.process.stdin is not None
                self.process.stdin.close()
            try:
                await asyncio.wait_for(self.process.wait(), _CANCEL_SECONDS)
            except TimeoutError:
                self.process.kill()
                await self.process.wait()
        await asyncio.wait(self._readers)
        for reader in self._readers:
            reader.exception()
        if self.ready.done():
            self.ready.exception()


class LocalEvaluator:
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
        self._command = [sys.executable, "-m", "avo_tui.evaluation", "--serve"]
        if allow_weak_sandbox:
            self._command.append("--allow-weak-sandbox")
        if kernels is not None:
            self._command += ["--kernels", str(kernels)]
        if architecture is not None:
            self._command += ["--arch", architecture]
        self._task = task
        self._worker: _Worker | None = None
        self._starting = asyncio.Lock()
        self._numbers = itertools.count(1)
        self._sensors: list[Sensor] | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def worker_pid(self) -> int | None:
        """The worker's process, while there is one."""
        return self._worker.process.pid if self._worker is not None else None

    async def start(self) -> None:
        """Starts the worker, and warms it for the task if one was named."""
        await self._ready()
        if self._task is not None:
            await self._request({"op": "warm", "task": self._task})

    async def close(self) -> None:
        """Ends the worker and whatever candidate runs under it."""
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.end()

    async def rest(self) -> None:
        """Ends an idle worker; the next request starts one (about a second)."""
        async with self._starting:
            worker = self._worker
            if worker is not None and not worker.pending:
                self._worker = None
                await worker.end()

    async def devices(self) -> tuple[DeviceState, ...]:
        """See `Sensing.devices`; asked in this process, also while the worker rests."""
        return await asyncio.to_thread(self._sense)

    def _sense(self) -> tuple[DeviceState, ...]:
        if self._sensors is None:
            self._sensors = machine_sensors()
        return tuple(sensor.sample() for sensor in self._sensors)

    async def _ready(self) -> _Worker:
        async with self._starting:
            if self._worker is not None and self._worker.alive:
                return self._worker
            if self._worker is not None:
                await self._worker.end()
            environment = {k: v for k, v in os.environ.items() if not may_hold_a_secret(k)}
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=environment,
                limit=_LINE_LIMIT,
                start_new_session=True,
            )
            worker = _Worker(process)
            self._worker = worker
            try:
                await asyncio.wait_for(asyncio.shield(worker.ready), _START_SECONDS)
            except (TimeoutError, _WorkerGoneError) as error:
                await worker.end()
                last = worker.last_words[-1] if worker.last_words else str(error)
                raise EvaluatorError(f"the evaluation worker does not start: {last}") from error
            return worker

    async def _request(self, body: dict[str, object], progress: ProgressSink | None = None) -> Any:
        worker = await self._ready()
        number = next(self._numbers)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        worker.pending[number] = (future, progress)
        try:
            worker.send({"id": number, **body})
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await self._cancel(worker, number, future)
            raise
        finally:
            worker.pending.pop(number, None)
            if future.done() and not future.cancelled():
                future.exception()

    async def _cancel(self, worker: _Worker, number: int, future: asyncio.Future[Any]) -> None:
        """Waits until the worker has killed the candidate; ends a worker that does not."""
        if future.done() or not worker.alive:
            return
        worker.send({"op": "cancel", "target": number})
        done, _ = await asyncio.wait([future], timeout=_CANCEL_SECONDS)
        if not done:
            worker.process.kill()

    async def task(self, name: str) -> TaskInfo:
        """See `Evaluator.task`."""
        return TaskInfo.model_validate((await self._describe(name))["info"])

    async def seed(self, name: str) -> Candidate:
        """See `Evaluator.seed`."""
        return Candidate.model_validate((await self._describe(name))["seed"])

    async def _describe(self, name: str) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = await self._request({"op": "describe", "task": name})
        except _WorkerGoneError as error:
            raise EvaluatorError(self._why(error)) from error
        return answer

    async def machine(self, task: str) -> MachineInfo:
        """See `Evaluator.machine`."""
        try:
            answer = await self._request({"op": "machine", "task": task})
        except _WorkerGoneError as error:
            raise EvaluatorError(self._why(error)) from error
        return MachineInfo.model_validate(answer)

    async def compile(
        self, task: str, candidate: Candidate, *, progress: ProgressSink | None = None
    ) -> EvaluationReport:
        """See `Evaluator.compile`."""
        return await self._evaluate({"op": "compile"}, task, candidate, progress)

    async def check(
        self,
        task: str,
        candidate: Candidate,
        *,
        progress: ProgressSink | None = None,
        quick: bool = False,
    ) -> EvaluationReport:
        """See `Evaluator.check`; `quick` checks the small configurations only."""
        return await self._evaluate({"op": "check", "quick": quick}, task, candidate, progress)

    async def evaluate(
        self,
        task: str,
        candidate: Candidate,
        *,
        target: Mapping[str, float] | None = None,
        progress: ProgressSink | None = None,
    ) -> EvaluationReport:
        """See `Evaluator.evaluate`."""
        body: dict[str, object] = {"op": "evaluate", "target": dict(target or {})}
        return await self._evaluate(body, task, candidate, progress)

    async def remeasure(
        self,
        task: str,
        candidate: Candidate,
        other: Candidate,
        *,
        replicate: int = 0,
        progress: ProgressSink | None = None,
    ) -> EvaluationReport:
        """See `Evaluator.remeasure`."""
        body: dict[str, object] = {
            "op": "remeasure", "other": other.files, "replicate": replicate,
        }  # fmt: skip
        return await self._evaluate(body, task, candidate, progress)

    async def profile(
        self, task: str, candidate: Candidate, configuration: str | None = None
    ) -> str:
        """See `Inspecting.profile`."""
        return await self._inspect("profile", task, candidate, configuration)

    async def disassemble(
        self, task: str, candidate: Candidate, function: str | None = None
    ) -> str:
        """See `Inspecting.disassemble`."""
        return await self._inspect("disassemble", task, candidate, function)

    async def _inspect(self, what: str, task: str, candidate: Candidate, of: str | None) -> str:
        body: dict[str, object] = {"op": what, "task": task, "files": candidate.files, "of": of}
        try:
            return str((await self._request(body))["text"])
        except _WorkerGoneError as error:
            raise EvaluatorError(self._why(error)) from error

    async def scratch(
        self, task: str, files: dict[str, str], *, seconds: float = 10.0
    ) -> ScratchReport:
        """See `Evaluator.scratch`."""
        body: dict[str, object] = {"op": "scratch", "task": task, "files": files}
        body["seconds"] = seconds
        try:
            return ScratchReport.model_validate(await self._request(body))
        except _WorkerGoneError as error:
            return ScratchReport(compiled=False, outcome=self._why(error))

    async def _evaluate(
        self,
        body: dict[str, object],
        task: str,
        candidate: Candidate,
        progress: ProgressSink | None,
    ) -> EvaluationReport:
        body |= {"task": task, "files": candidate.files}
        try:
            return EvaluationReport.model_validate(await self._request(body, progress))
        except _WorkerGoneError as error:
            return EvaluationReport(
                task=task,
                candidate=candidate.id,
                verdict=Verdict.HARNESS_ERROR,
                feedback=Feedback(summary=self._why(error)),
                at=now(),
            )

    def _why(self, error: Exception) -> str:
        words = self._worker.last_words if self._worker is not None else ()
        last = next((w for w in reversed(words) if w.strip()), "")
        return f"{error}{f' ({last[:300]})' if last else ''}; it is started again when needed"


def make_evaluator(
    url: str | None, options: Mapping[str, str | int | float | bool], task: str
) -> LocalEvaluator:
    """The evaluator of this machine for a session; see `avo_tui.evaluation.evaluators`."""
    allow_weak = options.get("allow_weak_sandbox") is True
    return LocalEvaluator(task=task, allow_weak_sandbox=allow_weak)
