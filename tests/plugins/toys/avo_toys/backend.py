"""The backend `postfix`: `x x * 1 +` is x² + 1. It interprets, so a candidate runs no code."""

import time
from dataclasses import dataclass

import torch

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.machine import MachineInfo
from avo_tui.domain.questions import ScratchReport
from avo_tui.domain.report import ConfigurationCheck, Resources
from avo_tui.domain.score import ConfigurationScore, PairedMeasurement, Score
from avo_tui.domain.task import Configuration
from avo_tui.domain.verdict import Feedback, Verdict
from avo_tui.evaluation.backends.base import Compiled, Context, Experiment, Rejected
from avo_tui.evaluation.sandbox.run import Sandbox
from avo_tui.evaluation.task import Task

CALLS = 15
OPERATORS = {"+": torch.add, "*": torch.mul, "-": torch.sub}


@dataclass(frozen=True)
class Program(Compiled):
    """A candidate that was read."""

    words: tuple[str, ...]


def run(words: tuple[str, ...], x: torch.Tensor) -> torch.Tensor:
    """The value that a program leaves on the stack. Raises ValueError."""
    stack: list[torch.Tensor] = []
    for word in words:
        if word in OPERATORS:
            if len(stack) < 2:
                raise ValueError(f"{word!r} needs two values on the stack")
            right, left = stack.pop(), stack.pop()
            stack.append(OPERATORS[word](left, right))
        else:
            stack.append(x if word == "x" else torch.full_like(x, float(word)))
    if len(stack) != 1:
        raise ValueError(f"{len(stack)} values are left on the stack")
    return stack[0]


class PostfixBackend:
    """Follows `avo_tui.evaluation.backends.base.Backend`."""

    check_needs_device = False

    async def machine(self, task: Task, sandbox: Sandbox) -> MachineInfo:
        return MachineInfo(device="stack machine", conditions="postfix-1")

    def device_lock(self, task: Task) -> str:
        return "cpu"

    async def warm(self, task: Task, sandbox: Sandbox) -> None:
        """Nothing is to be warmed."""

    async def compile(self, task: Task, candidate: Candidate, context: Context) -> Program:
        words = tuple(candidate.files.get("kernel.postfix", "").split())
        try:
            run(words, torch.ones(2))
        except ValueError as error:
            feedback = Feedback(summary=str(error))
            raise Rejected(Verdict.COMPILE_ERROR, feedback) from error
        return Program(candidate, Resources(), "", words)

    async def check(
        self, task: Task, compiled: Compiled, context: Context
    ) -> tuple[ConfigurationCheck, ...]:
        assert isinstance(compiled, Program)
        checks = []
        for case in task.check_cases():
            inputs = task.make_inputs(case.configuration, 1, case.distribution)
            expected = task.reference(case.configuration, inputs)["y"]
            difference = (run(compiled.words, inputs["x"]).double() - expected).abs().max()
            ok = bool(difference < 1e-3)
            checks.append(ConfigurationCheck(name=case.configuration.name, ok=ok))
            if not ok:
                feedback = Feedback(summary=f"off by {float(difference):.3g}")
                raise Rejected(Verdict.WRONG_RESULT, feedback, checks=tuple(checks))
        return tuple(checks)

    def _seconds(self, task: Task, configuration: Configuration, words: tuple[str, ...]) -> float:
        x = task.make_inputs(configuration, 2, "normal")["x"]
        samples = []
        for _ in range(CALLS):
            began = time.perf_counter()
            run(words, x)
            samples.append(time.perf_counter() - began)
        return sorted(samples)[CALLS // 2]

    async def benchmark(self, task: Task, compiled: Compiled, context: Context) -> Score:
        assert isinstance(compiled, Program)
        scores = []
        for configuration in task.configurations:
            seconds = self._seconds(task, configuration, compiled.words)
            x = task.make_inputs(configuration, 2, "normal")
            began = time.perf_counter()
            task.baselines()[task.reference_baseline](configuration, x)
            baseline = time.perf_counter() - began
            rate = task.flops(configuration) / seconds / 1e9
            scores.append(
                ConfigurationScore(
                    name=configuration.name,
                    throughput=rate,
                    p20=rate,
                    p80=rate,
                    ratio=baseline / seconds,
                    baselines={task.reference_baseline: task.flops(configuration) / baseline / 1e9},
                    samples=CALLS,
                )
            )
        return Score(
            unit=task.unit,
            reference_baseline=task.reference_baseline,
            configurations=tuple(scores),
        )

    async def paired(
        self, task: Task, compiled: Compiled, other: Compiled, context: Context
    ) -> PairedMeasurement:
        assert isinstance(compiled, Program) and isinstance(other, Program)
        gains = {}
        for configuration in task.configurations:
            theirs = self._seconds(task, configuration, other.words)
            gain = theirs / self._seconds(task, configuration, compiled.words)
            gains[configuration.name] = (gain, gain, gain)
        return PairedMeasurement(configurations=gains)

    async def scratch(self, task: Task, experiment: Experiment, context: Context) -> ScratchReport:
        return ScratchReport(compiled=False, compiler_log="there are no scratch programs here")

    async def close(self) -> None:
        """Nothing is kept."""
