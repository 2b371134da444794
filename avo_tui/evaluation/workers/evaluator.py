"""The interface of an evaluator, wherever it runs: each question is one request to a worker."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

from avo_tui.domain.device import DeviceState
from avo_tui.domain.gate_plan import GatePlan
from avo_tui.domain.questions import Answer, Question
from avo_tui.domain.report import EvaluationProgress
from avo_tui.domain.workers import QueueSeen, WorkerStatus
from avo_tui.evaluation.ports import EvaluatorError, ProgressSink
from avo_tui.evaluation.workers.answers import answer_to
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

    drawn_by = ""
    """The secret that hidden cases are drawn by; without it each worker has one of its own."""

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

    async def ask(
        self, task: str, question: Question[Answer], progress: ProgressSink | None = None
    ) -> Answer:
        """The answer to a question, which says what it may be."""
        try:
            body = question.request(task)
            answer = await self.request(
                {**body, "drawn_by": self.drawn_by} if self.drawn_by else body, progress
            )
        except WorkerGoneError as error:
            why = f"{error}; it is started again when needed"
            failed = question.unanswered(task, why)
            if failed is None:
                raise EvaluatorError(why) from error
            return failed
        return answer_to(question, task, answer)


def say(progress: ProgressSink | None, detail: str) -> None:
    if progress is not None:
        progress(EvaluationProgress(stage="waiting", state="started", detail=detail))
