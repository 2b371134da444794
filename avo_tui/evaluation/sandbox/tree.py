"""The process tree below the launcher: measures its resource use, and ends it."""

# pathlib would take longer to import than the rest of the launcher
# ruff: noqa: PTH116, PTH123, PTH208

from __future__ import annotations

import os
import time

TYPE_CHECKING = False  # `typing` would cost each command 15 ms
if TYPE_CHECKING:
    from typing import Any

_PAGE = os.sysconf("SC_PAGE_SIZE")


def everyone_else() -> list[int]:
    """All processes of this pid namespace but its first: what an init watches."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and name != "1"]


def descendants(root: int) -> list[int]:
    """Every process below `root`, zombies included, parents before children."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                parent = int(file.read().rpartition(b")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):  # ended while we looked
            continue
        children.setdefault(parent, []).append(int(name))
    pids: list[int] = []
    waiting = [root]
    while waiting:
        below = children.get(waiting.pop(), [])
        pids += below
        waiting += below
    return pids


def threads_of(user: int) -> int:
    """Threads that `user` has on the whole machine: what RLIMIT_NPROC is compared with."""
    total = 0
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            if os.stat(f"/proc/{entry}").st_uid == user:
                total += len(os.listdir(f"/proc/{entry}/task"))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return total


def _resident(pids: list[int]) -> int:
    """Resident bytes over the processes; shared pages are counted once per process."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/statm", "rb") as file:
                total += int(file.read().split()[1]) * _PAGE
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total


def _stored(folder: str, limit: int, most_entries: int) -> int:
    """Bytes on disk below `folder`; stops counting at `limit`, and counts too many entries as
    more."""
    total = entries = 0
    waiting = [folder]
    while waiting and total <= limit:
        try:
            with os.scandir(waiting.pop()) as scan:
                for entry in scan:
                    entries += 1
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entries > most_entries:
                        return limit + 1
        except OSError:  # removed or closed to us while we looked
            continue
    return total


def full(folder: str, spec: dict[str, Any]) -> bool:
    """Whether more than the allowed bytes or entries are stored below `folder`."""
    limit: int = spec["scratch_bytes"]
    return _stored(folder, limit, spec["scratch_entries"]) > limit


def excess(pids: list[int], folder: str, spec: dict[str, Any]) -> str | None:
    """The first limit that these processes have passed: memory, processes or scratch."""
    if len(pids) > spec["processes"] + 4:
        return "processes"
    if _resident(pids) > spec["memory_bytes"]:
        return "memory"
    return "scratch" if full(folder, spec) else None


def end(root: int, main: int) -> int | None:
    """Kills and reaps everything below `root` until nothing is left.

    Returns the wait status of `main`, a child of `root`. A process that forks faster than it is
    killed is stopped first; each pass finds whatever was reparented to us, the subreaper. Where
    `main` is the first process of a pid namespace, the kernel ends the others with it.
    """
    state: int | None = None
    deadline = time.monotonic() + 10
    while True:
        try:
            pid, code = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return state
        if pid == main:
            state = code
        if pid != 0:
            continue
        pids = descendants(root)
        for number in (19, 9):
            for victim in pids:
                try:
                    os.kill(victim, number)
                except (ProcessLookupError, PermissionError):
                    continue
        if time.monotonic() > deadline:
            return state
        time.sleep(0.001)
