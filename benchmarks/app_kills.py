"""Kill the app with SIGKILL at random instants, its keys being pressed: does the run notice?

    python benchmarks/app_kills.py [--kills 100] [--longest 8] [--minutes 10]

An engine with made-up evaluations runs; the app is attached to it in a pseudo-terminal, again and
again, is given random keys and is killed after a random time, its start included. After each kill
the same engine still runs and goes on, and the folder is whole; at the end every command that
reached the inbox was answered once and `avo doctor` finds nothing.
"""

from __future__ import annotations

import argparse
import os
import pty
import random
import select
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from avo_tui.domain.events import CommandTaken
from avo_tui.domain.run_settings import RunSettings
from avo_tui.evolution.create import create_session
from avo_tui.store import SessionReader, diagnose, engine_status
from benchmarks.kill_recovery import Run, wait_for

KEYS = (b"h", b"j", b"k", b"\t", b"\r", b"p", b"r", b"?", b"\x1b", b"n", b"look at it", b"b", b"4")


def attached(folder: Path, seconds: float, chance: random.Random) -> int:
    """Run the app for so long in a pseudo-terminal, kill it; returns the bytes that it drew."""
    child, terminal = pty.fork()
    if child == 0:
        os.environ.update(TERM="xterm-256color", COLUMNS="120", LINES="40")
        command = [sys.executable, "-m", "avo_tui.cli", "attach", folder.name, "--no-start"]
        os.execv(sys.executable, command)
    drawn, until = 0, time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if select.select([terminal], [], [], min(left, 0.05))[0]:
            try:
                drawn += len(os.read(terminal, 1 << 16))
            except OSError:
                break
        elif drawn > 2000:
            os.write(terminal, chance.choice(KEYS))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(terminal)
    return drawn


def main() -> int:
    """Kill, look, print; 1 if the run noticed."""
    parser = argparse.ArgumentParser(description="Kill the app at random instants.")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--longest", type=float, default=8.0, help="seconds until a kill")
    parser.add_argument("--minutes", type=float, default=60.0, help="ends after so long")
    given = parser.parse_args()
    from tests.evolution.fake_evaluator import TASK

    base = Path(tempfile.mkdtemp(prefix="app-kills-"))
    os.environ["AVO_SESSIONS"] = str(base)
    chance, failures, drawing = random.Random(2), list[str](), 0
    try:
        options = {"supervisor.attempts": 0, "crash_loop": 0}
        folder = create_session("watched", TASK, RunSettings(operator="tuner", options=options))
        run = Run(folder, chance, 0.2)
        pid = run.start()
        run.warm_up(1)
        until, kills = time.monotonic() + 60 * given.minutes, 0
        while kills < given.kills and time.monotonic() < until:
            kills += 1
            drawing += attached(folder, chance.uniform(0.1, given.longest), chance) > 0
            if engine_status(folder / "engine.lock").pid != pid:
                failures.append(f"kill {kills}: the engine is gone")
                break
        reader = SessionReader.open(folder)
        wait_for("the inbox", lambda: not list((folder / "inbox").glob("*.json")), 30)
        while reader.poll():
            pass
        times = Counter(e.id for e in reader.events() if isinstance(e, CommandTaken))
        failures += [f"command {i} was answered {n} times" for i, n in times.items() if n > 1]
        failures += [f.sentence for f in diagnose(folder) if f.level == "fail"]
        os.kill(pid, signal.SIGTERM)
        wait_for("the engine's end", lambda: not engine_status(folder / "engine.lock").alive, 60)
        print(
            f"{kills} kills of the app, {drawing} after it had begun to draw; {len(times)} "
            f"commands given by its keys; {reader.state.session.applied} events"
        )
        print("\n".join(failures) or "the run did not notice")
        return 1 if failures else 0
    finally:
        shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
