"""Operators of variation at equal budget on one task, several seeds each, compared.

    python benchmarks/operators_at_equal_budget.py --evaluations 60 --seeds 3 --out runs.svg

Arms: the tuner as it is, and the tuner whose supervisor never restarts it from another ancestor;
with `--recording`, a recorded conversation of an agent, once: its words are fixed, so neither the
seed, nor memory, nor K, nor the supervisor can change what it does, only the machine what it
scores. `--with SESSION` adds a session that exists already, such as a run of the agent. Prints a
line per run and, per arm, median and range of the best score within the budget. Scores are ratios
to the baseline of the same run, so runs made one after the other compare.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "avo_tui" / "operators" / "recorded" / "attention_cpu.json"

ARMS: dict[str, dict[str, str]] = {
    "restarts": {},
    "no-restarts": {
        "AVO_SUPERVISOR_ATTEMPTS": "0",
        "AVO_SUPERVISOR_SECONDS": "0",
        "AVO_SUPERVISOR_FAILURES": "0",
        "AVO_SUPERVISOR_REPEATS": "0",
    },
}


def avo(arguments: list[str], environment: dict[str, str]) -> str:
    """Run a command of avo; its standard output."""
    result = subprocess.run(
        [sys.executable, "-m", "avo_tui.cli", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise SystemExit(f"avo {' '.join(arguments)}: {result.stderr.strip()}")
    return result.stdout


def make_runs(chosen: argparse.Namespace, here: dict[str, str]) -> dict[str, list[str]]:
    """Run the arms one after the other, interleaved by seed; arm → names of sessions."""
    names: dict[str, list[str]] = {arm: [] for arm in ARMS}
    budget = ("--headless", "--budget-evaluations", str(chosen.evaluations))
    for seed in range(chosen.seeds):
        for arm, environment in ARMS.items():
            name = f"{arm}-{seed}"
            start = ("run", chosen.task, "--operator", "tuner", "--name", name, "--seed", str(seed))
            avo([*start, *budget], {**here, **environment})
            names[arm].append(name)
            print(f"{name}: done", file=sys.stderr)
    if chosen.recording:
        path = SHIPPED if chosen.recording == "shipped" else Path(chosen.recording)
        avo(["run", "--recording", str(path), "--name", "recorded", *budget], here)
        names["recorded"] = ["recorded"]
        print("recorded: done", file=sys.stderr)
    if chosen.others:
        names["others"] = chosen.others
    return names


def best_within(row: dict[str, Any], evaluations: int) -> float:
    """The best score of a run at that many evaluations, or at its end where that came earlier."""
    reached = [p["best"] for p in row["points"] if p["evaluations"] <= evaluations]
    return max(reached, default=0.0)


def table(chosen: argparse.Namespace, document: dict[str, Any], names: dict[str, list[str]]) -> str:
    """The comparison in words."""
    rows = {row["session"]: row for row in document["runs"]}
    budget: int = chosen.evaluations
    lines = [
        f"{chosen.task} on {platform.processor() or platform.machine()}, {os.cpu_count()} CPUs",
        f"best score within {budget} evaluations (ratio to {document['reference_baseline']})",
    ]
    for row in rows.values():
        best = best_within(row, budget)
        gain = best / row["first"] if row["first"] > 0 else 0.0
        lines.append(
            f"  {row['session']:16} first {row['first']:.3f}  best {best:.3f}  {gain:.1f}× first"
            f"  {row['improvements']} improvements  {row['evaluations']} evaluations"
            f"  {row['hours'] * 60:.1f} min"
        )
    for arm, group in names.items():
        found = [best_within(rows[name], budget) for name in group]
        if found:
            lines.append(
                f"{arm:12} median {statistics.median(found):.3f}"
                f"  range {min(found):.3f} to {max(found):.3f}  of {len(found)} runs"
            )
    return "\n".join(lines)


def main() -> None:
    """Run the arms and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--task", default="attention_cpu")
    parser.add_argument("--evaluations", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--recording", metavar="FILE", help="also play a recording; `shipped` is avo's own"
    )
    parser.add_argument("--with", dest="others", action="append", default=[], metavar="SESSION")
    parser.add_argument("--out", type=Path, help="a .svg, .png or .pdf picture")
    parser.add_argument("--sessions", type=Path, help="keep the sessions in this folder")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="avo-arms-") as place:
        folder = chosen.sessions or Path(place)
        folder.mkdir(parents=True, exist_ok=True)
        here = {"AVO_SESSIONS": str(folder)}
        names = make_runs(chosen, here)
        everything = [name for group in names.values() for name in group]
        picture = ["--out", str(chosen.out)] if chosen.out else []
        document = json.loads(avo(["compare", *everything, "--json", *picture], here))
    print(table(chosen, document, names))


if __name__ == "__main__":
    main()
