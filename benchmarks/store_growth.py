"""Does a session of a week feel like one of the first day?

    python benchmarks/store_growth.py [--attempts 10000] [--steps 3000] [--versions 500]

Grows a synthetic session through the store's own writer and measures, as it grows: recording an
event, a whole commit, opening, following, listing, memory and files. Prints a table. The sources,
scores and texts are made up; every write and sync is real.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from avo_tui.domain import events as ev
from avo_tui.domain.base import now
from avo_tui.domain.budget import Spend
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.gate_rules import GateDecision
from avo_tui.domain.records import Attempt, SessionRecord, Version
from avo_tui.domain.report import EvaluationProgress, EvaluationReport, Resources
from avo_tui.domain.run_settings import RunSettings
from avo_tui.domain.score import ConfigurationScore, Score
from avo_tui.domain.task import Configuration, TaskInfo
from avo_tui.domain.verdict import Feedback, Verdict
from avo_tui.store import SessionReader, SessionWriter

CONFIGURATIONS = 8

FRESH = """
import os, sys, time
from pathlib import Path
from avo_tui.store import SessionReader, SessionWriter, summaries
page = os.sysconf("SC_PAGE_SIZE")
memory = lambda: int(Path("/proc/self/statm").read_text().split()[1]) * page / 1e6
folder = Path(sys.argv[1])
before, began = memory(), time.perf_counter()
kept = {work}
print(time.perf_counter() - began, memory() - before)
{end}
"""


def task() -> TaskInfo:
    return TaskInfo(
        name="growth",
        title="A made-up task",
        language="cpp",
        description="Nothing is computed.",
        configurations=tuple(Configuration(name=f"c{i}") for i in range(CONFIGURATIONS)),
        baselines=("torch", "other"),
        reference_baseline="torch",
    )


def score(chance: random.Random, ratio: float) -> Score:
    rows = []
    for i in range(CONFIGURATIONS):
        mine = ratio * chance.uniform(0.97, 1.03)
        rows.append(
            ConfigurationScore(
                name=f"causal-{1024 << i}",
                parameters={"batch": 2, "heads": 16, "sequence": 1024 << i, "causal": True},
                throughput=600 * mine,
                p20=597.1 * mine,
                p80=603.3 * mine,
                ratio=mine,
                ratio_p20=mine * 0.995,
                ratio_p80=mine * 1.005,
                baselines={"torch": 600.0, "other": 580.0},
                samples=40,
                milliseconds=1.2345,
            )
        )
    return Score(unit="TFLOP/s", reference_baseline="torch", configurations=tuple(rows))


def evaluation(result: Score) -> Iterator[EvaluationProgress]:
    """What an evaluation says while it runs: each stage begins and ends, each configuration is
    done."""
    rows = result.configurations
    for stage in ("compile", "check", "benchmark"):
        values: dict[str, object] = {"stage": stage, "state": "started", "count": len(rows)}
        yield EvaluationProgress.model_validate(values)
        for index, row in enumerate(rows if stage != "compile" else (), 1):
            done = values | {"state": "configuration", "index": index, "configuration": row.name}
            if stage == "check":
                done["error"] = 0.4321
            else:
                done |= {"throughput": row.throughput, "p20": row.p20, "p80": row.p80}
                done |= {"ratio": row.ratio, "unit": result.unit, "baselines": row.baselines}
            yield EvaluationProgress.model_validate(done)
        yield EvaluationProgress.model_validate(values | {"state": "finished", "seconds": 3.2})


class Engine:
    """Records what an engine records, and times it."""

    def __init__(self, folder: Path, steps: int, attempts: int, versions: int) -> None:
        self.session = SessionWriter.create(
            folder,
            SessionRecord(name="growth", task=task(), created=now(), settings=RunSettings()),
        )
        self.steps, self.attempts, self.versions = steps, attempts, versions
        self.chance = random.Random(1)
        self.done = 0
        self.records: list[float] = []
        self.commits: list[float] = []

    def record(self, event: ev.Event) -> None:
        began = time.perf_counter()
        self.session.record(event)
        self.records.append(time.perf_counter() - began)

    def show(self, progress: ev.EvaluationProgressed) -> None:
        began = time.perf_counter()
        self.session.show(progress)
        self.records.append(time.perf_counter() - began)

    def step(self, step: int) -> None:
        """One step: its share of the attempts, and a commit if it is due."""
        head = self.session.state.session.head or 0
        self.record(ev.StepStarted(step=step, parent=head))
        self.record(ev.PlanSet(title="Try another tile, since the profile shows idle lanes"))
        wanted = self.attempts * (step + 1) // self.steps - self.done
        commits = self.versions * (step + 1) // self.steps > len(self.session.state.versions)
        for number in range(1, wanted + 1):
            self.attempt(step, number, commits and number == wanted)
        self.done += wanted
        self.record(ev.StepFinished(outcome="committed" if commits else "nothing"))

    def attempt(self, step: int, number: int, good: bool) -> None:
        lines = [f"constexpr int T{i} = {self.chance.randrange(1 << 20)};" for i in range(200)]
        candidate = Candidate(files={"kernel.cpp": "\n".join(lines)})
        parent = self.session.state.session.head or 0
        identity = self.session.put(candidate.canonical())
        call = f"{step}.{number}"
        self.record(ev.ToolCalled(call=call, tool="evaluate"))
        for _ in range(3):
            self.record(ev.AgentText(block=call, text="The softmax waits for the product. " * 4))
        title = "tiles of 64 keys and 32 queries, exponential by polynomial"
        started = Attempt(
            step=step, number=number, parent=parent, candidate=identity, title=title, at=now()
        )
        self.record(ev.AttemptStarted(attempt=started))
        result = score(self.chance, 0.1 + step / self.steps)
        for progress in evaluation(result):
            self.show(ev.EvaluationProgressed(attempt=number, progress=progress))
        report = EvaluationReport(
            task="growth",
            candidate=identity,
            verdict=Verdict.CORRECT if good else Verdict.WRONG_RESULT,
            feedback=Feedback(
                summary="right" if good else "wrong at causal-8192 by 3.1 tolerances"
            ),
            reached="benchmark" if good else "check",
            score=result if good else None,
            resources=Resources(registers=168, spill_bytes=0, code_bytes=9000),
        )
        began = time.perf_counter()
        self.record(ev.AttemptFinished(attempt=number, report=report))
        self.record(ev.Spent(spend=Spend(evaluations=1, seconds=60, usd=0.02)))
        if not good:
            self.record(ev.AttemptRejected(attempt=number, reason=report.feedback.summary))
            return
        decision = GateDecision(gate="strict", accepted=True, reason="+1.2% against the parent")
        self.record(ev.GateDecided(attempt=number, decision=decision))
        versions = len(self.session.state.versions)
        version = Version(
            number=versions,
            parent=parent if versions else None,
            step=step,
            attempt=number,
            candidate=identity,
            score=result,
            gate=decision,
            plan="Hide the softmax of the second stage under the product of the first. " * 3,
            summary="Moved the correction behind the first commit group.",
            author="tuner",
            resources=report.resources,
            created=now(),
        )
        self.record(ev.VersionCommitted(version=version))
        self.commits.append(time.perf_counter() - began)


def fresh(folder: Path, work: str, end: str = "") -> tuple[float, float]:
    """(ms, MB) that `work` takes in a fresh process, imports apart; the quickest of three."""
    results = []
    for _ in range(3):
        out = subprocess.run(
            [sys.executable, "-c", FRESH.format(work=work, end=end), str(folder)],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()
        results.append((1e3 * float(out[0]), float(out[1])))
    return min(results)


def timed(work: Callable[[], object], times: int = 1) -> float:
    began = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - began) / times


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def megabytes(path: Path) -> float:
    return path.stat().st_size / 1e6 if path.exists() else 0.0


def row(engine: Engine, folder: Path, follower: SessionReader, step: int) -> list[str]:
    state = engine.session.state
    while follower.poll():
        pass
    idle = timed(follower.poll, 200)
    flush = timed(engine.session.flush)
    records, commits = engine.records, engine.commits
    engine.records, engine.commits = [], []
    root = folder.parent.parent / "copies"
    copy = root / folder.name
    shutil.copytree(folder, copy)
    read = fresh(copy, "SessionReader.open(folder)")
    listing = fresh(copy, "summaries([folder.parent])")
    write = fresh(copy, "SessionWriter.open(folder)", "kept.close()")
    shutil.rmtree(root)
    return [
        f"{step + 1}",
        f"{len(state.attempts)}",
        f"{len(state.versions)}",
        f"{state.session.applied}",
        f"{1e3 * statistics.median(records):.2f}",
        f"{1e3 * percentile(records, 0.99):.1f}",
        f"{1e3 * max(records):.0f}",
        f"{1e3 * statistics.median(commits):.1f}" if commits else "-",
        f"{1e3 * max(commits):.0f}" if commits else "-",
        f"{read[0]:.0f}",
        f"{write[0]:.0f}",
        f"{listing[0]:.0f}",
        f"{1e6 * idle:.0f}",
        f"{1e3 * flush:.0f}",
        f"{read[1]:.0f}",
        f"{write[1]:.0f}",
        f"{megabytes(folder / 'session.json'):.1f}",
        f"{megabytes(folder / 'records.pages'):.1f}",
    ]


HEAD = [
    "steps", "attempts", "versions", "events",
    "record ms", "p99", "max",
    "commit ms", "max",
    "open reader ms", "open writer ms", "list ms", "idle poll µs", "flush ms",
    "reader MB", "writer MB", "session.json MB", "records.pages MB",
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure how a session grows.")
    parser.add_argument("--attempts", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=3_000)
    parser.add_argument("--versions", type=int, default=500)
    parser.add_argument("--rows", type=int, default=6)
    parser.add_argument("--folder", type=Path, help="where to build; default a temporary folder")
    given = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="store-growth-", dir=given.folder))
    folder = base / "sessions" / "growth"
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"folder {base}; {CONFIGURATIONS} configurations; times of this run only")
    print("| " + " | ".join(HEAD) + " |")
    print("|" + "---|" * len(HEAD))
    try:
        engine = Engine(folder, given.steps, given.attempts, given.versions)
        follower = SessionReader.open(folder)
        # more rows early, where growth would show first
        marks = {round(given.steps * (i / given.rows) ** 2) - 1 for i in range(1, given.rows + 1)}
        for step in range(given.steps):
            engine.step(step)
            if step in marks:
                print("| " + " | ".join(row(engine, folder, follower, step)) + " |", flush=True)
        began = time.perf_counter()
        engine.session.close()
        print(f"closed in {1e3 * (time.perf_counter() - began):.0f} ms")
    finally:
        shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    main()
