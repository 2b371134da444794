"""How many evaluations an hour some devices make, and what a fleet costs.

python benchmarks/many_devices.py attention_cpu --on 'local:?devices=0' --on 'local:?devices=0,1'
python benchmarks/many_devices.py mha_forward --on 'local:?devices=0' --on 'local:?devices=all'
python benchmarks/many_devices.py attention_cpu --on 'local:?devices=0,1' --count 200 --kill 20
python benchmarks/many_devices.py attention_cpu --round-trips 200 --on 'local:?devices=0' \\
    --on dask://127.0.0.1:8786

`--count` evaluates the task's seed, or the kernel of a folder (`--kernel`), so often, each time as
another source (a comment is added, so that nothing is answered from a cache), with twice as many
requests waiting as there are devices. Each device first evaluates one more that is not counted:
its worker measures the libraries then.
`--kill` ends the worker of one device with SIGKILL every so many seconds, and the table says how
many evaluations were lost or answered twice. `--round-trips` times requests that measure nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import random
import signal
import statistics
import time
from collections import Counter
from pathlib import Path

import psutil

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.questions import EvaluateQuestion, MachineQuestion, SeedQuestion
from avo_tui.domain.run_settings import RunSettings
from avo_tui.evaluation.candidates import read_candidate
from avo_tui.evaluation.evaluators import make_evaluator
from avo_tui.evaluation.workers.fleet import Fleet

STAGES = ("compile", "check", "benchmark", "other", "waiting")
"""Of one evaluation, as its report has their seconds."""


def _fleet(url: str, task: str) -> Fleet:
    evaluator = make_evaluator(RunSettings(evaluator=url), task)
    if not isinstance(evaluator, Fleet):
        raise SystemExit(f"{url} names no devices; write local:?devices=0")
    return evaluator


def _another(seed: Candidate, number: int) -> Candidate:
    """The same kernel under another identity."""
    name = next(n for n in sorted(seed.files) if not n.endswith(".toml"))
    text = seed.files[name]
    return Candidate(files={**seed.files, name: f"{text}\n// copy {number}\n"})


def _workers() -> list[int]:
    """Worker processes that this program started."""
    children = psutil.Process().children()
    return [c.pid for c in children if "--serve" in c.cmdline()]


async def _kill_now_and_then(seconds: float, rng: random.Random) -> None:
    while True:
        await asyncio.sleep(seconds)
        if workers := _workers():
            os.kill(rng.choice(workers), signal.SIGKILL)


async def throughput(
    url: str, task: str, count: int, kill: float | None, kernel: Path | None = None
) -> str:
    """One row: devices, evaluations an hour, verdicts, losses. `kernel`: a folder, or the seed."""
    async with _fleet(url, task) as fleet:
        seed = await fleet.ask(task, SeedQuestion()) if kernel is None else read_candidate(kernel)
        width = fleet.width
        answers: Counter[str] = Counter()
        verdicts: Counter[str] = Counter()
        by_device: Counter[str] = Counter()
        phases: dict[str, float] = dict.fromkeys(STAGES, 0.0)
        waiting = asyncio.Semaphore(2 * width)

        async def one(number: int) -> None:
            async with waiting:
                candidate = _another(seed, number)
                report = await fleet.ask(task, EvaluateQuestion(files=candidate.files))
                answers[report.candidate] += 1
                verdicts[str(report.verdict)] += 1
                by_device[report.worker] += 1
                for stage in STAGES:
                    phases[stage] += getattr(report.seconds, stage)

        await asyncio.gather(
            *(
                fleet.ask(task, EvaluateQuestion(files=_another(seed, -1 - number).files))
                for number in range(width)
            )
        )
        killer = asyncio.create_task(_kill_now_and_then(kill, random.Random(1))) if kill else None
        began = time.monotonic()
        await asyncio.gather(*(one(number) for number in range(count)))
        seconds = time.monotonic() - began
        if killer is not None:
            killer.cancel()
        losses = sum(worker.losses for worker in fleet.workers())
    doubled = sum(n - 1 for n in answers.values())
    words = ", ".join(f"{n} {verdict}" for verdict, n in verdicts.items())
    spent = ", ".join(f"{stage} {total / count:.1f}" for stage, total in phases.items())
    shares = ", ".join(f"{name} {n}" for name, n in sorted(by_device.items()))
    return (
        f"| {url} | {width} | {count / seconds * 3600:.0f} | {words} | {count - len(answers)} |"
        f" {doubled} | {losses} | {shares} | {spent} |"
    )


async def round_trips(url: str, task: str, count: int) -> str:
    """One row: milliseconds of a request that measures nothing."""
    async with _fleet(url, task) as fleet:
        times = []
        for _ in range(count):
            began = time.perf_counter()
            await fleet.ask(task, MachineQuestion())
            times.append((time.perf_counter() - began) * 1e3)
    low, middle, high = statistics.quantiles(times, n=20)[0], statistics.median(times), max(times)
    p95 = statistics.quantiles(times, n=20)[18]
    return f"| {url} | {count} | {low:.2f} | {middle:.2f} | {p95:.2f} | {high:.2f} |"


def main() -> None:
    """Prints a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("task")
    parser.add_argument("--on", action="append", required=True, metavar="URL")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--kernel", type=Path, help="folder to evaluate instead of the seed")
    parser.add_argument("--kill", type=float, metavar="SECONDS")
    parser.add_argument("--round-trips", type=int, metavar="N")
    options = parser.parse_args()
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {load}\n")
    if options.round_trips:
        print("| devices | requests | p5 ms | median ms | p95 | most |\n|---|---|---|---|---|---|")
        for url in options.on:
            print(asyncio.run(round_trips(url, options.task, options.round_trips)), flush=True)
        return
    print(
        "| devices | at once | evaluations/h | verdicts | lost | doubled | losses | where "
        "| seconds of one |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for url in options.on:
        row = throughput(url, options.task, options.count, options.kill, options.kernel)
        print(asyncio.run(row), flush=True)


if __name__ == "__main__":
    main()
