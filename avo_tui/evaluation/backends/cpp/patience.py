"""How long an answer is waited for: what a candidate did with the time, and what the machine took.

A limit in wall-clock time accuses an honest candidate on a busy machine; one in processor time
never ends a candidate that sleeps, and lets one of several threads spin for many times the limit.
So the time that passes is divided by the Linux kernel's books. To the candidate's account go the
time on a processor of its busiest thread, and the time in which all its threads slept. To the
machine's account go waiting for a processor (`/proc/PID/task/TID/schedstat`, see the kernel's
Documentation/scheduler/sched-stats.rst), what the host took from a virtual machine (`steal` of
`/proc/stat`), and being stopped by somebody else.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

UNEXPLAINED = 2.0
"""Times the limit that may pass in no account, such as waiting for a page that was swapped out."""
MOST = 20.0
"""Times the limit that may pass whoever it is charged to: a candidate can give its processor away
for ever (sched_yield), and an honest one needs a small part of its limit."""
WITHOUT_BOOKS = 8.0
"""Times the limit that may pass where the system keeps no account of waiting for a processor."""


@dataclass(frozen=True)
class Books:
    """What the kernel has on record, in seconds, since a process began."""

    used: dict[int, float] = field(default_factory=dict)
    """Thread → time on a processor."""
    queued: dict[int, float] = field(default_factory=dict)
    """Thread → time that it could have run and waited for a processor; empty if not recorded."""
    stolen: float = 0.0
    """Time that the host of a virtual machine took, over all processors that we may use."""

    @classmethod
    def read(cls, pid: int) -> Books:
        """The books of one process as they are now; empty ones where it is gone."""
        used: dict[int, float] = {}
        queued: dict[int, float] = {}
        with contextlib.suppress(OSError, ValueError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    used[int(task.name)] = _processor_time(task)
                    on, waited, _ = (task / "schedstat").read_text().split()
                    used[int(task.name)] = int(on) / 1e9
                    queued[int(task.name)] = int(waited) / 1e9
        return cls(used, queued, _stolen())


def _processor_time(task: Path) -> float:
    """Of a thread, from fields 14 and 15 of its `stat`: exact to a tick, and always there."""
    fields = (task / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _stolen() -> float:
    ticks = 0
    with contextlib.suppress(OSError, ValueError, IndexError):
        ours = os.sched_getaffinity(0)
        for line in Path("/proc/stat").read_text().splitlines():
            name, *fields = line.split()
            if name.startswith("cpu") and name != "cpu" and int(name[3:]) in ours:
                ticks += int(fields[7])
    return ticks / os.sysconf("SC_CLK_TCK")


@dataclass
class Patience:
    """The account of one request, in seconds."""

    limit: float
    """What the candidate may take for its answer."""
    looked: float = field(default_factory=time.monotonic)
    """When the last entry was made, by the monotonic clock; at first, when it was opened."""
    books: Books | None = None
    """As they were when the account was opened; None before that."""
    passed: float = 0.0
    asleep: float = 0.0
    """In which all threads slept."""
    stopped: float = 0.0
    """In which a thread was stopped, by somebody else than the harness."""
    computed: float = 0.0
    """Of the thread that computed most."""
    machine: float = 0.0
    """In which the machine kept threads waiting: at most, since several may wait at once."""

    def look(self, now: Books, seconds: float, state: str) -> None:
        """Makes an entry of the `seconds` since the last one.

        `state`: S if all threads sleep now, T if one is stopped, R otherwise.
        """
        if self.books is None:
            self.books = now
        self.looked += seconds
        self.passed += seconds
        self.asleep += seconds if state == "S" else 0.0
        self.stopped += seconds if state == "T" else 0.0
        before = self.books
        self.computed = max((t - before.used.get(n, 0.0) for n, t in now.used.items()), default=0.0)
        queued = sum(t - before.queued.get(n, 0.0) for n, t in now.queued.items())
        self.machine = queued + max(0.0, now.stolen - before.stolen)

    @property
    def over(self) -> bool:
        """True once the candidate has used up its limit."""
        if self.computed + self.asleep > self.limit or self.passed > MOST * self.limit:
            return True
        if self.books is None or not self.books.queued:
            return self.passed > WITHOUT_BOOKS * self.limit
        return self.passed - self.machine - self.stopped > UNEXPLAINED * self.limit
