"""Who measures on this machine now, by the locks that measurements hold."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
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


def holder(lock: Path, locks: Path = _LOCKS) -> str:
    """Who holds a lock; of several that share it, one that does not wait for a further lock."""
    try:
        held = _held(locks.read_text())
        tickets = [e.inode() for queue in lock.parent.glob("*.queue") for e in os.scandir(queue)]
        sharing = held.get(lock.stat().st_ino, [])
    except (OSError, ValueError):
        return "another process"
    waiting = {process for ticket in tickets for process in held.get(ticket, [])}
    known = [p for p in sharing if p > 0]
    measuring = [p for p in known if p not in waiting] or known
    return _who(measuring[:1])


def _held(text: str) -> dict[int, list[int]]:
    """Number of each file that is locked by flock → the processes that hold it."""
    held: dict[int, list[int]] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 6 and words[1] == "FLOCK":
            held.setdefault(int(words[5].rpartition(":")[2]), []).append(int(words[4]))
    return held


def _who(processes: Sequence[int]) -> str:
    """The session that the last of these measures for, where that can be seen, else its number."""
    if not processes or processes[-1] <= 0:  # of another container, say
        return "another process"
    process = processes[-1]
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


def _waiting(file: Path, held: Mapping[int, Sequence[int]]) -> str:
    """How many wait for a device: the tickets in its queue that somebody alive holds."""
    try:
        tickets = [entry.inode() for entry in os.scandir(file.with_suffix(".queue"))]
    except OSError:
        return ""
    count = sum(ticket in held for ticket in tickets)
    return f", {count} more waiting" if count > 0 else ""
