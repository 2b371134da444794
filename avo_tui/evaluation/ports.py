"""The interface of an evaluator, independent of where it runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from avo_tui.domain.base import Value
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.device import DeviceState
from avo_tui.domain.gate_plan import GatePlan
from avo_tui.domain.machine import MachineInfo
from avo_tui.domain.questions import Answer, Question
from avo_tui.domain.report import EvaluationProgress, EvaluationReport
from avo_tui.domain.task import TaskInfo
from avo_tui.domain.workers import QueueSeen, WorkerStatus

ProgressSink = Callable[[EvaluationProgress], None]
"""Called in the event loop with each progress report; must return at once."""


class EvaluatorError(RuntimeError):
    """The evaluator cannot serve the request; the message is one sentence that says what to do."""


class BrokenTask(Value):
    """A task folder that cannot be loaded, with the reason."""

    name: str
    path: Path
    error: str


class Evaluator(Protocol):
    """The scoring function f.

    Every method may be cancelled (`task.cancel()`); the candidate's whole process tree is then
    killed before the cancellation is passed on. Requests are served in order, one at a time or
    (`Parallel`) several at once.
    A report is returned for everything a candidate can do, crashes and time-outs included;
    `EvaluatorError` is raised only where there is no report to give: an unknown or broken task, or
    a worker that cannot be started. A worker that dies under an evaluation gives the verdict
    `harness_error` and is started again for the next request.
    """

    async def start(self) -> None:
        """Starts and warms what serves the requests. Optional: the first request does it."""

    async def close(self) -> None:
        """Ends everything that was started; waits until it is gone."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    async def task(self, name: str) -> TaskInfo:
        """The public face of a task."""

    async def seed(self, name: str) -> Candidate:
        """The task's seed."""

    async def machine(self, task: str) -> MachineInfo:
        """What the task's candidates are measured on."""

    async def compile(
        self, task: str, candidate: Candidate, *, progress: ProgressSink | None = None
    ) -> EvaluationReport:
        """Compile only; returns log, resources, instruction counts. `correct` means that it
        compiled."""

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

    async def evaluate(
        self,
        task: str,
        candidate: Candidate,
        *,
        progress: ProgressSink | None = None,
    ) -> EvaluationReport:
        """Compile, check and benchmark. The report has a score if and only if it is `correct`."""

    async def ask(
        self, task: str, question: Question[Answer], progress: ProgressSink | None = None
    ) -> Answer:
        """The answer to a question about a candidate; the question says what it may be."""

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


@runtime_checkable
class Sensing(Protocol):
    """An evaluator that can also report the state of its devices."""

    async def devices(self) -> tuple[DeviceState, ...]:
        """The state of each device now, as far as it is known.

        May be called while a request is served, and starts nothing that costs more than a few
        milliseconds. Raises OSError where the devices cannot be asked.
        """


@runtime_checkable
class Staffed(Protocol):
    """What an evaluator has besides that can tell what its devices do."""

    def workers(self) -> tuple[WorkerStatus, ...]:
        """The state of each device's worker."""


@runtime_checkable
class Queued(Protocol):
    """What an evaluator has besides whose requests wait for workers that come and go."""

    def queue(self) -> QueueSeen:
        """What waits now."""

    def foresee(self, plan: GatePlan) -> None:
        """The next request about the plan's candidate goes with the plan: the worker measures at
        once what the gate will ask for, and those requests are then answered without waiting."""


@runtime_checkable
class Parallel(Staffed, Protocol):
    """An evaluator that can also serve several requests at the same time."""

    @property
    def width(self) -> int:
        """How many requests are served at once now, at least 1."""


@runtime_checkable
class Resting(Protocol):
    """An evaluator that can also free memory while it has no requests."""

    async def rest(self) -> None:
        """Free what can be recreated later, unless a request is being served.

        The next request takes longer, because it has to recreate it.
        """
