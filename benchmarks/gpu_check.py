"""All that only a GPU can show of the CUDA part, in order of value, within a given time.

    python benchmarks/gpu_check.py --out results --seconds 560

Every step is a process of its own with a limit of its own: one that fails or hangs stops no other.
The results so far are written after each step, as Markdown and JSON. The same command goes on where
it stopped; on another machine with `--resume results/gpu_check.json`. `--only NAME` runs one step.
`record.py` of `benchmarks/hopper_lineage` measures the lineage itself.

Exit status: 0 when all steps ran and hold, 1 where something does not, 3 when something is left.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # the checkout need not be installed
    sys.path.insert(0, str(ROOT))

from avo_tui.evaluation.backends.cuda.device import NoGpu, probe  # noqa: E402
from avo_tui.evaluation.sandbox.tree import descendants  # noqa: E402

NAME = "gpu_check"
RESERVE = 8.0
"""Seconds that are kept for the end."""
MAX_TEXT = 20_000
FAILED, LEFT = 1, 3

Result = dict[str, Any]
"""state: ok, failed, timeout; seconds; claims: what, value, ok; lines: Markdown; log."""


@dataclass(frozen=True)
class Step:
    """One part of the check."""

    name: str
    title: str
    seconds: float
    """What it is expected to take: it is not begun with less time left."""
    limit: float
    """After which it is ended."""


STEPS = (
    Step("tests", "The tests marked gpu, in a short form", 75, 150),
    Step("pipelined", "A candidate with TMA, wgmma, mbarriers, setmaxnreg, a cluster", 45, 110),
    Step("mutants", "Mistakes that an optimiser makes, and whether the check finds them", 45, 150),
    Step("adversaries", "Candidates that adapt to what they find", 50, 150),
    Step("twice", "The best kernel of the lineage, twice in fresh processes", 75, 160),
    Step("paired", "Two candidates timed in turn", 45, 120),
    Step("gqa", "The best kernel on grouped queries", 60, 150),
    Step("seed", "The seed of mha_forward", 50, 120),
    Step("cheats", "Candidates that cheat or break, and their verdicts", 150, 300),
    Step("profile", "Nsight Compute on the best kernel", 30, 120),
    Step("sanitizer", "compute-sanitizer", 90, 240),
    Step("tuner", "A few steps of the tuner", 60, 150),
    Step("gqa_seed", "The seed of gqa_forward", 110, 220),
)


def command_of(step: Step, report: Path) -> list[str]:
    """What runs a step; it writes its result into `report`."""
    script = str(Path(__file__).with_name("gpu_steps.py"))
    return [sys.executable, script, step.name, str(report)]


class Checker:
    """Runs steps one after the other and keeps what they found."""

    def __init__(
        self,
        steps: Sequence[Step],
        out: Path,
        results: dict[str, Result],
        command: Callable[[Step, Path], list[str]] = command_of,
    ) -> None:
        self.steps, self.results = steps, results
        self._out, self._command = out, command
        self.device = ""

    def run(self, seconds: float | None) -> int:
        """Runs what has no result yet, within the time; the number of steps that are left."""
        end = float("inf") if seconds is None else time.monotonic() + seconds - RESERVE
        for step in self.steps:
            if step.name in self.results:
                continue
            left = end - time.monotonic()
            if left < step.seconds:
                print(f"{step.name}: {left:.0f} s are left, it may take {step.seconds:.0f}")
                continue
            print(f"{step.name}: {step.title} …", flush=True)
            result = self._one(step, min(step.limit, left))
            cut = result["state"] == "timeout" and left < step.limit
            print(f"  {result['state']}, {result['seconds']:.1f} s", flush=True)
            if not cut:  # what only lacked time is tried again
                self.results[step.name] = result
            self.write()
        return sum(step.name not in self.results for step in self.steps)

    def _one(self, step: Step, limit: float) -> Result:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="avo-gpu-check-") as folder:
            report, log = Path(folder, "report.json"), Path(folder, "log")
            with log.open("wb") as output:
                process = subprocess.Popen(
                    self._command(step, report),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            state = "ok"
            try:
                process.wait(limit)
            except subprocess.TimeoutExpired:
                state = "timeout"
            finally:
                _end(process)
            said = log.read_text("utf-8", errors="replace")
            found: Result = {}
            if report.is_file():
                found = json.loads(report.read_text("utf-8"))
        claims = found.get("claims", [])
        if state == "ok" and (process.returncode or not all(c["ok"] for c in claims)):
            state = "failed"
        return {
            "state": state,
            "seconds": round(time.monotonic() - began, 1),
            "claims": claims,
            "lines": found.get("lines", []),
            "data": found.get("data"),
            "log": "" if state == "ok" else said[-MAX_TEXT:],
        }

    def write(self) -> None:
        """Writes the results so far."""
        self._out.mkdir(parents=True, exist_ok=True)
        body = {"device": self.device, "steps": self.results}
        for suffix, text in (("json", json.dumps(body, indent=1)), ("md", self.markdown())):
            unfinished = self._out / f".{NAME}.{suffix}"
            unfinished.write_text(text + "\n", encoding="utf-8")
            unfinished.replace(self._out / f"{NAME}.{suffix}")

    def markdown(self) -> str:
        """The table of steps, and what each of them has to say."""
        lines = [f"# What a GPU shows: {self.device}", "", "| step | state | s | what holds |"]
        lines.append("|---|---|---|---|")
        for step in self.steps:
            result = self.results.get(step.name)
            if result is None:
                lines.append(f"| {step.name} | left | | |")
                continue
            claims = "; ".join(
                f"{'' if c['ok'] else '**NOT** '}{c['what']} ({c['value']})"
                for c in result["claims"]
            )
            lines.append(f"| {step.name} | {result['state']} | {result['seconds']} | {claims} |")
        for step in self.steps:
            result = self.results.get(step.name)
            if result is not None and (result["lines"] or result["log"]):
                lines += ["", f"## {step.title}", "", *result["lines"]]
                if result["log"]:
                    lines += ["", "```", *result["log"].splitlines()[-40:], "```"]
        return "\n".join(lines)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kills a step with all that it started, in whatever process group."""
    below = descendants(process.pid)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for pid in below:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0],
        epilog="steps: " + ", ".join(step.name for step in STEPS),
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--seconds", type=float, help="stop in good order after so long")
    parser.add_argument("--resume", type=Path, help=f"{NAME}.json of an earlier call")
    names = [step.name for step in STEPS]
    parser.add_argument("--only", action="append", choices=names, metavar="STEP")
    parser.add_argument("--again", action="store_true", help="also what failed before")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Runs what is left and fits."""
    options = _arguments(arguments)
    gpu = asyncio.run(probe())
    if isinstance(gpu, NoGpu):
        print(f"no device: {gpu.reason}", file=sys.stderr)
        return FAILED
    results: dict[str, Result] = {}
    for file in (options.resume, options.out / f"{NAME}.json"):
        if file is not None and file.is_file():
            results |= json.loads(file.read_text("utf-8"))["steps"]
    if options.again:
        results = {name: r for name, r in results.items() if r["state"] == "ok"}
    steps = [step for step in STEPS if not options.only or step.name in options.only]
    checker = Checker(steps, options.out, results)
    checker.device = gpu.name
    left = checker.run(options.seconds)
    checker.write()
    print(checker.markdown())
    if left:
        return LEFT
    return FAILED if any(results[step.name]["state"] != "ok" for step in steps) else 0


if __name__ == "__main__":
    sys.exit(main())
