"""Sampling: how one candidate, or two, are timed on one configuration. All of it blocks."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.backends.cpp.check import call_seconds
from avo_tui.evaluation.backends.cpp.keeper import Call, Runner, Stopped
from avo_tui.evaluation.backends.cpp.layout import Memory, Slot
from avo_tui.evaluation.backends.cpp.machine import Calibration
from avo_tui.evaluation.measurement.judge import judge
from avo_tui.evaluation.pool import fresh_seed, make_expected
from avo_tui.evaluation.task import Task

if TYPE_CHECKING:
    from avo_tui.evaluation.task import Baseline, Tensors

SAMPLES = 20
FEWEST = 5
"""Samples of a candidate so slow that `LONGEST` runs out first."""
MOST = 60
SHORTEST, LONGEST = 0.25, 1.0
"""Seconds measured per configuration: at least, and at most once there are FEWEST samples."""
SAMPLE_SECONDS = 0.004
"""A sample is as many calls as the candidate needs to last this long, so that the clock's edges
and the exchange with the process do not matter."""
BATCH = 8
VERIFIED = 2
"""Timed outputs per configuration that are judged against the reference; all are compared with
the baseline's."""


@dataclass
class Samples:
    """Seconds per call, sample by sample, of a candidate and of what ran beside it."""

    candidate: list[float] = field(default_factory=list)
    beside: dict[str, list[float]] = field(default_factory=dict)


class Bench:
    """Times one candidate on one configuration. Its methods block."""

    def __init__(
        self,
        task: Task,
        configuration: Configuration,
        baselines: Mapping[str, Baseline],
        calibration: Calibration,
        memory: Memory,
        slots: list[Slot],
    ) -> None:
        self.task, self.configuration, self.slots = task, configuration, slots
        self.memory = memory
        self._baselines, self._calibration = baselines, calibration
        self._limit = call_seconds(task, task.flops(configuration))
        self._batch = 1

    def fresh_inputs(self, count: int) -> None:
        """New inputs in the first `count` slots; no value is ever timed twice."""
        for slot in self.slots[:count]:
            inputs = self.task.make_inputs(self.configuration, fresh_seed(), "normal")
            self.memory.write(slot, inputs)

    def poison(self, count: int) -> None:
        """Outputs that were not written will show."""
        for slot in self.slots[:count]:
            self.memory.poison(slot)

    def time_candidate(self, runner: Runner) -> list[Call]:
        """One sample: one call for each slot of the batch."""
        return [runner.call(slot, self._limit) for slot in range(self._batch)]

    def time_baseline(self, name: str) -> tuple[float, list[Tensors]]:
        """Seconds of one sample of a baseline on the same memory, and its outputs."""
        run = self._baselines[name]
        views = [self.memory.views(slot) for slot in self.slots[: self._batch]]
        outputs: list[Tensors] = []
        clock = time.thread_time if self.task.threads == 1 else time.perf_counter
        began = clock()
        for inputs in views:
            outputs.append(run(self.configuration, inputs))
        return clock() - began, outputs

    def prepare(self, runners: Sequence[Runner]) -> None:
        """Binds all slots, and sizes the batch by the first candidate."""
        for runner in runners:
            for slot in self.slots:
                runner.bind(slot.number, list(slot.arguments))
        self.fresh_inputs(len(self.slots))
        self._batch = 1
        seconds = self.per_call(self.time_candidate(runners[0]))
        if seconds < SAMPLE_SECONDS:  # the first call of all pays for cold caches
            seconds = self.per_call(self.time_candidate(runners[0]))
        self._batch = max(1, min(len(self.slots), round(SAMPLE_SECONDS / max(seconds, 1e-9))))

    def warm(self, runners: Sequence[Runner], seconds: float) -> None:
        """Runs everything in turn for a while, at least once."""
        end = time.perf_counter() + seconds
        for _ in range(1000):
            self.fresh_inputs(self._batch)
            for runner in runners:
                self.time_candidate(runner)
            self.time_baseline(self.task.reference_baseline)
            if time.perf_counter() >= end:
                return

    def per_call(self, calls: Sequence[Call]) -> float:
        """Seconds per call: processor time, and for several threads at least the time that passed.

        What an exchange costs without a candidate is taken off.
        """
        exchange, threads = self._calibration.exchange, self.task.threads
        seconds = 0.0
        for call in calls:
            used = (call.used - exchange.used) / threads
            seconds += used if threads == 1 else max(used, call.passed - exchange.passed)
        return max(seconds / 1e9 / len(calls), 1e-9)

    def compare(self, outputs: list[Tensors]) -> None:
        """Refuses timed outputs that are not what the baseline computed from the same inputs."""
        for slot, expected in zip(self.slots, outputs, strict=False):
            for name, right in expected.items():
                mine = self.memory.output(slot, name)
                difference = float((mine - right).abs().max())
                scale = float(right.abs().max()) or 1.0
                if not difference <= 64 * self.task.tolerance.floor * scale:
                    raise Stopped("nonsense", [f"{name} of a timed call is not what it computes"])

    def verify(self) -> None:
        """Judges the outputs of one timed call as strictly as the check does."""
        slot = self.slots[secrets.randbelow(self._batch)]
        inputs = {name: t.clone() for name, t in self.memory.views(slot).items()}
        expected = make_expected(self.task, self.configuration, inputs)
        for name in slot.outputs:
            verdict = judge(name, self.memory.output(slot, name), expected[name])
            if not verdict.ok:
                raise Stopped("nonsense", [f"a timed output is wrong: {verdict.detail}"])

    def sample(self, runner: Runner) -> Samples:
        """Candidate and baselines in turn, in alternating order, on fresh inputs each time."""
        samples = Samples(beside={name: [] for name in self._baselines})
        verified = {secrets.randbelow(FEWEST), secrets.randbelow(SAMPLES)}
        spent = 0.0
        for turn in range(MOST):
            self.fresh_inputs(self._batch)
            self.poison(self._batch)
            call = self.time_candidate(runner) if turn % 2 == 0 else None
            reference: list[Tensors] = []
            for name in self._baselines:
                seconds, outputs = self.time_baseline(name)
                samples.beside[name].append(seconds / self._batch)
                spent += seconds
                if name == self.task.reference_baseline:
                    reference = outputs
            call = call or self.time_candidate(runner)
            samples.candidate.append(self.per_call(call))
            spent += samples.candidate[-1] * self._batch
            self.compare(reference)
            if turn in verified:
                self.verify()
            if enough(turn + 1, spent):
                break
        return samples

    def paired(self, mine: Runner, other: Runner) -> list[float]:
        """Ratios of throughput mine/other, from samples in the order A B B A."""
        ratios: list[float] = []
        spent = 0.0
        for turn in range(MOST):
            first, second = (mine, other) if turn % 2 == 0 else (other, mine)
            times: dict[int, float] = {}
            for runner in (first, second):
                self.fresh_inputs(self._batch)
                self.poison(self._batch)
                times[id(runner)] = self.per_call(self.time_candidate(runner))
                if turn in (1, SAMPLES // 4):
                    self.verify()
            ratios.append(times[id(other)] / times[id(mine)])
            spent += sum(times.values()) * self._batch
            if enough(turn + 1, spent):
                break
        return ratios


def enough(count: int, seconds: float) -> bool:
    """True once there are samples enough for the time that was spent on them."""
    if count >= SAMPLES and seconds >= SHORTEST:
        return True
    return count >= FEWEST and seconds >= LONGEST
