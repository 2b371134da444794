"""Each system call that touches the session folder × each error: what an engine does.

    python -m benchmarks.disk_faults.measure [--only write,fsync] [--errors EIO,ESTALE]

An engine runs in a process of its own, with the store, tuner and gate as they are and evaluations
that are made up. A library that is loaded before all others (shim.c, compiled here) lets one kind
of system call fail for files of the session folder, with one error, until it has failed three times
or a second has passed; then the disk is well again. Written down for each pair:

    works     attempts were finished while the call failed
    waits     the run stood still meanwhile, and goes on by itself afterwards
    unused    the engine did not make that call within a second
    ENDED     the engine ended, or did not go on within a minute

`said` counts the pairs at whose time a viewer on the same machine was told that the run waits, and
for what. At the end the whole folder is checked as `avo doctor` does. Exits with 1 if any engine
ended or anything was damaged.
"""

from __future__ import annotations

import argparse
import errno
import mmap
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from avo_tui.domain.run_settings import RunSettings
from avo_tui.evolution.create import create_session
from avo_tui.store import SessionReader, diagnose, engine_status
from tests.evolution.fake_evaluator import TASK

CALLS = (
    "open to write", "open to read", "write", "read", "fsync", "fdatasync", "ftruncate",
    "fallocate", "rename", "link", "unlink", "mkdir", "rmdir", "chmod", "utime", "stat", "fstat",
    "lseek", "opendir", "readdir", "flock", "close",
    "everything",
)  # fmt: skip
ERRORS = (
    "EIO", "ESTALE", "EROFS", "ENOSPC", "EDQUOT", "EMFILE", "ENFILE", "ENOLCK", "ENOMEM",
    "ETIMEDOUT", "EACCES", "EINTR",
)  # fmt: skip
CONTROL = struct.Struct("32sii")


class Shim:
    """The switch of the preloaded library: a page of memory that both processes share."""

    def __init__(self, folder: Path) -> None:
        self.library, self.control = folder / "shim.so", folder / "control"
        source = Path(__file__).with_name("shim.c")
        command = ["cc", "-O1", "-shared", "-fPIC", "-o", str(self.library), str(source), "-ldl"]
        subprocess.run(command, check=True)
        self.control.write_bytes(bytes(CONTROL.size))
        with self.control.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), CONTROL.size)

    def environment(self, folder: Path) -> dict[str, str]:
        """What the process under test needs."""
        return {
            **os.environ,
            "LD_PRELOAD": str(self.library),
            "AVO_SHIM_CONTROL": str(self.control),
            "AVO_SHIM_FOLDER": str(folder),
        }

    def fail(self, call: str, error: int) -> None:
        """From now on let `call` fail with errno `error`; "" for none."""
        self._page[:] = CONTROL.pack(b"", error, 0)
        self._page[:] = CONTROL.pack(call.encode(), error, 0)

    @property
    def failed(self) -> int:
        """Calls that were made to fail since the last `fail`."""
        count: int = CONTROL.unpack(self._page[:])[2]
        return count


class Engine:
    """The engine under test, started again where it ended."""

    def __init__(self, folder: Path, shim: Shim | None = None) -> None:
        self.folder, self.shim = folder, shim
        self.reader = SessionReader.open(folder)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it finishes attempts."""
        command = [sys.executable, "-m", "benchmarks.disk_faults.engine", str(self.folder)]
        environment = None if self.shim is None else self.shim.environment(self.folder)
        self.process = subprocess.Popen(command, env=environment)
        if not self.goes_on(120):
            raise SystemExit("the engine does not start")

    @property
    def ended(self) -> bool:
        """Whether its process is gone."""
        return self.process is None or self.process.poll() is not None

    def finished(self) -> int:
        """Attempts with a verdict."""
        while self.reader.poll():
            pass
        return sum(a.verdict is not None for a in self.reader.state.attempts.values())

    def goes_on(self, seconds: float) -> bool:
        """Whether one more attempt is finished within so many seconds."""
        done, until = self.finished(), time.monotonic() + seconds
        while self.finished() == done:
            if time.monotonic() > until or self.ended:
                return False
            time.sleep(0.02)
        return True


def tried(engine: Engine, call: str, error: str) -> tuple[str, bool]:
    """(what the engine did, whether viewers were told that it waits)."""
    shim = engine.shim
    assert shim is not None
    before, said = engine.finished(), False
    # two heartbeats, where nothing works at all
    until = time.monotonic() + (7.0 if call == "everything" else 1.0)
    shim.fail(call, getattr(errno, error))
    while time.monotonic() < until and not engine.ended:
        said = said or bool(engine_status(engine.folder / "engine.lock").waiting)
        enough = shim.failed >= 3 and (said or engine.finished() > before + 1)
        if enough and call != "everything":
            break
        time.sleep(0.02)
    failed, worked = shim.failed, engine.finished() > before
    shim.fail("", 0)
    if engine.ended or not engine.goes_on(60):
        return "ENDED", said
    if not failed:
        return "unused", said
    return ("works" if worked and not said else "waits"), said


def main() -> int:
    """Try every pair and print a table."""
    parser = argparse.ArgumentParser(description="Each system call × each error.")
    parser.add_argument("--only", help="calls, with commas")
    parser.add_argument("--errors", help="names of errno, with commas")
    given = parser.parse_args()
    calls = given.only.split(",") if given.only else CALLS
    errors = given.errors.split(",") if given.errors else ERRORS
    base = Path(tempfile.mkdtemp(prefix="disk-faults-"))
    os.environ["AVO_SESSIONS"] = str(base / "sessions")
    options = {"crash_loop": 0, "supervisor.attempts": 0}
    folder = create_session("s", TASK, RunSettings(operator="tuner", options=options))
    engine = Engine(folder, Shim(base))
    engine.start()
    ended, told = 0, 0
    print("| call | " + " | ".join(errors) + " |\n|---|" + "---|" * len(errors), flush=True)
    try:
        for call in calls:
            row = []
            for error in errors:
                outcome, said = tried(engine, call, error)
                row.append(outcome)
                told += said
                if outcome == "ENDED":
                    ended += 1
                    if engine.process is not None:
                        engine.process.kill()
                        engine.process.wait()
                    log = (folder / "engine.log").read_text(errors="replace").splitlines()
                    print(f"{call} {error}:", *log[-12:], sep="\n    ", file=sys.stderr)
                    engine.start()
            print(f"| {call} | " + " | ".join(row) + " |", flush=True)
        assert engine.process is not None
        engine.process.terminate()
        engine.process.wait(60)
        flaws = [f.sentence for f in diagnose(folder) if f.level == "fail"]
    finally:
        if engine.process is not None:
            engine.process.kill()
        shutil.rmtree(base, ignore_errors=True)
    print(f"said in {told} of {len(calls) * len(errors)}; engines ended: {ended}")
    print("; ".join(flaws) or "nothing for avo doctor")
    return 1 if ended or flaws else 0


if __name__ == "__main__":
    sys.exit(main())
