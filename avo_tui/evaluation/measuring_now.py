"""Who measures on this machine now, by the locks that measurements hold."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from avo_tui.evaluation.paths import lock_file

ENGINE_LOCK = "engine.lock"
"""Name of the file in a session's folder that its engine keeps open; see `store.layout`."""

_LOCKS = Path("/proc/locks")


def measuring_text(locks: Path = _LOCKS) -> str:
    """Which devices are in use by whom, in a phrase; "" if none is, or the system does not tell.

    Nothing is locked to find out, so nobody who waits for a device is disturbed. `locks` is the
    list of held locks as Linux gives it.
    """
    try:
        held = _held(locks.read_text())
        folder = lock_file("any").parent
        files = sorted(folder.glob("*.lock"))
    except (OSError, ValueError):
        return ""
    phrases = []
    for file in files:
        try:
            number = file.stat().st_ino
        except OSError:
            continue
        if number in held:
            phrases.append(f"{file.stem} is in use by {_who(held[number])}{_waiting(file, held)}")
    return "; ".join(phrases)


def _held(text: str) -> dict[int, int]:
    """Number of each file that is locked by flock → the process that holds it."""
    held: dict[int, int] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 6 and words[1] == "FLOCK":
            held[int(words[5].rpartition(":")[2])] = int(words[4])
    return held


def _who(process: int) -> str:
    """The session that a process measures for, where that can be seen, else the process."""
    session = _session(process)
    return f"session {session} (process {process})" if session else f"process {process}"


def _session(process: int) -> str:
    """Name of the session whose engine started a process; "" if that cannot be seen.

    However the engine was started, it keeps its lock in the session's folder open.
    """
    try:
        status = Path(f"/proc/{process}/stat").read_text()
        parent = int(status.rpartition(")")[2].split()[1])
        for file in Path(f"/proc/{parent}/fd").iterdir():
            with contextlib.suppress(OSError):
                path = file.readlink()
                if path.name == ENGINE_LOCK:
                    return path.parent.name
    except (OSError, ValueError, IndexError):
        pass
    return ""


def _waiting(file: Path, held: dict[int, int]) -> str:
    """How many wait for a device: the tickets in its queue that somebody alive holds."""
    try:
        tickets = [entry.inode() for entry in os.scandir(file.with_suffix(".queue"))]
    except OSError:
        return ""
    count = sum(ticket in held for ticket in tickets)
    return f", {count} more waiting" if count > 0 else ""
