"""Times and stops a candidate that runs in another process.

Between two calls every thread of the candidate is stopped, so it cannot run while the harness
writes inputs, reads outputs or times a baseline. A call starts when the process is woken. All
processor time that the process uses from then until it is stopped again, according to the Linux
kernel, belongs to that call. The candidate therefore has no time in which it could work uncounted.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from avo_tui.evaluation.backends.cpp.elf import SharedObject
from avo_tui.evaluation.backends.cpp.reports import Reports
from avo_tui.evaluation.backends.cpp.time_account import Books, TimeAccount
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.sandbox import tree
from avo_tui.evaluation.sandbox.policy import Outcome
from avo_tui.evaluation.sandbox.running_command import Running

_LOOK_MILLISECONDS = 50
"""Milliseconds between two checks whether a process that has not answered computes or sleeps."""
_STOP_SECONDS = 60.0
"""Seconds for a process to stop. It cannot prevent that, so a longer time means a faulty
machine."""
_STOP_AGAIN_SECONDS = 0.05
"""Seconds after which a process that did not stop is told again, as something may have woken it."""
_ADVICE_SECONDS = 10.0
"""Limit of a request that calls no candidate. Nobody is accused of having been slow there: the time
is charged to the call that follows. Linux accounts more to a process than its own instructions,
such as finding memory at its first touch of a page, or in a virtual machine the host's work to back
that page (`benchmarks/first_touch.py`)."""


class Stopped(Exception):  # noqa: N818  what a candidate did, not an error of ours
    """The process ended, hung or broke the protocol during a request."""

    def __init__(self, kind: str, words: list[str]) -> None:
        """`kind`: fault, trap, clock, unloadable, ended, hung, nonsense, loading; `words`: facts.

        `loading`: it used too much processor time while it was loaded. Facts of `hung` are the
        limit and the time that passed, in seconds.
        """
        super().__init__(f"{kind} {' '.join(words)}")
        self.kind = kind
        self.words = words
        self.owner: Running | None = None
        """The process concerned; None until `owned` sets it."""
        self.outcome: Outcome | None = None
        """How the process ended, as reported by the sandbox."""


@contextlib.contextmanager
def owned(running: Running) -> Iterator[None]:
    """Adds the process concerned to a Stopped exception that passes through."""
    try:
        yield
    except Stopped as stop:
        stop.owner = stop.owner or running
        raise


@dataclass(frozen=True)
class Call:
    """One call of the candidate as the harness's clocks saw it, in nanoseconds.

    `passed`: from waking the process to its answer. `used`: processor time of all its threads from
    waking it until all of them were stopped again. `asleep`: how long all its threads slept
    meanwhile, to within 50 ms; a kernel of one thread has no reason to.
    """

    passed: int
    used: int
    asleep: int = 0


class Runner:
    """A candidate's process and the conversation with it. Its methods block: see `in_thread`."""

    def __init__(
        self, running: Running, channel: socket.socket, threads: int, image: SharedObject | None
    ) -> None:
        """Owns `channel`; `image`: what is loaded there, None for no candidate at all."""
        self.running = running
        self.threads = threads
        self.load_seconds = 0.0
        self.confined = True
        self.reported = False
        """True if the kernel reports forbidden calls to the harness; otherwise it kills the
        process."""
        self._channel = channel
        self._image = image
        self._reports: Reports | None = None
        self._process = -1
        self._state = -1
        self._pid = 0
        self._counted = 0
        self._asleep = 0.0
        self._poll = select.poll()
        self._poll.register(channel, select.POLLIN)
        self._buffer = b""

    @property
    def pid(self) -> int:
        """Of the process that calls the candidate; 0 before `greet`."""
        return self._pid

    def used(self) -> int:
        """Processor time of all threads of the process so far, in nanoseconds."""
        try:
            # The clock of another process, as clock_getcpuclockid(3) makes it.
            return time.clock_gettime_ns((~self._pid << 3) | 2)
        except OSError as error:
            raise Stopped("ended", []) from error

    def greet(self, seconds: float) -> None:
        """Wait until the candidate is loaded and the filter is active, then stop the process.

        Raises Stopped for a candidate that cannot be loaded or does something forbidden meanwhile.
        """
        words = self._loading(seconds)
        inside = [p for p in tree.descendants(self.running.launcher_pid) if _program(p) == "runner"]
        if not inside:
            raise Stopped("ended", [])
        self._pid = inside[-1]
        try:
            self._process = os.pidfd_open(self._pid)
            self._state = os.open(f"/proc/{self._pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise Stopped("ended", []) from error
        self.confined = words == ["1"]
        began = self.used()
        if self._image is not None:
            self._send("load")
        self._expect("ready", seconds)
        if self._reports is not None:
            self._reports.loaded()
        self._stop()
        self._counted = self.used()
        self.load_seconds = (self._counted - began) / 1e9

    def _loading(self, seconds: float) -> list[str]:
        """The words of the first line, which the descriptor of the reports comes with."""
        self._wait(TimeAccount(seconds))
        data, descriptors, _, _ = socket.recv_fds(self._channel, 4096, 1)
        if descriptors:
            executable = self._image.executable_segments if self._image is not None else 0
            self._reports = Reports(descriptors[0], executable)
            self._poll.register(descriptors[0], select.POLLIN)
            self.reported = True
        if not data:
            raise Stopped("ended", [])
        self._buffer += data
        return self._expect("loading", seconds)

    def bind(self, slot: int, arguments: list[str]) -> int:
        """Map a slot's arguments at new addresses; returns the processor time it took in
        nanoseconds."""
        before = self._counted
        self._exchange(f"bind {slot} {' '.join(arguments)}", "bound", _ADVICE_SECONDS)
        return self._counted - before

    def call(self, slot: int, seconds: float) -> Call:
        """Call the candidate once, with a time limit of `seconds`."""
        return self._timed(f"call {slot}", seconds)

    def idle(self) -> Call:
        """A call without a candidate: its cost is subtracted from the time of every call."""
        return self._timed("idle", _ADVICE_SECONDS)

    def _timed(self, line: str, seconds: float) -> Call:
        before = self._counted
        passed = self._exchange(line, "done", seconds)
        return Call(passed, self._counted - before, round(self._asleep * 1e9))

    def clock_rate(self, milliseconds: int) -> float:
        """Cycles per second of the processor; only for a process without a candidate."""
        self._send(f"spin {milliseconds}")
        self._resume()
        rate = float(self._expect("hz", _ADVICE_SECONDS)[0])
        self._stop()
        self._counted = self.used()
        return rate

    def _exchange(self, line: str, answer: str, seconds: float) -> int:
        """Wake the process for one request; returns nanoseconds until the answer. It is stopped
        afterwards."""
        if self._buffer or self._poll.poll(0):
            self._unasked()
        self._send(line)
        began = time.perf_counter_ns()
        self._resume()
        self._expect(answer, seconds)
        passed = time.perf_counter_ns() - began
        self._stop()
        self._counted = self.used()
        return passed

    def _unasked(self) -> None:
        if not self._buffer:
            self._expect("", 1.0)  # its last words, if it is gone
        raise Stopped("nonsense", ["it answered without being asked"])

    def _send(self, line: str) -> None:
        try:
            self._channel.sendall(line.encode() + b"\n")
        except OSError as error:
            raise Stopped("ended", []) from error

    def _resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        try:
            signal.pidfd_send_signal(self._process, number)
        except OSError as error:
            raise Stopped("ended", []) from error

    def _stop(self) -> None:
        """Stops all threads and waits until they are."""
        self._signal(signal.SIGSTOP)
        began = told = time.monotonic()
        while not self._all("Tt"):
            now = time.monotonic()
            if now - began > _STOP_SECONDS:
                raise EvaluatorError(
                    f"the machine did not stop a candidate's process within {_STOP_SECONDS:.0f} s"
                )
            if now - told > _STOP_AGAIN_SECONDS:
                self._signal(signal.SIGSTOP)
                told = now
            os.sched_yield()

    def _all(self, wanted: str) -> bool:
        """Whether the state of every thread, such as R, S or T, is one of those wanted."""
        states = [_state(self._state)]
        if self.threads > 1 and states[0] in wanted:
            states += self._other_states()
        return all(state in wanted for state in states)

    def _other_states(self) -> list[str]:
        states = []
        for path in _tasks(self._pid):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                states.append(path.read_bytes().rpartition(b")")[2][1:2].decode())
        return states

    def _doing(self) -> str:
        """S if all threads sleep, T if one was stopped by somebody else, else R."""
        if not self._pid:
            return "R"
        with contextlib.suppress(Stopped):
            states = [_state(self._state), *self._other_states()]
            if "T" in states:
                return "T"
            if all(state == "S" for state in states):
                return "S"
        return "R"

    def _wait(self, patience: TimeAccount) -> None:
        """Until something can be read from the process. Raises Stopped, see `_look`."""
        while True:
            ready = dict(self._poll.poll(_LOOK_MILLISECONDS))
            if self._reports is not None and self._reports.descriptor in ready:
                self._take_report(self._reports, ready[self._reports.descriptor])
            if self._channel.fileno() in ready:
                return
            self._look(patience)

    def _look(self, patience: TimeAccount) -> None:
        """Update the time account of a request, if that is due.

        Raises Stopped `hung` once the limit is exceeded. A process stopped by somebody else is
        woken.
        """
        now = time.monotonic()
        if now - patience.looked < _LOOK_MILLISECONDS / 1e3:
            return
        doing = self._doing()
        if doing == "T":
            self._resume()
        elif doing == "S" and self._poll.poll(0):
            doing = "R"  # one that answers just now sleeps too: it waits for the next request
        patience.look(Books.read(self._pid), now - patience.looked, doing)
        if patience.over:
            raise Stopped("hung", [f"{patience.limit:.1f}", f"{patience.passed:.1f}"])

    def _take_report(self, reports: Reports, event: int) -> None:
        if event & select.POLLIN:
            name = reports.take()
            if name is not None:
                raise Stopped("trap", [name])
        elif event & (select.POLLHUP | select.POLLNVAL):
            # The process is gone; its last words can be read from the channel.
            self._poll.unregister(reports.descriptor)
            reports.close()
            self._reports = None

    def _read_line(self, seconds: float) -> str:
        patience = TimeAccount(seconds)
        while b"\n" not in self._buffer:
            self._wait(patience)
            try:
                data = self._channel.recv(4096)
            except OSError as error:
                raise Stopped("ended", []) from error
            if not data:
                raise Stopped("ended", [])
            self._buffer += data
            if len(self._buffer) > 65536:
                raise Stopped("nonsense", ["it flooded the harness with answers"])
            if b"\n" not in self._buffer:  # only a part of an answer
                self._look(patience)
        self._asleep = patience.asleep
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode(errors="replace")

    def _expect(self, answer: str, seconds: float) -> list[str]:
        words = self._read_line(seconds).split(" ")
        if words[0] == answer:
            return words[1:]
        # Once it is loaded, only a candidate that forges the message calls itself unloadable.
        if words[0] in ("fault", "clock") or (words[0] == "unloadable" and answer == "ready"):
            raise Stopped(words[0], words[1:])
        raise Stopped("nonsense", [f"it answered {' '.join(words)[:80]!r}"])

    def processes_and_threads(self) -> tuple[int, int]:
        """How many processes the candidate's tree has, and threads the innermost one has."""
        pids = [p for p in tree.descendants(self.running.launcher_pid) if _program(p) == "runner"]
        threads = max((len(_tasks(p)) for p in pids), default=0)
        return len(pids), threads

    def close(self) -> None:
        """Release the resources; the sandbox ends the process."""
        self._channel.close()
        if self._reports is not None:
            self._reports.close()
        for descriptor in (self._process, self._state):
            if descriptor >= 0:
                os.close(descriptor)


def _program(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _tasks(pid: int) -> list[Path]:
    try:
        return [task / "stat" for task in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return []


def _state(descriptor: int) -> str:
    """The one-letter state in an open /proc/PID/stat; raises Stopped where the process is gone."""
    try:
        text = os.pread(descriptor, 512, 0)
    except OSError as error:
        raise Stopped("ended", []) from error
    state = text.rpartition(b")")[2][1:2].decode()
    if state in ("Z", "X", ""):
        raise Stopped("ended", [])
    return state
