"""Twelve jobs that a person does with the app, by keys alone, in a real terminal (tmux).

    python benchmarks/twelve_jobs.py [--size 120x40] [--only approve]

Eleven jobs are done on copies of sessions/mha-hopper, one (approve) on a run whose engine, store,
tuner and gate are real and whose evaluations are made up. Each starts on the run screen, in a fresh
copy, and ends when the screen shows what the job was for. Prints one row a job: the keys pressed;
the characters typed besides (a name, a number, a sentence); the seconds from the first key to the
goal. The keys are pressed one after the other without waiting, except where a person would have to
look first; so the seconds are those of the program, not of a person. Exits with 1 if a goal is not
reached.
"""

from __future__ import annotations

import argparse
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from avo_tui.domain.run_settings import RunSettings  # noqa: E402
from avo_tui.evolution.create import create_session  # noqa: E402
from avo_tui.store import SessionReader, engine_status  # noqa: E402
from benchmarks.kill_recovery import Run, wait_for  # noqa: E402
from tests.evolution.fake_evaluator import TASK  # noqa: E402
from tests.ui.tmux_window import TmuxWindow  # noqa: E402

SESSION = ROOT / "sessions" / "mha-hopper"
REACHED = 120.0
"""Seconds after which a goal counts as not reached."""


class Hands:
    """Presses keys and types text into the app, and counts them."""

    def __init__(self, folder: Path, size: tuple[int, int]) -> None:
        command = [sys.executable, "-m", "avo_tui.cli", "attach", str(folder), "--no-start"]
        environment = {
            "PYTHONPATH": str(ROOT),
            "AVO_SESSIONS": str(folder.parent),
            "XDG_STATE_HOME": str(folder.parent / "state"),
            "XDG_CONFIG_HOME": str(folder.parent / "config"),
        }
        agreed = "import sys, pathlib; from avo_tui.store import known_sessions as known;"
        agreed += "known.remember(pathlib.Path(sys.argv[1]))"  # else the app asks about the copy
        subprocess.run([sys.executable, "-c", agreed, str(folder)], env=os.environ | environment,
                       check=True)  # fmt: skip
        inside = f"cd {shlex.quote(str(folder.parent))} && exec {shlex.join(command)}"
        self.window = TmuxWindow(inside, size, environment)
        self.folder = folder
        self.keys = self.typed = 0
        self.began = 0.0

    def press(self, *keys: str) -> None:
        """Press keys; the first one starts the clock."""
        for key in keys:
            self.began = self.began or time.monotonic()
            self.keys += 1
            self.window.press(key)

    def type(self, text: str) -> None:
        """Type what is not a key of the app: a name, a number, a sentence."""
        self.typed += len(text)
        self.window.type(text)

    def goal(self, *texts: str, gone: str = "") -> None:
        """Wait until the screen shows the texts."""
        self.window.wait(*texts, gone=gone, seconds=REACHED)


def why_failed(hands: Hands) -> None:
    """Why was attempt 25.1 rejected?"""
    hands.press(":")
    hands.type("25.1")
    hands.press("Enter")
    if hands.window.tmux("display", "-p", "#{window_width}").strip() < "100":
        hands.goal("25.1")
        hands.press("4")
    hands.goal("−16.72% against v12")


def rewind_and_hint(hands: Hands) -> None:
    """Back to v5, and tell the operator of variation why."""
    hands.press(":")
    hands.type("v5")
    hands.press("Enter", "w")
    hands.goal("Rewind to v5")
    hands.type("registers")
    hands.press("C-s", "h")
    hands.goal("Hint to")
    hands.type("use fewer registers")
    hands.press("C-s")
    reader = SessionReader.open(hands.folder)

    def carried_out() -> bool:
        while reader.poll():
            pass
        hint = any(h.text == "use fewer registers" for h in reader.state.hints.values())
        return hint and reader.state.session.head == 5

    wait_for("the rewind and the hint", carried_out, REACHED)
    hands.goal("rewound from v14 to v5", "“use fewer registers”")


def beside_best(hands: Hands) -> None:
    """v3 beside the best version."""
    hands.press(":")
    hands.type("v3")
    hands.press("Enter", "c", "B")
    hands.goal("v3 → v14")


def since_yesterday(hands: Hands) -> None:
    """What happened since yesterday?"""
    hands.press("D")
    hands.goal("What happened since yesterday", "rejected")


def all_rejected(hands: Hands) -> None:
    """All rejected attempts, with their reasons."""
    hands.press("F", "/")
    hands.type("rejected")
    hands.press("Enter")
    hands.goal("16 of 31", "−6.71% against v14")


def best_kernel_out(hands: Hands) -> None:
    """The source of the best version as a file."""
    hands.press("B", "V", "x")
    hands.goal("to the folder")
    hands.press("Enter")
    hands.goal("mha-hopper-v14-source", gone="to the folder")
    written = list((hands.folder.parent / "mha-hopper-v14-source").rglob("*.cu*"))
    assert written, "the app says that it exported the kernel, and there is no file"


def change_budget(hands: Hands) -> None:
    """Let the run spend 100 evaluations."""
    hands.press("b")
    hands.goal("for each step")
    hands.press("Down", "Down", "Down")
    hands.type("100")
    hands.press("C-s")
    hands.goal("31/100 evals")


def search_everything(hands: Hands) -> None:
    """Where did anything say "descriptor"? In the sources, too."""
    hands.press("C-f")
    hands.goal("search everything")
    hands.type("descriptor")
    hands.press("Enter")
    hands.goal("sources  ", gone="reading …")


def name_version(hands: Hands) -> None:
    """Give v9 a name."""
    hands.press(":")
    hands.type("v9")
    hands.press("Enter", "m")
    hands.goal("A name for v9")
    hands.type("lazy rescaling")
    hands.press("Enter")
    hands.goal("⚑ lazy rescaling", gone="A name for v9")


def write_note(hands: Hands) -> None:
    """Write a note on v9, and see it in its story."""
    hands.press(":")
    hands.type("v9")
    hands.press("Enter", "N")
    hands.goal("Your note on v9")
    hands.type("try this in the backward pass")
    hands.press("C-s")
    hands.goal("✎ try this in the backward pass", gone="Your note on v9")


def look_up(hands: Hands) -> None:
    """What does the knowledge base say of setmaxnreg?"""
    hands.press("K")
    hands.goal("documents")
    hands.press("/")
    hands.type("setmaxnreg")
    hands.press("Enter")
    hands.goal("“setmaxnreg”", "setmaxnreg.dec")


def approve(hands: Hands) -> None:
    """Approve the attempt that waits."""
    hands.goal("WAITS FOR YOU")
    hands.press("A")
    hands.goal(gone="WAITS FOR YOU")
    reader = SessionReader.open(hands.folder)
    assert len(reader.state.versions) > 1, "nothing was committed"


@dataclass(frozen=True)
class Job:
    """A job, and what it took before the app was changed for these jobs."""

    name: str
    what: str
    do: Callable[[Hands], None]
    keys_before: str


JOBS = (
    Job("why", "why attempt 25.1 was rejected", why_failed, "10"),
    Job("rewind", "rewind to v5 and hint", rewind_and_hint, "not counted"),
    Job("compare", "v3 beside the best", beside_best, "not counted"),
    Job("yesterday", "what happened since yesterday", since_yesterday, "impossible"),
    Job("rejected", "all rejected, with reasons", all_rejected, "impossible"),
    Job("kernel", "the best kernel as a file", best_kernel_out, "impossible"),
    Job("budget", "cap the run at 100 evaluations", change_budget, "not counted"),
    Job("search", "search everything", search_everything, "impossible"),
    Job("name", "name a version", name_version, "not counted"),
    Job("note", "write a note on a version", write_note, "not counted"),
    Job("lookup", "look something up", look_up, "not counted"),
    Job("approve", "approve the attempt that waits", approve, "not counted"),
)


def _copied(base: Path) -> Path:
    folder = base / SESSION.name
    shutil.copytree(SESSION, folder)
    return folder


def _done(job: Job, folder: Path, size: tuple[int, int]) -> str:
    """Do a job on the run screen of a session; one row of the table."""
    hands = Hands(folder, size)
    try:
        hands.goal("1 Lineage")
        hands.goal("palette")
        job.do(hands)
        seconds = time.monotonic() - hands.began
        return f"| {job.what} | {job.keys_before} | {hands.keys} | {hands.typed} | {seconds:.1f} |"
    finally:
        hands.window.close()


def _approval(base: Path) -> tuple[Path, int]:
    """A run with an attempt that waits for approval, and the process of its engine."""
    settings = RunSettings(operator="tuner", approve_commits=True, options={"crash_loop": 0})
    folder = create_session("watched", TASK, settings)
    run = Run(folder, random.Random(1), 0.05)
    pid = run.start()

    def waits() -> bool:
        run.reader.poll()
        return run.reader.state.pending_approval is not None

    wait_for("an attempt that waits", waits, REACHED)
    return folder, pid


def _wait_for_end(lock: Path) -> None:
    wait_for("the engine's end", lambda: not engine_status(lock).alive, 60)


def main() -> int:
    """Do the jobs, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", default="120x40", help="columns x rows")
    parser.add_argument("--only", choices=[job.name for job in JOBS])
    given = parser.parse_args()
    columns, rows = (int(part) for part in given.size.split("x"))
    print("| job | keys before | keys | typed | seconds |\n|---|---|---:|---:|---:|", flush=True)
    failed = 0
    for job in JOBS:
        if given.only not in (None, job.name):
            continue
        pid = None
        with tempfile.TemporaryDirectory(prefix="twelve-jobs-", ignore_cleanup_errors=True) as text:
            base = Path(text)
            os.environ["AVO_SESSIONS"] = text
            try:
                folder, pid = _approval(base) if job.do is approve else (_copied(base), None)
                print(_done(job, folder, (columns, rows)), flush=True)
            except AssertionError as error:
                failed += 1
                print(f"| {job.what} | {job.keys_before} | **not reached** | | |\n{error}")
            finally:
                if pid is not None:
                    os.kill(pid, signal.SIGTERM)
                    _wait_for_end(folder / "engine.lock")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
