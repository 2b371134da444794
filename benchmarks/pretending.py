"""An engine over evaluations that are made up, with enough points for a thousand kills."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from avo_tui.domain import tunables as tn
from avo_tui.domain.candidate import Candidate
from avo_tui.evaluation import evaluators
from avo_tui.evolution import process
from tests.evolution import fake_evaluator
from tests.evolution.fake_evaluator import FakeEvaluator

EXTRA = ("PAD", "SKEW", "DEPTH", "STRIDE")
"""Tunables beside those of the tests' kernel; each of eight values, all of them a little faster."""
GAIN = 0.03
_simple_speed = fake_evaluator.speed


def seed() -> Candidate:
    """The tests' kernel with more tunables: 1.5 million points."""
    lines = [f"constexpr int {name} = 0;  // tune: 0 1 2 3 4 5 6 7\n" for name in EXTRA]
    return Candidate(files={"kernel.cpp": fake_evaluator.SEED + "".join(lines)})


def speed(candidate: Candidate) -> float:
    """Throughput over the baseline's."""
    point = tn.point(tn.parse(candidate))
    value = _simple_speed(candidate)
    for name in EXTRA:
        value *= 1 + GAIN * int(point.get(name, "0"))
    return value


class WideEvaluator(FakeEvaluator):
    """The tests' evaluator over the larger kernel."""

    def __init__(self, seconds: float, paired_seconds: float) -> None:
        super().__init__(seconds, paired_seconds)
        self.seed = seed()


def run_pretending(folder: Path, seconds: float) -> int:
    """Be the engine of a session, in a process that was forked for it; the exit status."""
    signal.set_wakeup_fd(-1)
    os.setsid()
    with (folder / "engine.log").open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    fake_evaluator.speed = speed
    evaluators.make_evaluator = lambda settings, task, session="", begins=False: WideEvaluator(
        seconds, seconds
    )
    status = process.main([str(folder), "--resume"])
    sys.stdout.flush()
    return status
