"""Runs of an agent in the seat that lack one part, to see what the part is worth.

    python -m benchmarks.seat_arms all no-knowledge no-memory no-supervisor --runs 3
    avo compare all=all-1,all-2,all-3 no-knowledge=no-knowledge-1,…

Starts an engine for each run, from the plain seed, with a budget of evaluations, and prints for
each the words that its agent is given: a fresh agent for each run, told nothing else. In every arm
the tools that time anything but evaluations are switched off: an agent that may time as often as it
likes uses a few evaluations only, and the arms would not have equal budgets. The engines go on
until their budget is used up; `avo stop NAME` ends one.
`runs.json` has the figures of the runs in docs/worth.md.

`--task conv3d` takes the 3-D convolution of this folder instead of `attention_cpu`; `--tuner` runs
the tuner on the seed with tunables, to the same budget, without an agent.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
ARMS: dict[str, tuple[str, ...]] = {
    "all": ("toolbox.without=timing",),
    "no-knowledge": ("toolbox.without=timing,knowledge",),
    "no-memory": ("toolbox.without=timing,memory",),
    "no-supervisor": (
        "toolbox.without=timing",
        *(f"supervisor.{rule}=0" for rule in ("attempts", "seconds", "failures", "repeats", "usd")),
    ),
}
SEEDS = {
    "attention_cpu": (ROOT / "kernels/attention_cpu/plain", ROOT / "kernels/attention_cpu/seed"),
    "conv3d": (HERE / "conv3d/plain", HERE / "conv3d/tuned"),
}
"""Task → the seed of agents, and that of the tuner."""


def avo(*arguments: str) -> list[str]:
    """The command line of `avo` with these arguments."""
    return [sys.executable, "-m", "avo_tui.cli", *arguments]


def start(chosen: argparse.Namespace, arm: str, number: int, device: str) -> None:
    """Start the engine of one run in the background and print its agent's words."""
    name = f"{chosen.prefix}{'tuner' if chosen.tuner else arm}-{number}"
    plain, tuned = SEEDS[chosen.task]
    operator: tuple[str, ...] = ("--operator", "tuner", "--seed", str(number), "--from", str(tuned))
    if not chosen.tuner:
        operator = ("--operator", "seat", "--from", str(plain))
    options = [word for option in ARMS[arm] for word in ("--set", option)]
    command = avo(
        "run", chosen.task, "--name", name, "--headless", "--devices", device,
        "--budget-evaluations", str(chosen.evaluations), *operator,
        *(() if chosen.tuner else options),
    )  # fmt: skip
    log = Path(f"{name}.log")
    with log.open("w", encoding="utf-8") as out:
        subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
    print(f"--- {name} (device {device}, log {log})")
    if not chosen.tuner:
        words = (HERE / "words.md").read_text(encoding="utf-8")
        print(words.replace("NAME", name).replace("MINUTES", str(chosen.minutes)))


def main() -> None:
    """Start the runs that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("arms", nargs="*", choices=[*ARMS, []], help="default: all of them")
    parser.add_argument("--task", choices=list(SEEDS), default="attention_cpu")
    parser.add_argument("--tuner", action="store_true", help="the tuner instead of an agent")
    parser.add_argument("--runs", type=int, default=1, help="runs of each arm")
    parser.add_argument("--first", type=int, default=1, help="number of the first run")
    parser.add_argument("--evaluations", type=int, default=20)
    parser.add_argument("--minutes", type=int, default=70, help="when an agent is to finish")
    parser.add_argument("--devices", default="0", help="processor cores, taken in turn: 0,1")
    parser.add_argument("--prefix", default="", help="put before the names of the sessions")
    chosen = parser.parse_args()
    if chosen.task == "conv3d":
        folder = Path("tasks").resolve()
        subprocess.run(
            avo("task", "from", str(HERE / "conv3d/conv3d.py"), "--full-size", "--to", str(folder)),
            check=True,
        )
        os.environ["AVO_KERNELS"] = str(folder)
    devices = chosen.devices.split(",")
    arms = ["all"] if chosen.tuner else chosen.arms or list(ARMS)
    for number in range(chosen.first, chosen.first + chosen.runs):
        for index, arm in enumerate(arms):
            start(chosen, arm, number, devices[(number + index) % len(devices)])


if __name__ == "__main__":
    main()
