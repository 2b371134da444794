"""Decides how long to wait for an answer, separating the candidate's time from the machine's.

A limit in wall-clock time would fail an honest candidate on a busy machine. A limit in processor
time would never end a candidate that sleeps, and lets one of several threads spin for many times
the limit. So the elapsed time is divided by the Linux kernel's accounting. The candidate is charged
with the processor time of its busiest thread, and with the time in which all its threads slept. The
machine is charged with waiting for a processor (`/proc/PID/task/TID/schedstat`, see the kernel's
Documentation/scheduler/sched-stats.rst), with time that the host took from a virtual machine
(`steal` of `/proc/stat`), and with time in which another process stopped the candidate.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

UNEXPLAINED = 2.0
"""Multiple of the limit that may pass without being charged to anybody, for example while waiting
for a page that was swapped out."""
MOST = 20.0
"""Multiple of the limit that may pass in total: a candidate can yield its processor for ever
(sched_yield), and an honest one needs only a small part of its limit."""
WITHOUT_BOOKS = 8.0
"""Multiple of the limit that may pass on a system that does not account for waiting times."""


@dataclass(frozen=True)
class Books:
    """The kernel's accounting of a process since it began, in seconds."""

    used: dict[int, float] = field(default_factory=dict)
    """Thread → processor time."""
    queued: dict[int, float] = field(default_factory=dict)
    """Thread → time in which it was ready and waited for a processor; empty if not recorded."""
    stolen: float = 0.0
    """Time that a virtual machine's host took, summed over all processors this process may use."""

    @classmethod
    def read(cls, pid: int) -> Books:
        """The current accounting of one process; empty if it is gone."""
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
    """Processor time of a thread, from fields 14 and 15 of its `stat`; accurate to a clock tick."""
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
class TimeAccount:
    """The time account of one request, in seconds."""

    limit: float
    """Time limit of the candidate for its answer."""
    looked: float = field(default_factory=time.monotonic)
    """Monotonic time of the last update; initially of the account's creation."""
    books: Books | None = None
    """The accounting at the beginning of the request; None before that."""
    passed: float = 0.0
    asleep: float = 0.0
    """Time in which all threads slept."""
    stopped: float = 0.0
    """Time in which a thread was stopped by something other than the harness."""
    computed: float = 0.0
    """Processor time of the busiest thread."""
    machine: float = 0.0
    """Upper limit of the time in which threads waited for a processor; several may wait at once."""

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
