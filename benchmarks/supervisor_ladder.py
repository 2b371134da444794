"""The supervisor's ladder in a run that stalls: the tuner, with limits low enough to see it climb.

    python benchmarks/supervisor_ladder.py [--evaluations 16] [--attempts 2] [--pictures FOLDER]

Runs the tuner on a task with a limit of few attempts without a commit, and prints in order what was
committed and each intervention with the numbers that made it, its diagnosis and its directions.
With `--pictures`, the supervisor screen and the run screen of that session are drawn as SVG.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from avo_tui.domain import events as ev
from avo_tui.store import SessionReader
from avo_tui.ui.app import AvoApp

NAME = "ladder"
SHOTS = (("supervisor", ("i",)), ("run", ()))


def run(folder: Path, chosen: argparse.Namespace) -> Path:
    """A headless run with low limits; the folder of its session."""
    environment = {
        **os.environ,
        "AVO_SESSIONS": str(folder),
        "AVO_SUPERVISOR_ATTEMPTS": str(chosen.attempts),
    }
    command = [
        *(sys.executable, "-m", "avo_tui.cli", "run", chosen.task, "--headless"),
        *("--operator", "tuner", "--name", NAME, "--seed", str(chosen.seed)),
        *("--budget-evaluations", str(chosen.evaluations)),
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr.strip())
    return folder / NAME


def story(folder: Path) -> list[str]:
    """Commits and interventions, in order."""
    lines: list[str] = []
    attempts = 0
    for event in SessionReader.open(folder).events():
        match event:
            case ev.AttemptFinished():
                attempts += 1
            case ev.VersionCommitted():
                version = event.version
                lines.append(
                    f"attempt {attempts:3}: v{version.number} committed, {version.aggregate:.4f}"
                )
            case ev.SupervisorIntervened():
                made = event.intervention
                lines.append(f"attempt {attempts:3}: {made.level.upper()}: {made.trigger}")
                lines.append(f"             {made.diagnosis}")
                lines += [f"             → {direction.text}" for direction in made.directions]
            case ev.StepStarted():
                lines.append(f"attempt {attempts:3}: step {event.step} begins from v{event.parent}")
            case _:
                pass
    return lines


async def picture(folder: Path, keys: tuple[str, ...]) -> str:
    """The screen after the keys, as SVG."""
    app = AvoApp(folder=folder)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(1.5)
        for key in keys:
            await pilot.press(key)
            await pilot.pause(0.5)
        await pilot.pause(1.0)
        return app.export_screenshot(title="avo")


def main() -> None:
    """Run, tell, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--task", default="attention_cpu")
    parser.add_argument("--evaluations", type=int, default=16)
    parser.add_argument("--attempts", type=int, default=2, help="limit without a commit")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pictures", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="avo-ladder-") as place:
        folder = run(Path(place), chosen)
        print("\n".join(story(folder)))
        if chosen.pictures:
            chosen.pictures.mkdir(parents=True, exist_ok=True)
            for name, keys in SHOTS:
                svg = asyncio.run(picture(folder, keys))
                target = chosen.pictures / f"{name}.svg"
                target.write_text(svg, encoding="utf-8")
                print(target)


if __name__ == "__main__":
    main()
