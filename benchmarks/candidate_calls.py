"""What it costs to keep clock, inputs and judgement out of a C++ candidate's reach.

    python benchmarks/candidate_calls.py [KERNEL] [--times 10]

Prints, for `attention_cpu` and a kernel (default: the seed), the exchange with a process in which
the candidate does not run, the seconds of full evaluations by phase, and how far the ratio to the
baseline differs between fresh processes. Quiet machine: nothing else should use the processors.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import statistics
from pathlib import Path

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.questions import EvaluateQuestion
from avo_tui.domain.report import EvaluationReport
from avo_tui.evaluation.backends.base import Context
from avo_tui.evaluation.backends.cpp.backend import CppBackend
from avo_tui.evaluation.backends.cpp.process import Call, in_thread
from avo_tui.evaluation.backends.cpp.toolchain import cpu_model
from avo_tui.evaluation.candidates import read_candidate
from avo_tui.evaluation.evaluation_run import person
from avo_tui.evaluation.measurement.stopwatch import Stopwatch
from avo_tui.evaluation.pipeline import Pipeline

TASK = "attention_cpu"


async def exchange(pipeline: Pipeline, candidate: Candidate, count: int) -> list[Call]:
    """Exchanges with a candidate's process in which the candidate does not run."""
    task = pipeline.tasks.get(TASK)
    backend = pipeline.backend(task)
    assert isinstance(backend, CppBackend)
    stage = await backend.stage(task, pipeline.sandbox)
    compiled = await backend.compile(task, candidate, Context(pipeline.sandbox, lambda _: None))
    async with stage.subject(compiled, Stopwatch()) as subject:
        talk = subject.runner

        def calls() -> list[Call]:
            return [talk.idle()[0] for _ in range(count)]

        return await in_thread(calls, talk.running, cpu=stage.cpu)


def quantiles(values: list[float], unit: str) -> str:
    """Median, 95th percentile and longest."""
    ordered = sorted(values)
    p95 = ordered[int(0.95 * (len(ordered) - 1))]
    return f"{statistics.median(ordered):.1f} / {p95:.1f} / {ordered[-1]:.1f} {unit}"


def phases(reports: list[EvaluationReport]) -> list[str]:
    """Mean seconds of each stage and phase."""
    sums: dict[str, float] = {}
    for report in reports:
        for stage, parts in report.seconds.phases.items():
            for name, seconds in parts.items():
                sums[f"{stage}: {name}"] = sums.get(f"{stage}: {name}", 0.0) + seconds
    return [f"| {name} | {total / len(reports):.2f} s |" for name, total in sums.items()]


async def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kernel", nargs="?", type=Path)
    parser.add_argument("--times", type=int, default=10, help="full evaluations")
    options = parser.parse_args()
    # A report leaves out the times of a check with hidden cases; this log has them.
    logging.basicConfig(format="%(message)s")
    person.setLevel(logging.DEBUG)
    pipeline = Pipeline()
    task = pipeline.tasks.get(TASK)
    candidate = read_candidate(options.kernel) if options.kernel else task.seed()
    calls = await exchange(pipeline, candidate, 500)
    reports = []
    for number in range(options.times):
        report = await pipeline.ask(TASK, EvaluateQuestion(files=candidate.files))
        print(f"evaluation {number + 1}: {report.seconds.total:.2f} s", flush=True)
        reports.append(report)
    ratios = [r.score.aggregate for r in reports if r.score is not None]
    print(f"{cpu_model()}, load {os.getloadavg()[0]:.1f}\n")
    print("| what | measured |\n|---|---|")
    print(f"| exchange, processor | {quantiles([c.used / 1e3 for c in calls], 'µs')} |")
    print(f"| exchange, to the answer | {quantiles([c.passed / 1e3 for c in calls], 'µs')} |")
    print(f"| full evaluation | {quantiles([r.seconds.total for r in reports], 's')} |")
    print("\n".join(phases(reports)))
    if len(ratios) > 1:
        spread = statistics.stdev(ratios) / statistics.mean(ratios)
        print(f"| ratio in fresh processes | {statistics.mean(ratios):.4f}, sd {spread:.2%} |")


if __name__ == "__main__":
    asyncio.run(main())
