"""Kill the engine with SIGKILL at random instants of a real run, and see what survives.

    python benchmarks/kill_recovery.py [--kills 50] [--task attention_cpu] [--seed 1]
    python benchmarks/kill_recovery.py --kills 1000 --longest 1.5 --pretend 0.02

A real session with the tuner runs in its own process, is watched by a viewer, given hints, killed,
checked and resumed, again and again, once it has committed two versions. Every other kill comes
after a random time; the others after a random event of those that a step turns on (an attempt
begins, is judged, is committed; the step ends; a command is taken) and a few milliseconds more, so
that the instants at which something is being written are met too. After each kill: every version,
hint, note and command that the viewer saw is there unchanged, every promise of the folder holds
(the checks of `avo doctor`), no process of the dead engine goes on, and the next engine starts.
Commands of every kind that changes something are given meanwhile; at the end each was answered
once, and what each did is on record once. With `--pretend` the engine, its store, tuner and gate
are real and the evaluations are made up and take so many seconds: most of the time something is
being written then, which is what is to be met. At
the end it must go on to a new attempt. Prints one line a kill; exits with 1 if anything was lost.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from avo_tui.domain.base import Value
from avo_tui.domain.commands import (
    AbortStep,
    Annotate,
    Approve,
    Command,
    EditMemory,
    Pause,
    Rewind,
    SendHint,
    SetBookmark,
)
from avo_tui.domain.events import CommandTaken, VersionAnnotated
from avo_tui.domain.run_settings import RunSettings
from avo_tui.domain.state import SessionState
from avo_tui.domain.task import TaskInfo
from avo_tui.store import SessionReader, diagnose, engine_status, send_command

EFFECTS = {
    "hint": "hint_queued",
    "bookmark": "version_annotated",
    "note": "version_annotated",
    "memory": "note_written",
    "rewind": "rewound",
}
"""Kind of command → kind of the event that is what it did."""

PATIENCE = 180.0
"""Seconds to wait for anything before calling it a failure."""

TURNS = (
    "step_started",
    "candidate_edited",
    "attempt_started",
    "attempt_finished",
    "gate_decided",
    "version_committed",
    "step_finished",
    "command_taken",
)
"""The events that a step turns on, which the kills are aimed at."""
AFTER_TURN = 0.03
"""Seconds after such an event within which the kill comes: what follows it is being written."""


def wait_for(what: str, true: Callable[[], bool], seconds: float = PATIENCE) -> float:
    """Seconds until `true` holds. Raises SystemExit with a sentence when it never does."""
    began = time.monotonic()
    while not true():
        if time.monotonic() - began > seconds:
            raise SystemExit(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(0.02)
    return time.monotonic() - began


def task_info(name: str) -> TaskInfo:
    """The task, as the command line finds it."""
    from avo_tui.evaluation.tasks import find_tasks

    return find_tasks().get(name).info()


def command(process: psutil.Process) -> str:
    """What a process is, for a report."""
    try:
        return " ".join(process.cmdline())[-80:]
    except psutil.NoSuchProcess:
        return "ended late"


def saw(state: SessionState) -> dict[str, dict[str, str]]:
    """What the person must never lose, as text."""
    tables: dict[str, Mapping[Any, Value]] = {
        "version": state.versions,
        "hint": state.hints,
        "note": state.memory,
        "command": state.commands,
        "step": {n: s for n, s in state.steps.items() if s.ended is not None},
        "attempt": {f"{s}.{n}": a for (s, n), a in state.attempts.items() if a.verdict is not None},
    }
    return {
        name: {str(key): record.model_dump_json() for key, record in table.items()}
        for name, table in tables.items()
    }


def gone(before: dict[str, dict[str, str]], after: dict[str, dict[str, str]]) -> list[str]:
    """What was seen before and is not there any more."""
    return [
        f"{name} {key} is gone"
        for name, table in before.items()
        for key in table
        if key not in after[name]
    ]


def changed(before: dict[str, dict[str, str]], after: dict[str, dict[str, str]]) -> list[str]:
    """What two readers of the same events tell differently."""
    return [
        f"{name} {key} changed"
        for name in before
        for key, text in before[name].items()
        if after[name].get(key, text) != text
    ]


class Run:
    """One session under fire."""

    def __init__(self, folder: Path, chance: random.Random, pretend: float | None) -> None:
        self.folder = folder
        self.pretend = pretend
        self.chance = chance
        self.reader = SessionReader.open(folder)
        self.sent: list[str] = []
        self.wanted: dict[str, tuple[str, str]] = {}
        """Command → kind of the event that is what it did, and a text in it."""
        self.starts: list[float] = []
        self.failures: list[str] = []
        self.look_every = 1
        """Kills after which `diagnose` looks through the whole session."""
        self.kinds: Counter[str] = Counter()

    def start(self) -> int:
        """Start the engine; returns its pid."""
        from avo_tui.evolution.process import start_engine

        began = time.monotonic()
        if self.pretend is None:
            pid = start_engine(self.folder, resume=True)
        else:
            pid = self._start_pretending(self.pretend)
        self.starts.append(time.monotonic() - began)
        return pid

    def _start_pretending(self, seconds: float) -> int:
        """The engine over evaluations that are made up and take so many seconds.

        It is forked from this process, which has imported it: a thousand starts would spend most of
        their time importing.
        """
        from benchmarks.pretending import run_pretending

        pid = os.fork()
        if pid == 0:
            os._exit(run_pretending(self.folder, seconds))
        wait_for("the engine", lambda: engine_status(self.folder / "engine.lock").alive, 60)
        return pid

    def watch(self, seconds: float, turn: str | None) -> str:
        """Follow until the time is up or the turn is seen; the kind of the last event."""
        last = ""
        until = time.monotonic() + seconds
        speak = time.monotonic() + self.chance.random() * min(seconds, 8.0)
        spoken = False
        while time.monotonic() < until:
            for event in self.reader.poll():
                last = event.kind
                if last == turn:
                    until, turn = time.monotonic() + self.chance.uniform(0, AFTER_TURN), None
            if time.monotonic() > speak and not spoken:
                spoken = True
                self.speak()
            time.sleep(0.001)
        return last

    def warm_up(self, versions: int) -> None:
        """Let it commit something that can be lost."""

        def committed() -> bool:
            self.reader.poll()
            return len(self.reader.state.versions) >= versions

        seconds = wait_for(f"{versions} versions", committed, 300)
        print(
            f"{versions} versions were committed in {seconds:.0f} s; now it is killed", flush=True
        )

    def speak(self) -> None:
        """Give a command, as a person would: of any kind, with a text that no other has."""
        state = self.reader.state
        text = f"remark {len(self.sent)} of the person."
        newest = max(state.versions, default=None)
        choices: list[Command] = [SendHint(text=text), EditMemory(text=text), Pause()]
        if newest is not None:
            choices += [
                SetBookmark(version=newest, label=text),
                Annotate(version=newest, text=text),
                Rewind(version=self.chance.randint(0, newest), reason=text),
                AbortStep(reason=text),
            ]
        if state.pending_approval is not None:
            choices += [Approve()] * 3
        command = self.chance.choice(choices)
        identity = send_command(self.folder, command)
        self.sent.append(identity)
        if command.kind in EFFECTS:
            self.wanted[identity] = (EFFECTS[command.kind], text)

    def kill(self, number: int, pid: int, seconds: float, turn: str | None) -> None:
        """Kill and check."""
        began = time.monotonic()
        last = self.watch(seconds, turn)
        family: list[psutil.Process] = []
        with contextlib.suppress(psutil.NoSuchProcess):
            family = psutil.Process(pid).children(recursive=True)
        before = saw(self.reader.state)
        os.kill(pid, signal.SIGKILL)
        instant = time.monotonic() - began
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
        wait_for("the lock", lambda: not engine_status(self.folder / "engine.lock").alive, 30)
        _, alive = psutil.wait_procs(family, timeout=10)
        found = [f"process {p.pid} of the dead engine goes on ({command(p)})" for p in alive]
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        for event in iter(self.reader.poll, []):
            last = event[-1].kind
        viewed = SessionReader.open(self.folder)
        # what it wrote in its last moments may have changed a version, such as its bookmark
        followed, opened = saw(self.reader.state), saw(viewed.state)
        found += gone(before, opened) + gone(followed, opened) + gone(opened, followed)
        found += changed(followed, opened)
        if number % self.look_every == 0:
            found += [f.sentence for f in diagnose(self.folder) if f.level == "fail"]
        self.kinds[last or "nothing new"] += 1
        self.failures += [f"kill {number}: {sentence}" for sentence in found]
        state = viewed.state
        print(
            f"kill {number:3d}  after {instant:5.2f} s  last {last or '-':22s}"
            f" step {state.session.step:3d}  attempts {len(state.attempts):4d}"
            f"  versions {len(state.versions):3d}  events {state.session.applied:6d}"
            f"  {'; '.join(found) or 'nothing lost'}",
            flush=True,
        )

    def finish(self, pid: int) -> None:
        """The last engine must go on: a new attempt is finished, every command taken once."""

        def judged() -> int:
            attempts = self.reader.state.attempts.values()
            return sum(a.verdict is not None and a.verdict.judges_candidate for a in attempts)

        done = judged()

        def further() -> bool:
            self.reader.poll()
            return judged() > done

        if self.pretend is None:  # the made-up kernel has few points; a long run tries them all
            seconds = wait_for("a new attempt", further)
            print(f"resumed: a new attempt was finished {seconds:.1f} s after the last start")

        def taken() -> bool:
            self.reader.poll()
            return set(self.sent) <= set(self.reader.state.commands)

        wait_for("the commands", taken, 60)
        times = Counter(e.id for e in self.reader.events() if isinstance(e, CommandTaken))
        self.failures += [f"command {i} was taken {n} times" for i, n in times.items() if n > 1]
        self.failures += self.doubled()
        kinds = Counter(self.reader.state.commands[i].kind for i in self.sent)
        print(f"{len(self.sent)} commands were sent, each was answered once: {dict(kinds)}")
        os.kill(pid, signal.SIGTERM)
        wait_for("the engine's end", lambda: not self.reader.engine().alive, 60)

    def doubled(self) -> list[str]:
        """Commands whose effect is on record more or less often than it should be."""
        counts: Counter[tuple[str, str]] = Counter()
        wanted = {text: (kind, text) for kind, text in self.wanted.values()}
        annotated: dict[int, tuple[str | None, str]] = {}
        idle = list[str]()
        for event in self.reader.events():
            if event.kind in EFFECTS.values():
                body = event.model_dump_json()
                if isinstance(event, VersionAnnotated):
                    # it repeats what the version had already: only what is new is an effect
                    old = annotated.get(event.number, (None, ""))
                    new = annotated[event.number] = (event.bookmark, event.note)
                    body = " ".join(n for n, o in zip(new, old, strict=True) if n and n != o)
                    if old == new:
                        idle.append(f"event {event.seq} annotates v{event.number} once more")
                counts.update(
                    w for text, w in wanted.items() if text in body and w[0] == event.kind
                )
        return idle + [
            f"command {identity} ({kind}) had its effect {counts[kind, text]} times"
            for identity, (kind, text) in self.wanted.items()
            if counts[kind, text] != (self.reader.state.commands[identity].refused is None)
        ]


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description="Kill the engine at random instants.")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--each", type=int, default=100, help="kills of one session")
    parser.add_argument("--task", default="attention_cpu")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--longest", type=float, default=20.0, help="seconds until a kill")
    parser.add_argument("--patience", type=float, default=40.0, help="seconds to wait for a turn")
    parser.add_argument("--minutes", type=float, help="ends after so long, with fewer kills")
    parser.add_argument("--pretend", type=float, help="seconds of made-up evaluations")
    parser.add_argument(
        "--look-every", type=int, default=1, help="kills between two checks of the whole folder"
    )
    return parser.parse_args()


def one_session(
    name: str, kills: int, until: float, chance: random.Random, given: argparse.Namespace
) -> tuple[Run, int]:
    """Kill the engine of a new session so many times, or until the time is up; (run, kills)."""
    from avo_tui.evolution.create import create_session
    from tests.evolution.fake_evaluator import TASK

    # so many kills in a row would be taken for a crash loop, which pauses a run
    options = {"crash_loop": 0, "supervisor.attempts": 0}
    settings = RunSettings(operator="tuner", options=options)
    task = task_info(given.task) if given.pretend is None else TASK
    run = Run(create_session(name, task, settings), chance, given.pretend)
    run.look_every = given.look_every
    pid = run.start()
    run.warm_up(versions=2)
    killed = 0
    while killed < kills and time.monotonic() < until:
        killed += 1
        if killed % 2 or given.pretend is not None:
            run.kill(killed, pid, chance.uniform(0.0, given.longest), None)
        else:
            run.kill(killed, pid, given.patience, chance.choice(TURNS))
        pid = run.start()
    run.finish(pid)
    run.failures += [f.sentence for f in diagnose(run.folder) if f.level == "fail"]
    return run, killed


def main() -> int:
    """Kill, look, print; 1 if anything was lost or doubled."""
    given = arguments()
    base = Path(tempfile.mkdtemp(prefix="kill-recovery-"))
    os.environ["AVO_SESSIONS"] = str(base)
    chance = random.Random(given.seed)
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    until = time.monotonic() + 60 * (given.minutes or 10**6)
    killed, runs = 0, list[Run]()
    try:
        while killed < given.kills and time.monotonic() < until:
            share = min(given.each, given.kills - killed)
            run, kills = one_session(f"killed{len(runs)}", share, until, chance, given)
            killed += kills
            runs.append(run)
            print(f"{killed} kills in {len(runs)} sessions so far", flush=True)
    finally:
        shutil.rmtree(base, ignore_errors=True)
    kinds = sum((run.kinds for run in runs), Counter[str]())
    starts = [start for run in runs for start in run.starts]
    failures = [failure for run in runs for failure in run.failures]
    print(f"killed {killed} times; last event before: {dict(kinds.most_common())}")
    print(f"engine start: median {statistics.median(starts):.2f} s, longest {max(starts):.2f} s")
    for failure in failures:
        print("FAILED", failure)
    print("nothing was lost" if not failures else f"{len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
