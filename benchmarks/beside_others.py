"""What the record of a run costs and survives, beside OpenEvolve and ShinkaEvolve.

    python benchmarks/beside_others.py [--openevolve PYTHON] [--shinka PYTHON] [--kills 10]

PYTHON is the interpreter of an environment into which that package was installed; without it the
package is passed over. Each adds programs of 3 KB with a score to its own store, one after the
other, and says so; it is killed with SIGKILL at a random instant, and a fresh process counts what
is there of what it had said. Adding, opening and memory are measured in processes that are not
killed. No evaluation is made. What is added is not the same everywhere: here it is an attempt with
source, report, score and decision, with syncs, and again without them; OpenEvolve (`db_path` set,
and `save` after every tenth, which it needs in order to load anything) and Shinka (SQLite with
`synchronous = NORMAL`) do not promise to survive a power cut.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HEAD = """
import logging, os, resource, sys, time
logging.disable(logging.CRITICAL)
path, what, count, sync = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] == "sync"
def added(identity, since): print(identity, time.perf_counter() - since, flush=True)
def opened(names, since):
    took = time.perf_counter() - since
    print(took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, *names); sys.exit()
code = lambda i: f"// {i}\\n" + "constexpr int X = 1;\\n" * 150
"""

AVO = (
    HEAD
    + """
from datetime import UTC, datetime
from pathlib import Path
from avo_tui.domain import events as ev
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.records import Attempt, SessionRecord
from avo_tui.domain.run_settings import RunSettings
from avo_tui.domain.task import Configuration, TaskInfo
from avo_tui.domain.report import EvaluationReport
from avo_tui.domain.verdict import Feedback, Verdict
from avo_tui.store import SessionReader, SessionWriter
if not sync:
    os.fsync = os.fdatasync = lambda descriptor: None
began, folder = time.perf_counter(), Path(path)
if what == "open":
    reader = SessionReader.open(folder)
    opened([a.title for a in reader.state.attempts.values() if a.verdict], began)
task = TaskInfo(name="t", title="t", language="cpp", description="", baselines=("b",),
                configurations=(Configuration(name="c"),), reference_baseline="b")
now = lambda: datetime.now(UTC)
writer = SessionWriter.create(
    folder, SessionRecord(name=folder.name, task=task, created=now(), settings=RunSettings()))
writer.record(ev.StepStarted(step=0, parent=0))
for i in range(count):
    since = time.perf_counter()
    source = writer.put(Candidate(files={"k.cpp": code(i)}).canonical())
    writer.record(ev.AttemptStarted(attempt=Attempt(
        step=0, number=i + 1, parent=0, candidate=source, title=f"p{i}", at=now())))
    report = EvaluationReport(task="t", candidate=source, verdict=Verdict.WRONG_RESULT,
                              feedback=Feedback(summary="wrong"), reached="check")
    writer.record(ev.AttemptFinished(attempt=i + 1, report=report))
    added(f"p{i}", since)
writer.close()
"""
)

OPENEVOLVE = (
    HEAD
    + """
from openevolve.config import DatabaseConfig
from openevolve.database import Program, ProgramDatabase
began = time.perf_counter()
if what == "open":
    db = ProgramDatabase(DatabaseConfig(log_prompts=False))
    try:
        db.load(path)
    except Exception as error:
        print(repr(error)[:100], file=sys.stderr)
    opened(db.programs, began)
db = ProgramDatabase(DatabaseConfig(db_path=path, log_prompts=False))
for i in range(count):
    since = time.perf_counter()
    db.add(Program(id=f"p{i}", code=code(i), metrics={"combined_score": i / count},
                   parent_id=f"p{i - 1}" if i else None), iteration=i)
    if i % 10 == 9:
        db.save(path, i)
    added(f"p{i}", since)
"""
)

SHINKA = (
    HEAD
    + """
from shinka.database.dbase import DatabaseConfig, Program, ProgramDatabase
began = time.perf_counter()
db = ProgramDatabase(DatabaseConfig(db_path=path))
if what == "open":
    db.cursor.execute("select id from programs")
    opened([row[0] for row in db.cursor.fetchall()], began)
for i in range(count):
    since = time.perf_counter()
    db.add(Program(id=f"p{i}", code=code(i), language="cpp", combined_score=i / count,
                   correct=True, generation=i, parent_id=f"p{i - 1}" if i else None))
    added(f"p{i}", since)
"""
)


@dataclass(frozen=True)
class Store:
    """One program's store: how it is called, its interpreter and what it is made to do."""

    name: str
    python: str
    script: str
    sync: str = "sync"

    def start(self, path: Path, what: str, count: int) -> subprocess.Popen[str]:
        """Start a process that adds `count` programs to the store at `path`, or opens it."""
        arguments = [self.python, "-c", self.script, str(path), what, str(count), self.sync]
        out, errors = subprocess.PIPE, subprocess.DEVNULL
        return subprocess.Popen(arguments, stdout=out, stderr=errors, text=True)

    def opened(self, path: Path) -> tuple[float, float, set[str]]:
        """(seconds to open, MB of the process, names of the programs that are there)."""
        words = self.start(path, "open", 0).communicate()[0].splitlines()[-1].split()
        return float(words[0]), float(words[1]), set(words[2:])

    def killed(self, path: Path, chance: random.Random) -> tuple[int, int]:
        """(programs that it said it had added, how many of them are there after SIGKILL)."""
        process = self.start(path, "add", 100_000)
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(chance.randrange(5, 60))]
        time.sleep(chance.random() * 0.02)
        process.send_signal(signal.SIGKILL)
        said += process.stdout.read().splitlines(keepends=True)
        process.wait()
        names = {line.split()[0] for line in said if line.endswith("\n") and len(line.split()) == 2}
        with contextlib.suppress(IndexError):  # it did not open at all
            return len(names), len(names & self.opened(path)[2])
        return len(names), 0


def measure(store: Store, folder: Path, count: int, kills: int) -> str:
    """One row of the table."""
    chance = random.Random(1)
    added = store.start(folder / "whole", "add", count).communicate()[0].splitlines()
    took = [1e3 * float(line.split()[1]) for line in added if line.startswith("p")]
    seconds, megabytes, names = min(store.opened(folder / "whole") for _ in range(3))
    outcomes = [store.killed(folder / f"killed-{i}", chance) for i in range(kills)]
    said, kept = (sum(column) for column in zip(*outcomes, strict=True))
    row = [
        store.name, f"{statistics.median(took):.1f}", f"{sorted(took)[int(len(took) * 0.95)]:.1f}",
        f"{len(names)} of {count}", f"{1e3 * seconds:.0f}", f"{megabytes:.0f}", f"{kept} of {said}",
    ]  # fmt: skip
    return "| " + " | ".join(row) + " |"


def main() -> None:
    """Measure what is installed and print a table."""
    parser = argparse.ArgumentParser(description="The record beside that of others.")
    parser.add_argument("--openevolve", metavar="PYTHON")
    parser.add_argument("--shinka", metavar="PYTHON")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--kills", type=int, default=10)
    given = parser.parse_args()
    stores = [
        Store("avo-tui", sys.executable, AVO),
        Store("avo-tui without syncs", sys.executable, AVO, "no"),
    ]
    if given.openevolve:
        stores.append(Store("OpenEvolve", given.openevolve, OPENEVOLVE))
    if given.shinka:
        stores.append(Store("ShinkaEvolve", given.shinka, SHINKA))
    print(
        "| store | add ms, median | p95 | there | open ms | process MB | kept after SIGKILL |\n"
        "|---|---|---|---|---|---|---|"
    )
    for store in stores:
        with tempfile.TemporaryDirectory(prefix="beside-") as scratch:
            print(measure(store, Path(scratch), given.count, given.kills), flush=True)


if __name__ == "__main__":
    main()
