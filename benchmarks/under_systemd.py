"""A run kept by `avo service` under a real systemd: kills, a stop of the unit, and a reboot.

    python benchmarks/under_systemd.py [--task attention_cpu] [--private]

Makes a session with the tuner, writes its unit with `avo service`, and enables it in the user's
systemd. Then the engine is killed, the keeper is killed, the unit is stopped and started, and the
user's systemd itself is ended and started again, as by a reboot. After each the run must go on
without anybody's help, with nothing lost. At the end the person stops the run, and the unit must
end as well. `--private` (needs root) starts a systemd for users of its own, in namespaces of its
own, where none runs; sessions and settings are in a temporary folder either way.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from avo_tui.domain.commands import Stop
from avo_tui.domain.run_settings import RunSettings
from avo_tui.store import SessionReader, diagnose, engine_status, send_command
from benchmarks.kill_recovery import gone, saw, task_info, wait_for

UNIT = "avo-kept.service"
SYSTEMD = "/lib/systemd/systemd"


def systemctl(*words: str) -> str:
    """Output of `systemctl --user`; errors are part of it."""
    result = subprocess.run(
        ["systemctl", "--user", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return result.stdout.strip()


def shown(name: str) -> str:
    """One property of the unit."""
    return systemctl("show", "--value", "-p", name, UNIT)


class Manager:
    """A systemd for one user, started here."""

    def __init__(self) -> None:
        runtime = Path("/run/user") / str(os.getuid())
        runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.environ["XDG_RUNTIME_DIR"] = str(runtime)
        os.environ["DBUS_SESSION_BUS_ADDRESS"] = f"unix:path={runtime}/bus"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen([SYSTEMD, "--user"], stdout=quiet, stderr=quiet)
        wait_for("systemd", lambda: systemctl("is-system-running") in {"running", "degraded"}, 60)

    def end(self) -> None:
        """End it, with all that it runs."""
        systemctl("exit")
        if self._process is not None:
            self._process.wait()


class Kept:
    """The session under test, and what was seen of it before the last blow."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.failures: list[str] = []

    def engine(self) -> int | None:
        """Pid of the running engine."""
        status = engine_status(self.folder / "engine.lock")
        return status.pid if status.alive else None

    def goes_on(self, what: str, blow: Callable[[], object]) -> None:
        """Do something to the run; it must be alive again by itself, record more, lose nothing."""
        old = self.engine()
        before = saw(SessionReader.open(self.folder).state)
        began = time.monotonic()
        blow()
        wait_for(f"an engine after: {what}", lambda: self.engine() not in {None, old}, 180)
        alive = time.monotonic() - began
        reader = SessionReader.open(self.folder)
        lost = gone(before, saw(reader.state))
        finished = len([a for a in reader.state.attempts.values() if a.verdict is not None])

        def further() -> bool:
            reader.poll()
            return len([a for a in reader.state.attempts.values() if a.verdict]) > finished

        wait_for(f"a finished attempt after: {what}", further, 600)
        self.failures += [f"{what}: {sentence}" for sentence in lost]
        record = reader.state.session.engine
        print(
            f"{what}: an engine again after {alive:.1f} s, an attempt finished after "
            f"{time.monotonic() - began:.1f} s, restarts on record "
            f"{record.restarts if record else '?'}; {'; '.join(lost) or 'nothing lost'}",
            flush=True,
        )


def check(task: str, base: Path, manager: Manager | None) -> list[str]:
    """Everything; returns what failed."""
    from avo_tui.evolution.create import create_session

    os.environ |= {"AVO_SESSIONS": str(base / "sessions"), "XDG_CONFIG_HOME": str(base / "config")}
    (base / "sessions").mkdir()
    (base / "config").mkdir()
    if manager is not None:
        manager.start()
    settings = RunSettings(operator="tuner", options={"supervisor.attempts": 0})
    kept = Kept(create_session("kept", task_info(task), settings))
    avo = [sys.executable, "-m", "avo_tui.cli"]
    subprocess.run([*avo, "service", "kept"], check=True, stdout=subprocess.DEVNULL)
    print(systemctl("--version").splitlines()[0], flush=True)
    systemctl("daemon-reload")
    # an engine that was killed five times in a row would be taken for a crash loop
    kept.goes_on("enable --now", lambda: systemctl("enable", "--now", UNIT))
    kept.goes_on("SIGKILL of the engine", lambda: os.kill(kept.engine() or 0, signal.SIGKILL))
    kept.goes_on("SIGKILL of the keeper", lambda: os.kill(int(shown("MainPID")), signal.SIGKILL))

    def stop_and_start() -> None:
        systemctl("stop", UNIT)
        if kept.engine() is not None:
            kept.failures.append("the engine outlived its unit")
        systemctl("start", UNIT)

    kept.goes_on("stop and start of the unit", stop_and_start)
    if manager is not None:

        def reboot() -> None:
            manager.end()
            if kept.engine() is not None:
                kept.failures.append("the engine outlived systemd")
            manager.start()

        kept.goes_on("systemd ended and started again", reboot)
    send_command(kept.folder, Stop())
    wait_for("the unit's end", lambda: shown("ActiveState") == "inactive", 120)
    print(f"the person's stop: the unit is {shown('ActiveState')}, result {shown('Result')}")
    if kept.engine() is not None or shown("Result") != "success":
        kept.failures.append("the person's stop did not end the unit in good order")
    kept.failures += [f.sentence for f in diagnose(kept.folder) if f.level == "fail"]
    subprocess.run([*avo, "service", "kept", "--remove"], check=True, stdout=subprocess.DEVNULL)
    return kept.failures


def main() -> int:
    """The command line; 1 where something failed."""
    parser = argparse.ArgumentParser(description="A kept run under a real systemd.")
    parser.add_argument("--task", default="attention_cpu")
    parser.add_argument("--private", action="store_true", help="a systemd of its own; needs root")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.private and not given.inside:
        command = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", sys.executable]
        return subprocess.call([*command, *sys.argv, "--inside"])
    if given.inside:
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
        Path("/run/systemd/system").mkdir(parents=True)  # what systemd takes for a booted machine
    base = Path(tempfile.mkdtemp(prefix="under-systemd-"))
    manager = Manager() if given.inside else None
    try:
        failures = check(given.task, base, manager)
    finally:
        systemctl("disable", "--now", UNIT)
        if manager is not None:
            manager.end()
        shutil.rmtree(base, ignore_errors=True)
    for failure in failures:
        print("FAILED", failure)
    print("nothing was lost" if not failures else f"{len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
