"""The interface of an evaluator, wherever it runs: each method is one request to a worker."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self, cast

from pydantic import ValidationError

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.device import DeviceState
from avo_tui.domain.gate_plan import GatePlan
from avo_tui.domain.machine import MachineInfo
from avo_tui.domain.plain import plain
from avo_tui.domain.questions import Answer, Question
from avo_tui.domain.report import EvaluationProgress, EvaluationReport
from avo_tui.domain.task import TaskInfo
from avo_tui.domain.workers import QueueSeen, WorkerStatus
from avo_tui.evaluation.ports import EvaluatorError, ProgressSink
from avo_tui.evaluation.workers.answers import entry, failed_report, sound_report, told
from avo_tui.evaluation.workers.link import WorkerGoneError


class Evaluator(ABC):
    """The scoring function f. Subclasses decide which worker answers a request.

    Every method may be cancelled (`task.cancel()`); the candidate's whole process tree is then
    killed before the cancellation is passed on. Requests are served in order, `width` at once.
    A report is returned for everything a candidate can do, crashes and time-outs included;
    `EvaluatorError` is raised only where there is no report to give: an unknown or broken task, or
    a worker that cannot be started. A worker that dies under an evaluation gives the verdict
    `harness_error` and is started again for the next request.
    """

    @property
    def width(self) -> int:
        """How many requests are served at once now, at least 1."""
        return 1

    @abstractmethod
    async def request(self, body: dict[str, object], progress: ProgressSink | None = None) -> Any:
        """The answer to a request. Raises EvaluatorError and WorkerGoneError."""

    @abstractmethod
    async def start(self) -> None:
        """Starts and warms what serves the requests. Optional: the first request does it."""

    @abstractmethod
    async def close(self) -> None:
        """Ends everything that was started; waits until it is gone."""

    async def rest(self) -> None:  # noqa: B027  most fakes have nothing to free
        """Frees what can be recreated later, unless a request is being served."""

    async def devices(self) -> tuple[DeviceState, ...]:
        """The state of each device now, as far as it is known.

        May be called while a request is served, and starts nothing that costs more than a few
        milliseconds. Raises OSError where the devices cannot be asked.
        """
        return ()

    def workers(self) -> tuple[WorkerStatus, ...]:
        """What each device's worker does, as far as it is known."""
        return ()

    def queue(self) -> QueueSeen | None:
        """What waits for workers that come and go; None where none do."""
        return None

    def foresee(self, plan: GatePlan) -> None:  # noqa: B027
        """The next request about the plan's candidate goes with the plan: a worker far away
        measures at once what the gate will ask for, and answers those requests in advance."""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def task(self, name: str) -> TaskInfo:
        answer = await self._sure({"op": "describe", "task": name})
        return told(TaskInfo, entry(answer, "info"), "description of a task")

    async def seed(self, name: str) -> Candidate:
        answer = await self._sure({"op": "describe", "task": name})
        try:
            return Candidate.model_validate(entry(answer, "seed"))
        except ValidationError as error:
            why = plain(str(error.errors()[0]["msg"]), 300)
            raise EvaluatorError(f"a worker's answer cannot be used: seed: {why}") from error

    async def machine(self, task: str) -> MachineInfo:
        """What the task's candidates are measured on."""
        answer = await self._sure({"op": "machine", "task": task})
        return told(MachineInfo, answer, "description of a machine")

    async def _sure(self, body: dict[str, object]) -> Any:
        """The answer to a request other than an evaluation; a lost worker is an EvaluatorError."""
        try:
            return await self.request(body)
        except WorkerGoneError as error:
            raise EvaluatorError(_why(error)) from error

    async def compile(
        self, task: str, candidate: Candidate, *, progress: ProgressSink | None = None
    ) -> EvaluationReport:
        """Compile only; returns log, resources, instruction counts. `correct` means that it
        compiled."""
        return await self._evaluate({"op": "compile"}, task, candidate, progress)

    async def check(
        self,
        task: str,
        candidate: Candidate,
        *,
        progress: ProgressSink | None = None,
        quick: bool = False,
    ) -> EvaluationReport:
        """Compile and check. `correct` means correct on all cases that were checked; no score.

        `quick` checks the small configurations only.
        """
        return await self._evaluate({"op": "check", "quick": quick}, task, candidate, progress)

    async def evaluate(
        self, task: str, candidate: Candidate, *, progress: ProgressSink | None = None
    ) -> EvaluationReport:
        """Compile, check and benchmark. The report has a score if and only if it is `correct`."""
        return await self._evaluate({"op": "evaluate"}, task, candidate, progress)

    async def remeasure(
        self,
        task: str,
        candidate: Candidate,
        other: Candidate,
        *,
        replicate: int = 0,
        more: bool = False,
        progress: ProgressSink | None = None,
    ) -> EvaluationReport:
        """Times two candidates interleaved (A B B A), each in one fresh process: one replicate.

        The report is of `candidate`, with `paired` set: throughput(candidate)/throughput(other).
        Neither is checked in full again, but timed outputs of both are verified. `replicate` is the
        number of such measurements of the two before: in every second one they change places, and
        what is looked at once before a commit (a sanitizer) is looked at in number 0.

        `more`: another request of the same call follows at once. The device is then kept for it for
        a few seconds, unless somebody waits and the call has had it for a minute.
        """
        body = pair_request(task, candidate, other, replicate, more)
        return await self._evaluate(body, task, candidate, progress)

    async def ask(
        self, task: str, question: Question[Answer], progress: ProgressSink | None = None
    ) -> Answer:
        """The answer to a question about a candidate; the question says what it may be."""
        body: dict[str, object] = {"task": task, **question.model_dump(mode="json")}
        try:
            answer = await self.request(body, progress)
        except WorkerGoneError as error:
            return question.unanswered(_why(error))
        return cast("Answer", told(question.answers, answer, f"answer to {question.op}"))

    async def _evaluate(
        self,
        body: dict[str, object],
        task: str,
        candidate: Candidate,
        progress: ProgressSink | None,
    ) -> EvaluationReport:
        body |= {"task": task, "files": candidate.files}
        try:
            answer = await self.request(body, progress)
            return sound_report(str(body["op"]), task, candidate, answer)
        except WorkerGoneError as error:
            return failed_report(task, candidate, _why(error))


def _why(error: WorkerGoneError) -> str:
    return f"{error}; it is started again when needed"


def pair_request(
    task: str, candidate: Candidate, other: Candidate, replicate: int, more: bool = False
) -> dict[str, object]:
    """The request that measures one pair: see `Evaluator.remeasure`."""
    return {
        "op": "remeasure", "task": task, "files": candidate.files, "other": other.files,
        "replicate": replicate, "more": more,
    }  # fmt: skip


def say(progress: ProgressSink | None, detail: str) -> None:
    if progress is not None:
        progress(EvaluationProgress(stage="waiting", state="started", detail=detail))
