"""Turns each method of an evaluator into one request to a worker."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, Self, cast

from pydantic import ValidationError

from avo_tui.domain.base import now
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.machine import MachineInfo
from avo_tui.domain.plain import plain
from avo_tui.domain.questions import Answer, Question
from avo_tui.domain.report import EvaluationProgress, EvaluationReport
from avo_tui.domain.task import TaskInfo
from avo_tui.domain.verdict import Feedback, Verdict
from avo_tui.evaluation.ports import EvaluatorError, ProgressSink
from avo_tui.evaluation.workers.answers import entry, sound_report, told
from avo_tui.evaluation.workers.process import WorkerGoneError


class AskingEvaluator(ABC):
    """An `Evaluator` that sends each question as a request; subclasses decide which worker answers
    it."""

    @abstractmethod
    async def request(self, body: dict[str, object], progress: ProgressSink | None = None) -> Any:
        """The answer to a request. Raises EvaluatorError and WorkerGoneError."""

    @abstractmethod
    async def start(self) -> None:
        """See `Evaluator.start`."""

    @abstractmethod
    async def close(self) -> None:
        """See `Evaluator.close`."""

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

    async def task(self, name: str) -> TaskInfo:
        """See `Evaluator.task`."""
        answer = await self._sure({"op": "describe", "task": name})
        return told(TaskInfo, entry(answer, "info"), "description of a task")

    async def seed(self, name: str) -> Candidate:
        """See `Evaluator.seed`."""
        answer = await self._sure({"op": "describe", "task": name})
        try:
            return Candidate.model_validate(entry(answer, "seed"))
        except ValidationError as error:
            why = plain(str(error.errors()[0]["msg"]), 300)
            raise EvaluatorError(f"a worker's answer cannot be used: seed: {why}") from error

    async def machine(self, task: str) -> MachineInfo:
        """See `Evaluator.machine`."""
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
        progress: ProgressSink | None = None,
    ) -> EvaluationReport:
        """See `Evaluator.evaluate`."""
        body: dict[str, object] = {"op": "evaluate"}
        return await self._evaluate(body, task, candidate, progress)

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
        """See `Evaluator.remeasure`."""
        body = pair_request(task, candidate, other, replicate, more)
        return await self._evaluate(body, task, candidate, progress)

    async def ask(
        self, task: str, question: Question[Answer], progress: ProgressSink | None = None
    ) -> Answer:
        """See `Evaluator.ask`."""
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
            return EvaluationReport(
                task=task,
                candidate=candidate.id,
                verdict=Verdict.HARNESS_ERROR,
                feedback=Feedback(summary=_why(error)),
                at=now(),
            )


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
    """Says that a request waits, and why."""
    if progress is not None:
        progress(EvaluationProgress(stage="waiting", state="started", detail=detail))
