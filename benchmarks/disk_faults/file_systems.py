"""Real file systems that fail under a running engine, and a real power cut. Needs root and Linux.

    python -m benchmarks.disk_faults.file_systems [--only full,power] [--cuts 20]

Everything is mounted in a mount namespace of its own, so nothing is left behind. The engine runs in
a process of its own, with the store, tuner and gate as they are and evaluations that are made up.

    full      a tmpfs that another file fills, and that is freed again
    inodes    a tmpfs that has no inode left (`nr_inodes`), and has again
    overlay   a session in a layer that can only be read, written on through an overlay
    readonly  a session on a file system that is mounted read-only: it is read, and not begun
    frozen    an ext4 that takes no write for a while (`fsfreeze`)
    away      a FUSE file system (bindfs) whose server is killed, and mounted again
    moved     a symbolic link to the session's folder that comes to point elsewhere
    copied    a session that is copied while it is written
    power     an ext4 in an image file: the image as it is on the disk at a random instant, the
              engine being stopped, is mounted on its own, as after a power cut
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from avo_tui.domain.run_settings import RunSettings
from avo_tui.evolution.create import create_session
from avo_tui.store import SessionReader, SessionWriter, StoreError, diagnose
from avo_tui.store.writer import DEFERRED
from benchmarks.disk_faults.measure import Engine
from tests.evolution.fake_evaluator import TASK


def run(*command: object) -> None:
    """Run a command. Raises CalledProcessError."""
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)


def mounted(kind: str, source: object, folder: Path, options: str = "") -> Path:
    """Mount a file system at a new folder."""
    folder.mkdir(parents=True)
    run("mount", "-t", kind, *(["-o", options] if options else []), source, folder)
    return folder


def begun(root: Path) -> Engine:
    """An engine that works on a new session below `root`."""
    os.environ["AVO_SESSIONS"] = str(root)
    options = {"crash_loop": 0, "supervisor.attempts": 0}
    engine = Engine(create_session("s", TASK, RunSettings(operator="tuner", options=options)))
    engine.start()
    return engine


def flaws(folder: Path) -> list[str]:
    """What `avo doctor` finds."""
    return [f.sentence for f in diagnose(folder) if f.level == "fail"]


def ended_well(engine: Engine) -> str:
    """End the engine; what is wrong with its folder."""
    assert engine.process is not None
    if engine.ended:
        return "THE ENGINE ENDED"
    engine.process.terminate()
    engine.process.wait(60)
    return "; ".join(flaws(engine.folder)) or "nothing for avo doctor"


def waits(engine: Engine) -> str:
    """What a viewer is told of the run, once it waits."""
    until = time.monotonic() + 60
    while time.monotonic() < until and not engine.ended:
        state, reason = engine.reader.standing()
        if state == "parked":
            return reason.replace(str(engine.folder), "…")
        time.sleep(0.05)
    return "NEVER SAID THAT IT WAITS"


def over(engine: Engine) -> str:
    """Whether the run went on, and what is wrong with the folder."""
    on = "went on" if engine.goes_on(60) else "DID NOT GO ON"
    return f"{on}; {ended_well(engine)}"


def full(base: Path) -> str:
    """No room, then room."""
    root = mounted("tmpfs", "tmpfs", base / "full", "size=8m")
    engine = begun(root / "sessions")
    filler = root / "filler"
    with filler.open("wb") as file:
        try:
            while True:
                os.write(file.fileno(), bytes(4096))
        except OSError:
            pass
    said = waits(engine)
    filler.unlink()
    return f"{said} → {over(engine)}"


def inodes(base: Path) -> str:
    """No inode, then inodes."""
    root = mounted("tmpfs", "tmpfs", base / "inodes", "size=64m,nr_inodes=400")
    engine = begun(root / "sessions")
    (root / "fillers").mkdir()
    number = 0
    try:
        while True:
            number += 1
            (root / "fillers" / str(number)).touch()
    except OSError:
        pass
    said = waits(engine)
    shutil.rmtree(root / "fillers")
    return f"{said} → {over(engine)}"


def overlay(base: Path) -> str:
    """Every file is copied up at its first change."""
    layers = base / "layers"
    engine = begun(layers / "lower")
    ended_well(engine)
    for name in ("upper", "work"):
        (layers / name).mkdir()
    options = ",".join(
        f"{name}dir={layers / folder}"
        for name, folder in (("lower", "lower"), ("upper", "upper"), ("work", "work"))
    )
    root = mounted("overlay", "overlay", base / "overlay", options)
    engine = Engine(root / "s")
    engine.start()
    time.sleep(4)  # a heartbeat, which looks whether the folder is still the one that was opened
    return over(engine)


def readonly(base: Path) -> str:
    """Reading works, and beginning to write is refused with a sentence."""
    root = mounted("tmpfs", "tmpfs", base / "readonly", "size=32m")
    engine = begun(root / "sessions")
    ended_well(engine)
    run("mount", "-o", "remount,ro", root)
    attempts = len(SessionReader.open(engine.folder).state.attempts)
    try:
        SessionWriter.open(engine.folder).close()
    except StoreError as error:
        return f"{attempts} attempts read; {error}".replace(str(engine.folder), "…")
    return "IT WAS OPENED"


def image(base: Path, name: str) -> tuple[Path, Path]:
    """(image file in memory with an ext4, where it is mounted)."""
    store = mounted("tmpfs", "tmpfs", base / f"{name}-store", "size=200m")
    file = store / "image"
    with file.open("wb") as disk:
        disk.truncate(96 << 20)
    run("mkfs.ext4", "-q", "-F", file)
    return file, mounted("ext4", file, base / name, "loop")


def frozen(base: Path) -> str:
    """Writes do not return until the file system is thawed."""
    _, root = image(base, "frozen")
    engine = begun(root / "sessions")
    run("fsfreeze", "--freeze", root)
    try:
        said = waits(engine)
    finally:
        run("fsfreeze", "--unfreeze", root)
    return f"{said} → {over(engine)}"


def away(base: Path) -> str:
    """The server of a FUSE file system dies; the engine waits, ends, or is started again."""
    (base / "behind").mkdir()
    (base / "away").mkdir()
    run("bindfs", base / "behind", base / "away")
    engine = begun(base / "away" / "sessions")
    engine.reader.standing()  # as a screen that is open asks once a second
    servers = subprocess.run(["pgrep", "-f", f"bindfs {base}"], capture_output=True, text=True)
    for pid in servers.stdout.split():
        os.kill(int(pid), signal.SIGKILL)
    said = waits(engine)
    time.sleep(7)  # two heartbeats
    run("umount", "-l", base / "away")
    run("bindfs", base / "behind", base / "away")
    ended = not engine.goes_on(30)
    if ended and engine.process is not None:
        engine.process.kill()
        engine.process.wait()
        engine.start()  # as a keeper does
    return f"{said} → {'ended, started again, ' if ended else ''}{over(engine)}"


def moved(base: Path) -> str:
    """Nothing may be written into what a link comes to point at."""
    real, other = base / "real", base / "other"
    engine = begun(real)
    ended_well(engine)
    shutil.copytree(real / "s", other / "s")
    link = base / "link"
    link.symlink_to(real / "s")
    engine = Engine(link)
    engine.start()
    before = {p: p.stat().st_mtime_ns for p in (other / "s").rglob("*")}
    link.unlink()
    link.symlink_to(other / "s")
    assert engine.process is not None
    status = engine.process.wait(60)
    same = before == {p: p.stat().st_mtime_ns for p in (other / "s").rglob("*")}
    found = "; ".join(flaws(real / "s")) or "nothing for avo doctor"
    return f"ended ({status}); the other is {'untouched' if same else 'CHANGED'}; {found}"


def copied(base: Path) -> str:
    """A copy that was made while it was written opens, says that its run is lost, and goes on."""
    engine = begun(base / "from")
    outcomes = []
    (base / "copies").mkdir()
    for number in range(5):
        copy = base / "copies" / f"c{number}"
        run("cp", "-a", engine.folder, copy)
        reader = SessionReader.open(copy)
        if reader.run_state() != "lost":
            outcomes.append(f"IT SAYS {reader.run_state()}")
        with SessionWriter.open(copy) as writer:
            assert writer.state.session.name == copy.name
        outcomes += flaws(copy)
    return f"5 copies: {'; '.join(outcomes) or 'whole'}; {ended_well(engine)}"


def power(base: Path, cuts: int = 20) -> str:
    """What was told before the cut is there, and the session can be written on."""
    file, root = image(base, "power")
    engine = begun(root / "sessions")
    chance, wrong, lost = random.Random(5), list[str](), 0
    cut = base / "cut"
    cut.mkdir()
    for number in range(cuts):
        until = time.monotonic() + chance.uniform(0.05, 0.8)
        promised = 0
        while time.monotonic() < until:
            for event in engine.reader.poll():
                if event.seq and not isinstance(event, DEFERRED):
                    promised = event.seq
            time.sleep(0.002)
        assert engine.process is not None
        os.kill(engine.process.pid, signal.SIGSTOP)
        snapshot = file.with_name("snapshot")
        shutil.copyfile(file, snapshot)
        os.kill(engine.process.pid, signal.SIGCONT)
        run("mount", "-t", "ext4", "-o", "loop", snapshot, cut)
        try:
            folder = cut / "sessions" / "s"
            seen = SessionReader.open(folder).state.session.applied
            engine.finished()
            lost += engine.reader.state.session.applied - seen
            if seen < promised:
                wrong.append(f"cut {number}: {seen} of {promised} promised events")
            SessionWriter.open(folder).close()
            wrong += flaws(folder)
        finally:
            run("umount", cut)
            snapshot.unlink()
    told = "; ".join(wrong) or "every promised event was there"
    return f"{cuts} cuts: {told}; {ended_well(engine)}"


CASES: dict[str, Callable[[Path], str]] = {
    "full": full, "inodes": inodes, "overlay": overlay, "readonly": readonly, "frozen": frozen,
    "away": away, "moved": moved, "copied": copied, "power": power,
}  # fmt: skip


def main() -> int:
    """Try the cases; 1 where something failed: what failed is in capitals."""
    parser = argparse.ArgumentParser(description="Real file systems that fail.")
    parser.add_argument("--only", help="cases, with commas")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if not given.inside:
        module = ["-m", "benchmarks.disk_faults.file_systems", *sys.argv[1:], "--inside"]
        return subprocess.call(["unshare", "--mount", sys.executable, *module])
    base = Path(tempfile.mkdtemp(prefix="file-systems-"))
    mounted("tmpfs", "tmpfs", base / "all")
    failed = False
    for name in given.only.split(",") if given.only else CASES:
        try:
            outcome = CASES[name](base / "all")
        except Exception as error:
            outcome = f"FAILED: {error!r}"
        failed = failed or any(word.isupper() and len(word) > 3 for word in outcome.split())
        print(f"| {name} | {outcome} |", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
