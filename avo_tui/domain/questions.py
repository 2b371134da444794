"""All that is asked of an evaluator: each question with the kind of its answer.

A question travels as it is from a tool, through the engine and whatever stands between, to the
process that has the device; `ask` of each passes it on. A new one is a class here that stands in
`AnyQuestion`, a case of `Pipeline.ask` that answers it, and whoever asks it.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

from pydantic import Field, TypeAdapter

from avo_tui.domain.base import DEFERRED, Value, now
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.device import DeviceHealth
from avo_tui.domain.evidence import Estimate
from avo_tui.domain.machine import MachineInfo
from avo_tui.domain.plain import Safe
from avo_tui.domain.report import EvaluationReport
from avo_tui.domain.task import TaskInfo
from avo_tui.domain.verdict import Feedback, Verdict


class Window(Value):
    first_line: int | None = None
    """First line, from 1; None: where the hottest loop begins."""
    lines: int | None = None
    """How many lines; None: as many as fit into one answer of a tool."""


_TIMES = re.compile(r"\bcalls of [\d.e+-]+ ms\b|\bG?FLOP/s\b|^\s*Duration\b", re.MULTILINE)


class ProfileWanted(Value):
    """On what a candidate is profiled, and how much is told of it."""

    configuration: str = ""
    """Name of a scored configuration; empty: the first one."""
    kind: str = ""
    """Kind of values, one that is timed; empty: the first of these."""
    times: bool = True
    """False: shares only, nothing from which the time of a call follows."""

    @property
    def name(self) -> str:
        """Configuration and kind as far as they are given, such as `full-256:outliers`."""
        return f"{self.configuration}:{self.kind}" if self.kind else self.configuration


def tells_times(profile: str) -> bool:
    """Whether the time of a call can be read in a profile's text."""
    return _TIMES.search(profile) is not None


class InputsWanted(Value):
    configuration: str = ""
    """Name of a scored configuration; empty: the first one."""
    kind: str = ""
    """Kind of values, as the task names it; empty: the first kind that is timed."""
    seed: int = 1
    """What the values are drawn from: the same seed gives the same values."""


class ScratchReport(Value):
    """The outcome of a scratch experiment: a small program of the agent's, run in the sandbox."""

    compiled: bool
    exit_code: int | None = None
    """Exit code; None if it did not compile, or was ended by a signal or by the harness."""
    outcome: Safe = ""
    """How it ended, in one sentence: `ended with exit code 0`, `killed: time limit of 10 s`, …"""
    compiler_log: Safe = ""
    stdout: Safe = ""
    stderr: Safe = ""
    """Output, cut to a limit; the text says where it was cut."""
    seconds: float = 0.0
    sandbox: str = ""


QUICK_SECONDS = 6.0
"""Seconds of calls that a quick comparison takes unless told otherwise."""

MOST_SECONDS = 120.0
"""Seconds after which no further variant is begun, waiting for the device included, unless told
otherwise."""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Alternation(Value):
    """Calls of two candidates in turn on one configuration."""

    speeds: tuple[Positive, ...] = Field(min_length=2)
    """Speed over the other candidate, one figure a pair of processes: the median over its
    rounds."""
    milliseconds: Positive
    """Median time of a call of the other candidate, in the mean over its processes."""


class QuickComparison(Value):
    """What a quick comparison showed, or why there is none: calls of two candidates in turn, made
    and timed as those of a pair of the gate.

    Outputs are glanced at, not judged in full: a gain shown here is none yet.
    """

    trouble: Safe = ""
    """Why it was not made, in one sentence; empty if it was."""
    configurations: dict[str, Alternation] = Field(default_factory=dict)
    calls: int = 0
    """Timed calls of both candidates together."""
    seconds: float = 0.0
    """What it took, without compilation and without waiting for the device."""
    waited: float = 0.0
    """Seconds that it waited for the device before."""
    remarks: tuple[Safe, ...] = ()
    """What else was noticed, such as outputs that differ."""
    health: DeviceHealth | None = None

    def estimate(self, configuration: str = "") -> Estimate:
        """The log gain on one configuration, or in the mean over all of them.

        Its error is that between pairs of processes, so it counts what differs between them, such
        as where code and data lie in memory. Raises ValueError where nothing was measured.
        """
        names = [configuration] if configuration else list(self.configurations)
        if not names:
            raise ValueError("nothing was measured")
        each = [self.configurations[name].speeds for name in names]
        columns = [[math.log(speed) for speed in speeds] for speeds in each]
        gains = [math.fsum(row) / len(row) for row in zip(*columns, strict=False)]
        count = len(gains)
        mean = math.fsum(gains) / count
        variance = math.fsum((gain - mean) ** 2 for gain in gains) / (count - 1)
        return Estimate(mean, math.sqrt(variance / count), count - 1, count)


class Text(Value):
    text: Safe


Answer = TypeVar("Answer", bound=Value)


class Question(Value, Generic[Answer]):
    """One question about a task or a candidate; `op` is its name in a request."""

    answers: ClassVar[type[Value]] = Text
    """The type of its answer."""

    op: str

    def request(self, task: str) -> dict[str, Any]:
        """The question as a worker is sent it."""
        return {"task": task, **self.model_dump(mode="json")}

    def unanswered(self, task: str, why: str) -> Answer | None:
        """The answer where no worker can give one; None where only an error can say why."""
        return None


class DescribeQuestion(Question[TaskInfo]):
    answers: ClassVar[type[Value]] = TaskInfo
    op: Literal["describe"] = "describe"


class SeedQuestion(Question[Candidate]):
    """The candidate that the task's sessions start from."""

    answers: ClassVar[type[Value]] = Candidate
    op: Literal["seed"] = "seed"


class MachineQuestion(Question[MachineInfo]):
    """What the task's candidates are measured on."""

    answers: ClassVar[type[Value]] = MachineInfo
    op: Literal["machine"] = "machine"


class ReportQuestion(Question[EvaluationReport]):
    """A part of the scoring function f on a candidate; the report is of everything that it can do,
    crashes and time-outs included."""

    answers: ClassVar[type[Value]] = EvaluationReport
    files: dict[str, str]

    @property
    def candidate(self) -> Candidate:
        return Candidate(files=self.files)

    def unanswered(self, task: str, why: str) -> EvaluationReport:
        """The report of an evaluation that failed before it could judge the candidate."""
        return EvaluationReport(
            task=task,
            candidate=self.candidate.id,
            verdict=Verdict.HARNESS_ERROR,
            feedback=Feedback(summary=why),
            at=now(),
        )


class CompileQuestion(ReportQuestion):
    """Compile only: log, resources, instruction counts. `correct` means that it compiled."""

    op: Literal["compile"] = "compile"


class CheckQuestion(ReportQuestion):
    """Compile and check. `correct` means correct on all cases that were checked; no score."""

    op: Literal["check"] = "check"
    quick: bool = False
    """Check the small configurations only."""


class EvaluateQuestion(ReportQuestion):
    """Compile, check and benchmark. The report has a score if and only if it is `correct`."""

    op: Literal["evaluate"] = "evaluate"


class BreadthQuestion(ReportQuestion):
    """Compile, and time on inputs that are not scored, unjudged but for the timed outputs.

    The report has `breadth`; none, and why in its feedback, where there is nothing to time.
    """

    op: Literal["breadth"] = "breadth"


class RemeasureQuestion(ReportQuestion):
    """Two candidates timed interleaved (A B B A), each in one fresh process: one replicate.

    The report is of the candidate, with `paired` set: its throughput over the other's. Neither is
    checked in full again, but timed outputs of both are verified.
    """

    op: Literal["remeasure"] = "remeasure"
    other: dict[str, str]
    replicate: int = 0
    """Number of such measurements of the two before: in every second one they change places, and
    what is looked at once before a commit (a sanitizer) is looked at in number 0."""
    more: bool = False
    """Whether another request of the same call follows at once. The device is then kept for it for
    a few seconds, unless somebody waits and the call has had it for a minute."""


class _InWords(Question[Text]):
    files: dict[str, str]

    def unanswered(self, task: str, why: str) -> Text:
        return Text(text=why)


class ProfileQuestion(_InWords):
    """Where a candidate spends its time on a configuration.

    Several lines; one sentence if the machine has no profiler.
    """

    op: Literal["profile"] = "profile"
    wanted: ProfileWanted = ProfileWanted()


class ListingQuestion(_InWords):
    """The machine code of a function, by a part of its name; the hottest one without.

    `window` says which lines of it; those of its hottest loop without.
    """

    op: Literal["disassemble"] = "disassemble"
    function: str | None = None
    window: Window = Window()


class SanitizeQuestion(_InWords):
    """What the language's sanitizers of these names find in a candidate."""

    op: Literal["sanitize"] = "sanitize"
    tools: tuple[str, ...]


class QuickQuestion(Question[QuickComparison]):
    """Two candidates timed in turn as a pair of the gate is, for about `seconds`.

    On all scored configurations, or on one. Outputs are glanced at, and no gate uses it. `more`:
    another request of the same call follows at once, for which the device is kept.
    """

    answers: ClassVar[type[Value]] = QuickComparison
    op: Literal["compare_quickly"] = "compare_quickly"
    files: dict[str, str]
    other: dict[str, str]
    configuration: str | None = None
    seconds: float = QUICK_SECONDS
    more: bool = False

    def unanswered(self, task: str, why: str) -> QuickComparison:
        return QuickComparison(trouble=why)


class ScratchQuestion(Question[ScratchReport]):
    """A small program of the task's language, compiled and run in the sandbox.

    With `inputs` it works on them: files beside it in a compiled language, the arguments of a CUDA
    candidate. Those that there are not raise EvaluatorError.
    """

    answers: ClassVar[type[Value]] = ScratchReport
    op: Literal["scratch"] = "scratch"
    files: dict[str, str]
    seconds: float = 10.0
    inputs: InputsWanted | None = None

    def unanswered(self, task: str, why: str) -> ScratchReport:
        return ScratchReport(compiled=False, outcome=why)


AnyQuestion = Annotated[
    DescribeQuestion
    | SeedQuestion
    | MachineQuestion
    | CompileQuestion
    | CheckQuestion
    | EvaluateQuestion
    | BreadthQuestion
    | RemeasureQuestion
    | ProfileQuestion
    | ListingQuestion
    | SanitizeQuestion
    | QuickQuestion
    | ScratchQuestion,
    Field(discriminator="op"),
]
ANY_QUESTION: TypeAdapter[AnyQuestion] = TypeAdapter(AnyQuestion, config=DEFERRED)
"""Reads a question from a request."""
