"""Operators of variation at equal budget on one task, several seeds each, compared.

    python benchmarks/operators_at_equal_budget.py --evaluations 60 --seeds 3 --out runs.svg

Arms: the tuner as it is, and the tuner whose supervisor never restarts it from another ancestor.
Further arms are sessions that exist already, by name (`--with SESSION`), such as a run of the
agent. Prints a line per run and, per arm, median and range of the best score within the budget.
Scores are ratios to the baseline of the same run, so runs made one after the other compare.
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


def main() -> None:
    """Run the arms one after the other, interleaved by seed, and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", default="attention_cpu")
    parser.add_argument("--evaluations", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--with", dest="others", action="append", default=[], metavar="SESSION")
    parser.add_argument("--out", type=Path, help="a .svg or .png picture")
    parser.add_argument(
        "--sessions", type=Path, help="where the sessions go; default: a new folder"
    )
    chosen = parser.parse_args()
    folder = chosen.sessions or Path(tempfile.mkdtemp(prefix="avo-arms-"))
    folder.mkdir(parents=True, exist_ok=True)
    here = {"AVO_SESSIONS": str(folder)}
    names: dict[str, list[str]] = {arm: [] for arm in ARMS}
    for seed in range(chosen.seeds):
        for arm, environment in ARMS.items():
            name = f"{arm}-{seed}"
            avo(
                [
                    *("run", chosen.task, "--headless", "--operator", "tuner", "--name", name),
                    *("--seed", str(seed), "--budget-evaluations", str(chosen.evaluations)),
                ],
                {**here, **environment},
            )
            names[arm].append(name)
            print(f"{name}: done", file=sys.stderr)
    if chosen.others:
        names["others"] = chosen.others
    everything = [name for group in names.values() for name in group]
    picture = ["--out", str(chosen.out)] if chosen.out else []
    document = json.loads(avo(["compare", *everything, "--json", *picture], here))
    rows = {row["session"]: row for row in document["runs"]}
    budget = document["common_budget"]
    print(f"{chosen.task} on {platform.processor() or platform.machine()}, {os.cpu_count()} CPUs")
    print(f"best score within {budget:g} evaluations (ratio to {document['reference_baseline']})")
    for row in rows.values():
        print(
            f"  {row['session']:16} first {row['first']:.3f}"
            f"  best {row['best_at_common_budget']:.3f}"
            f"  {row['gain_at_common_budget']:.1f}× first  {row['improvements']} improvements"
            f"  {row['hours'] * 60:.1f} min"
        )
    for arm, group in names.items():
        if group:
            best = [rows[name]["best_at_common_budget"] for name in group]
            print(
                f"{arm:12} median {statistics.median(best):.3f}"
                f"  range {min(best):.3f} to {max(best):.3f}  of {len(best)} runs"
            )


if __name__ == "__main__":
    main()
