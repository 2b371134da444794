"""What a call costs where the kernel does nothing, measured beside the calls that are timed.

Waking a process, its answer and stopping it are accounted to the process, and cost two to five
times as much on a busy machine, or with cold caches, as in a quick loop on a quiet one. So while
candidates are timed, a kernel that does nothing is called in turn with them, through the same door,
and the median of its latest calls is taken off theirs.
"""

from __future__ import annotations

import statistics
from collections import deque

from avo_tui.domain.candidate import Candidate
from avo_tui.evaluation.backends.cpp import glue
from avo_tui.evaluation.backends.cpp.machine import Calibration
from avo_tui.evaluation.backends.cpp.timed_calls import Call
from avo_tui.evaluation.task import Task

_LATEST = 15
"""Calls that the overhead is taken from: it follows the machine's load within as many turns."""


def empty_kernel(task: Task) -> Candidate:
    """A kernel of the task that returns at once."""
    declared = glue.header(task).rstrip().removesuffix(";")
    return Candidate(files={"empty.cpp": f"{declared} {{}}\n"})


class Overhead:
    """What is not a kernel's own in the time of a call, by the latest calls of an empty one."""

    def __init__(self, calibration: Calibration) -> None:
        """Starts from what was measured when the worker began."""
        self._calibration = calibration
        self._calls: deque[Call] = deque(maxlen=_LATEST)
        self._mapped: dict[tuple[str, ...], deque[int]] = {}

    def note(self, arguments: tuple[str, ...], mapped: int, call: Call) -> None:
        """One call of the empty kernel; `mapped`: nanoseconds that binding `arguments` took."""
        self._calls.append(call)
        self._mapped.setdefault(arguments, deque(maxlen=_LATEST)).append(mapped)

    @property
    def exchange(self) -> Call:
        """The part of a call's times in which no kernel computes."""
        if not self._calls:
            return self._calibration.exchange
        passed = statistics.median(call.passed for call in self._calls)
        return Call(int(passed), int(statistics.median(call.used for call in self._calls)))

    @property
    def resolution(self) -> float:
        """Nanoseconds below which a call's own time cannot be told from the overhead's scatter.

        A kernel that takes less counts as taking so long: what is left of it after the overhead
        is chance, and could be nothing at all.
        """
        if len(self._calls) < 2:
            return 1.0
        used = [call.used for call in self._calls]
        return max(1.0, statistics.median(used) - statistics.quantiles(used, n=5)[0])

    def mapping(self, arguments: tuple[str, ...]) -> float:
        """Nanoseconds of processor time that binding these words takes."""
        seen = self._mapped.get(arguments)
        before = self._calibration.mapping[arguments]
        return max(before, statistics.median(seen)) if seen else before
