"""Real evaluations on local, ssh and Dask devices of this machine while their workers are killed.

python benchmarks/fleet_kills.py --count 200 --kill 20 [--seed 1]

Starts an sshd and a Dask cluster of its own on loopback (needs openssh-server and plugins/dask),
and evaluates the seed of the tests' small attention task so often, each time as another source (a
comment is added). Every `--kill` seconds one process is ended with SIGKILL, chosen at random among:
the evaluation workers of all three kinds, the ssh client, and the Dask worker. The table says how
many evaluations were lost, how many were answered twice, and what became of each device.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.questions import EvaluateQuestion, SeedQuestion
from avo_tui.domain.run_settings import RunSettings
from avo_tui.evaluation.evaluators import make_evaluator
from avo_tui.evaluation.workers.fleet import Fleet
from plugins.dask.tests import dask_processes
from tests.evaluation.workers import sshd

TASK = "tiny_attention"


@contextmanager
def dask_cluster(folder: Path, core: int) -> Iterator[str]:
    """The address of a cluster with one worker on one core, which its nanny starts again."""
    scheduler, address = dask_processes.start_scheduler(folder)
    pinned = ["taskset", "-c", str(core), *dask_processes.worker_command(folder, "one")]
    worker = dask_processes.run(folder, pinned)
    try:
        yield address
    finally:
        dask_processes.end(worker)
        dask_processes.end(scheduler)


def victims() -> list[psutil.Process]:
    """What may be killed: evaluation workers, ssh clients and the Dask worker, all below here."""
    chosen = []
    for process in psutil.Process().children(recursive=True):
        try:
            line = process.cmdline()
        except psutil.Error:
            continue
        text = " ".join(line)
        ours = "avo_tui.evaluation" in text and "--serve" in text and Path(line[0]).name != "sh"
        if ours or "spawn_main" in text:  # the latter is the Dask worker under its nanny
            chosen.append(process)
    return chosen


async def kill_now_and_then(seconds: float, rng: random.Random, killed: Counter[str]) -> None:
    """Until it is cancelled."""
    while True:
        await asyncio.sleep(seconds)
        if running := victims():
            process = rng.choice(running)
            try:
                name = Path(process.cmdline()[0]).name
                text = " ".join(process.cmdline())
                os.kill(process.pid, signal.SIGKILL)
            except (psutil.Error, OSError, IndexError):
                continue
            kind = "Dask worker" if "spawn_main" in text else name
            killed["ssh client" if name == "ssh" else kind] += 1


async def evaluate(url: str, count: int, kill: float, seed: int) -> None:
    """Prints the table."""
    fleet = make_evaluator(RunSettings(evaluator=url), TASK)
    assert isinstance(fleet, Fleet)
    async with fleet:
        first = await fleet.ask(TASK, SeedQuestion())
        name, source = next(iter(first.files.items()))
        answers: Counter[str] = Counter()
        verdicts: Counter[str] = Counter()
        where: Counter[str] = Counter()
        room = asyncio.Semaphore(6)
        given = set()

        async def one(number: int) -> None:
            candidate = Candidate(files={**first.files, name: f"{source}\n// copy {number}\n"})
            given.add(candidate.id)
            async with room:
                report = await fleet.ask(TASK, EvaluateQuestion(files=candidate.files))
            answers[report.candidate] += 1
            verdicts[report.verdict.value] += 1
            where[report.worker] += 1

        killed: Counter[str] = Counter()
        killing = asyncio.create_task(kill_now_and_then(kill, random.Random(seed), killed))
        began = time.monotonic()
        await asyncio.gather(*(one(number) for number in range(count)))
        seconds = time.monotonic() - began
        killing.cancel()
        workers = fleet.workers()
    print(f"{count} evaluations in {seconds:.0f} s, {sum(killed.values())} kills {dict(killed)}")
    print(f"lost: {len(given - answers.keys())}; doubled: {sum(answers.values()) - len(answers)}")
    print(f"verdicts: {dict(verdicts)}\n")
    print("| device | reports | losses | last loss | controls | state |\n|---|---|---|---|---|---|")
    for worker in workers:
        print(
            f"| {worker.name} | {where[worker.name]} | {worker.losses} | {worker.loss} | "
            f"{worker.controls} | {worker.state} {worker.reason} |"
        )


def main() -> None:
    """Starts the servers, and ends them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--kill", type=float, default=20.0, metavar="SECONDS")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="avo-kills-")))
        folder.chmod(0o711)
        (folder / "ssh").mkdir()
        ours = {
            name: text
            for name, text in dask_processes.environment(folder).items()
            if name == "PYTHONPATH" or name.startswith(("AVO_", "XDG_RUNTIME"))
        }
        os.environ.update(ours)
        server = stack.enter_context(sshd.running(folder / "ssh", ours))
        dask = stack.enter_context(dask_cluster(folder, cores[0]))
        query = f"python={sys.executable}&config={server.config}&devices={cores[-1]}"
        url = " ".join(
            (
                f"local:?devices={cores[0]}",
                f"ssh://127.0.0.1:{server.port}?{query}",
                f"dask://{dask}",
            )
        )
        for _ in range(600):  # until the Dask worker has reported to its scheduler
            if "Registered to" in (folder / "log").read_text():
                break
            time.sleep(0.1)
        asyncio.run(evaluate(url, options.count, options.kill, options.seed))


if __name__ == "__main__":
    main()
