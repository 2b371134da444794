"""Four lines of a campaign beside one line, at equal evaluations, with the tuner.

    python benchmarks/campaign_lines.py --evaluations 120 --seeds 5
    python benchmarks/campaign_lines.py --real --evaluations 24 --seeds 5 --devices 0,1

Without `--real` nothing is compiled: the score of a point of `attention_cpu` is what was measured
of it (`tuner_search/attention_cpu.jsonl`) or, for points that were not, what a forest of trees
fitted to those predicts. The tuner's proposals, the ring, the interval and the choice of what is
sent on are avo-tui's own. **Simulated** are scores without noise and a gate that takes whatever is
better; a migrant costs the line that receives it one evaluation, as in a real campaign.

With `--real` every arm is a campaign by `avo campaign run`, one after the other: engines, gates and
measurements are real. One line is a campaign with one line that uses all `--devices` at once; four
lines are dealt to them. Every arm has the same number of evaluations in all.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # the checkout's benchmarks are no installed package
    sys.path.insert(0, str(ROOT))

from avo_tui.domain import tunables as tn  # noqa: E402
from avo_tui.domain.campaigns import intervals_passed, next_on_ring  # noqa: E402
from avo_tui.operators.tuner.archive import Archive, Tried  # noqa: E402
from avo_tui.operators.tuner.propose import Space, propose  # noqa: E402
from benchmarks.tuner_search.recording import PROBLEMS, Record  # noqa: E402

Point = Mapping[str, str]


@dataclass
class SimulatedLine:
    """A line whose tuner is real and whose evaluations are looked up."""

    record: Record
    seed: int
    archive: Archive = field(default_factory=Archive)
    seen: set[frozenset[tuple[str, str]]] = field(default_factory=set)
    head: dict[str, str] = field(default_factory=dict)
    best: float = 0.0
    evaluations: int = 0
    intervals: int = 0
    waiting: list[Point] = field(default_factory=list)
    """Points that other lines sent, to be evaluated next."""

    def step(self) -> bool:
        """One evaluation; False where the tuner has nothing left to propose."""
        if self.waiting:
            return self.judge(self.waiting.pop(0))
        if not self.evaluations:
            return self.judge(tn.point(self.record.problem.tunables))
        child = propose(
            self.head,
            Space(self.record.problem.tunables, {}),
            self.archive,
            lambda point: frozenset(point.items()) in self.seen,
            random.Random(f"{self.seed}:{self.evaluations}"),
        )
        return child is not None and self.judge(child.point)

    def judge(self, point: Point) -> bool:
        """Evaluate a point; a better one becomes the head."""
        score = self.record.score(point)
        self.evaluations += 1
        self.seen.add(frozenset(point.items()))
        number = str(self.evaluations)
        self.archive.add(Tried(dict(point), score, number, number, (self.evaluations, 1)))
        if score > self.best:
            self.head, self.best = dict(point), score
        return True


def simulate(record: Record, seed: int, lines: int, migrate: int, evaluations: int) -> list[float]:
    """The best score of all lines after each of `evaluations`, in GFLOP/s."""
    members = {n: SimulatedLine(record, seed * 100 + n) for n in range(1, lines + 1)}
    curve: list[float] = []
    while len(curve) < evaluations:
        for number, line in members.items():
            if len(curve) == evaluations or not line.step():
                break
            curve.append(max(member.best for member in members.values()))
            passed = intervals_passed(line.evaluations, migrate)
            if passed > line.intervals:
                line.intervals = passed
                neighbour = next_on_ring(number, list(members))
                if neighbour is not None:
                    _send(line, members[neighbour])
    return curve


def _send(source: SimulatedLine, target: SimulatedLine) -> None:
    """As `domain.campaigns.migrant` chooses: better than what is there, and not known there."""
    known = frozenset(source.head.items()) in target.seen
    if source.best > target.best and not known and source.head not in target.waiting:
        target.waiting.append(source.head)


ARMS = ((1, 0), (4, 0), (4, 20), (4, 10), (4, 5))
"""(lines, migration interval) of the arms; one line first."""


def simulated(options: argparse.Namespace) -> None:
    """Print the table of the simulation."""
    warnings.simplefilter("ignore")
    record = Record(PROBLEMS["attention_cpu"], live=False)
    marks = [n for n in (20, 40, 80, 120, 200, 400) if n <= options.evaluations]
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    print(
        f"attention_cpu, {len(record.scores)} points measured, others predicted, off by "
        f"{record.error():.0%} in the median; {len(seeds)} seeds; GFLOP/s of the best\n"
    )
    print("| lines | interval | " + " | ".join(f"after {n}" for n in marks) + " | at the end |")
    print("|---:|---:|" + "---:|" * len(marks) + "---|")
    for lines, migrate in ARMS:
        curves = [simulate(record, s, lines, migrate, options.evaluations) for s in seeds]
        cells = [f"{statistics.median(c[n - 1] for c in curves):.1f}" for n in marks]
        ends = " ".join(f"{curve[-1]:.1f}" for curve in curves[:10])
        shown = str(migrate) if migrate else "–"
        print(f"| {lines} | {shown} | {' | '.join(cells)} | {ends} |", flush=True)


def avo(arguments: list[str], sessions: Path) -> str:
    """Run a command of avo; returns its standard output. Exits if it fails."""
    result = subprocess.run(
        [sys.executable, "-m", "avo_tui.cli", *arguments],
        env={**os.environ, "AVO_SESSIONS": str(sessions)},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise SystemExit(f"avo {' '.join(arguments)}: {result.stderr.strip()}")
    return result.stdout


def real(options: argparse.Namespace) -> None:
    """Run the campaigns and print the table of what they measured."""
    print(f"{platform.processor() or platform.machine()}, load {os.getloadavg()[0]:.1f}\n")
    print("| seed | lines | best ratio | evaluations | committed of sent | minutes |")
    print("|---:|---:|---:|---:|---|---:|", flush=True)
    with tempfile.TemporaryDirectory(prefix="avo-lines-") as folder:
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            for lines in (1, 4):
                print(_campaign(options, seed, lines, Path(folder)), flush=True)


def _campaign(options: argparse.Namespace, seed: int, lines: int, sessions: Path) -> str:
    name = f"lines{lines}-{seed}"
    avo(
        [
            "campaign", "run", options.task, "--name", name, "--lines", str(lines),
            "--migrate", str(options.migrate), "--evaluations", str(options.evaluations),
            "--operator", "tuner", "--seed", str(100 * seed), "--devices", options.devices,
            "--allow-weak-sandbox", "--headless",
        ],
        sessions,
    )  # fmt: skip
    form: dict[str, Any] = json.loads(avo(["campaign", "status", name, "--json"], sessions))
    committed = sum(1 for m in form["migrations"] if m["fate"] == "committed")
    hours = max(one["spend"]["seconds"] for one in form["lines"]) / 60
    return (
        f"| {seed} | {lines} | {form['best']['ratio']:.3f} | {form['spend']['evaluations']} | "
        f"{committed} of {len(form['migrations'])} | {hours:.1f} |"
    )


def main() -> None:
    """Prints a table in Markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--task", default="attention_cpu")
    parser.add_argument("--evaluations", type=int, default=120, help="of each arm")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=10)
    parser.add_argument("--real", action="store_true")
    parser.add_argument("--migrate", type=int, default=5, help="with --real")
    parser.add_argument("--devices", default="0,1", help="with --real")
    options = parser.parse_args()
    real(options) if options.real else simulated(options)


if __name__ == "__main__":
    main()
