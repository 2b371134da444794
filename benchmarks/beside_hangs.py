"""What becomes of a candidate that hangs, and of what it started, beside two other programs.

    python benchmarks/beside_hangs.py [--openevolve PYTHON] [--shinka PYTHON] [--limit 5]

PYTHON is the interpreter of an environment into which that package was installed; without it the
package is passed over. Each program's own evaluator is given a candidate that never ends, and one
that first starts a process of its own (a grandchild: in a session of its own, as a daemon is).
Measured: seconds until the evaluator answers, whether the answer says what happened, and which of
the processes of candidate and grandchild there still are two seconds later. The others run a Python
program as their examples do (OpenEvolve: its evaluation file calls `subprocess.run`; ShinkaEvolve:
a local job, asked after as its own runner does) with a limit of `--limit` seconds. Here it is a C++
candidate of `attention_cpu`, whose limit follows from the task; `clone` is what it calls, which is
refused.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
CANDIDATES = ROOT / "tests" / "evaluation" / "candidates" / "cpp"

HANGS = """
import time
while True:
    time.sleep(1)
"""
STARTS_ONE = """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
"""

OPENEVOLVE = """
import asyncio, logging, sys, time
logging.disable(logging.CRITICAL)
from openevolve.config import EvaluatorConfig
from openevolve.evaluator import Evaluator
program, evaluation, limit = sys.argv[1], sys.argv[2], float(sys.argv[3])
config = EvaluatorConfig(timeout=limit, max_retries=0, cascade_evaluation=False)
began = time.monotonic()
metrics = asyncio.run(Evaluator(config, evaluation).evaluate_program(open(program).read(), "p"))
print(time.monotonic() - began, "timeout" if metrics.get("timeout") else metrics, flush=True)
time.sleep(600)
"""
OPENEVOLVE_EVALUATION = """
import subprocess, sys
def evaluate(path):
    subprocess.run([sys.executable, path], check=True)
    return {"combined_score": 1.0}
"""
SHINKA = """
import logging, os, sys, time
logging.disable(logging.CRITICAL)
from shinka.launch.scheduler import JobScheduler, LocalJobConfig
program, evaluation, limit = sys.argv[1], sys.argv[2], int(sys.argv[3])
config = LocalJobConfig(eval_program_path=evaluation, time=f"00:00:{limit:02d}")
scheduler = JobScheduler(job_type="local", config=config)
class Job: pass
job = Job()
job.results_dir = os.path.join(os.path.dirname(program), "results")
os.makedirs(job.results_dir, exist_ok=True)
began = job.start_time = time.time()
job.job_id = scheduler.submit_async(program, job.results_dir)
while scheduler.check_job_status(job):
    time.sleep(0.1)
print(time.time() - began, "ended", flush=True)
time.sleep(600)
"""
SHINKA_EVALUATION = """
import runpy, sys
runpy.run_path(sys.argv[sys.argv.index("--program_path") + 1])
"""


@dataclass(frozen=True)
class Other:
    """Another program: its interpreter, what evaluates one candidate, and its evaluation file."""

    name: str
    python: str
    script: str
    evaluation: str

    def row(self, what: str, program: str, limit: int) -> str:
        """Evaluate `program` once."""
        with tempfile.TemporaryDirectory(prefix="beside-") as scratch:
            folder = Path(scratch)
            (folder / "program.py").write_text(program)
            (folder / "evaluation.py").write_text(self.evaluation)
            files = [str(folder / name) for name in ("program.py", "evaluation.py")]
            command = [self.python, "-c", self.script, *files, str(limit)]
            evaluator = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=scratch
            )
            assert evaluator.stdout is not None
            family = Family(evaluator.pid)
            answer = evaluator.stdout.readline().split()
            left = family.left()
            row = cells(self.name, what, f"{float(answer[0]):.1f}", answer[1], str(len(left)))
            for process in left:
                process.kill()
            evaluator.kill()
            evaluator.wait()
            return row


class Family:
    """The processes that a process has started, and those that these have, looked for five times a
    second: whoever starts one and dies leaves it without a parent that would tell."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._met: set[psutil.Process] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stop.wait(0.2):
            for parent in [self._root, *self._met]:
                try:
                    self._met.update(parent.children(recursive=True))
                except psutil.Error:
                    continue

    def left(self) -> list[psutil.Process]:
        """Those that did not end; looked at two seconds from now, and no longer watched."""
        time.sleep(2)
        self._stop.set()
        self._thread.join()
        return [p for p in self._met if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def ours(what: str, candidate: str) -> str:
    """Evaluate one of the candidates that the tests keep, through the command line."""
    with tempfile.TemporaryDirectory(prefix="beside-") as scratch:
        for name in (candidate, "honest.h", "raw.h"):
            shutil.copy(CANDIDATES / name, scratch)
        source = Path(scratch) / candidate
        source.rename(source.with_name("kernel.cpp"))
        code = "from avo_tui.cli import main; main()"
        command = [sys.executable, "-c", code, "evaluate", "attention_cpu", scratch]
        began = time.monotonic()
        evaluator = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        family = Family(evaluator.pid)
        output = evaluator.communicate()[0]
        seconds = time.monotonic() - began
        verdict = next((w for w in ("timeout", "suspicious") if w in output), "?")
        return cells("avo-tui", what, f"{seconds:.1f}", verdict, str(len(family.left())))


def cells(*values: str) -> str:
    """One row of the table."""
    return "| " + " | ".join(values) + " |"


def main() -> None:
    """Measure what is installed and print a table."""
    parser = argparse.ArgumentParser(description="Candidates that hang, beside others.")
    parser.add_argument("--openevolve", metavar="PYTHON")
    parser.add_argument("--shinka", metavar="PYTHON")
    parser.add_argument("--limit", type=int, default=5)
    given = parser.parse_args()
    print(cells("evaluator", "candidate", "answered after s", "answer", "processes left after 2 s"))
    print("|---|---|---|---|---|")
    print(ours("hangs", "loops_for_ever.cpp"), flush=True)
    print(ours("starts a process", "forks.cpp"), flush=True)
    others = [
        Other("OpenEvolve", given.openevolve, OPENEVOLVE, OPENEVOLVE_EVALUATION),
        Other("ShinkaEvolve", given.shinka, SHINKA, SHINKA_EVALUATION),
    ]
    for other in others:
        if other.python:
            print(other.row("hangs", HANGS, given.limit), flush=True)
            print(other.row("starts a process", STARTS_ONE + HANGS, given.limit), flush=True)


if __name__ == "__main__":
    main()
