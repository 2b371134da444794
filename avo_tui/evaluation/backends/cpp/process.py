"""One disposable process that runs one candidate, is timed from here, and stopped between calls.

Between two calls every thread of the candidate is stopped, so it cannot run while the harness
writes inputs, reads outputs or times a baseline. A call starts when the process is woken. All
processor time that the process uses from then until it is stopped again, according to the Linux
kernel, belongs to that call. The candidate therefore has no time in which it could work uncounted.

Nor can it reach the channel over which calls are asked for and answered: see native/runner.cpp. So
what waking and answering cost is measured in its own process, without an instruction of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import mmap
import os
import select
import signal
import socket
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from avo_tui.evaluation.backends.cpp.compiler import copy_into
from avo_tui.evaluation.backends.cpp.elf import SharedObject, read_shared_object
from avo_tui.evaluation.backends.cpp.memory import PAGE, Memory, Tensor
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.sandbox import tree
from avo_tui.evaluation.sandbox.calls import name_of, number_of
from avo_tui.evaluation.sandbox.policy import MIB, Job, Limits, Outcome
from avo_tui.evaluation.sandbox.run import Sandbox
from avo_tui.evaluation.sandbox.running_command import Running
from avo_tui.evaluation.sandbox.seccomp import REFUSED
from avo_tui.evaluation.task import Task

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


_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_NOTIFICATION = struct.Struct("=QIIiIQ6Q")  # id, pid, flags, nr, arch, instruction, arguments
_RESPONSE = struct.Struct("=QqiI")  # id, value, error, flags
_CONTINUE = 1


class Reports:
    """Receives the reports of one process's seccomp filter.

    While the dynamic loader maps the candidate, it may open one file and map `executable` segments
    of it; that happens before any instruction of the candidate runs. All further such calls,
    including those of constructors, are forbidden.
    """

    def __init__(self, descriptor: int, executable: int) -> None:
        """Owns `descriptor`; `executable`: how many executable segments the candidate has."""
        self.descriptor = descriptor
        self._left = Counter(
            {
                number_of("openat"): 1,
                number_of("getcwd"): 2,
                number_of("mmap"): executable,
                # Which of the two asks for the size of the file depends on the C library. After
                # loading they would tell the time: that a pipe was last written to, for one.
                number_of("fstat"): 1,
                number_of("newfstatat"): 1,
            }
        )

    def take(self) -> str | None:
        """Answers the next report: None if the call may pass, else the name of the call.

        A call that may not pass is never answered: its thread waits until the process is ended.
        A report that is withdrawn counts for nothing. That is no act of the candidate: when the
        process is stopped, frozen or traced meanwhile, Linux makes the same call once more.
        """
        buffer = bytearray(_NOTIFICATION.size)
        with contextlib.suppress(OSError):  # ENOENT: withdrawn before it was read, or answered
            fcntl.ioctl(self.descriptor, _RECEIVE, buffer)
            identity, _, _, number, _, _, *arguments = _NOTIFICATION.unpack(buffer)
            if self._left[number] <= 0 or not _reads_only(number, arguments):
                return _what(number, arguments)
            fcntl.ioctl(self.descriptor, _SEND, _RESPONSE.pack(identity, 0, 0, _CONTINUE))
            self._left[number] -= 1
            if self._left[number_of("mmap")] <= 0:
                self._left.clear()  # it is mapped: what comes now may be a constructor's
        return None

    def loaded(self) -> None:
        """From now on, treat every report as a forbidden call."""
        self._left.clear()

    def close(self) -> None:
        """Gives the descriptor back."""
        with contextlib.suppress(OSError):
            os.close(self.descriptor)


def _what(number: int, arguments: list[int]) -> str:
    # The C library sets two signals of its own before it starts the first thread.
    if number == number_of("rt_sigaction") and arguments[0] in (32, 33):
        return "clone"
    return name_of(number)


def _reads_only(number: int, arguments: list[int]) -> bool:
    if number == number_of("openat"):
        return arguments[2] & os.O_ACCMODE == os.O_RDONLY
    if number == number_of("mmap"):
        return not arguments[2] & mmap.PROT_WRITE
    return True


_EXCHANGE, _BIND, _CALL, _LOAD = 1, 2, 3, 4
"""Commands of native/runner.cpp: the lengths of their messages."""
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
    """An exchange with the process as the harness's clocks saw it, in nanoseconds.

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
        self,
        running: Running,
        channel: socket.socket,
        words: int,
        start: Start,
        image: SharedObject,
    ) -> None:
        """Owns `channel` and `words`, the descriptor of its last words; `image`: what is loaded."""
        self.running = running
        self.threads = start.threads
        self._memory = start.memory
        self._mapped: tuple[Tensor, ...] = ()
        self.load_seconds = 0.0
        self.confined = True
        self.reported = False
        """True if the kernel reports forbidden calls to the harness; otherwise it kills the
        process."""
        self._channel = channel
        self._words = words
        self._image = image
        self._reports: Reports | None = None
        self._process = -1
        self._state = -1
        self._pid = 0
        self._counted = 0
        self._poll = select.poll()
        self._poll.register(channel, select.POLLIN)
        self._poll.register(words, select.POLLIN)

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
        self._loading(seconds)
        inside = [p for p in tree.descendants(self.running.launcher_pid) if _program(p) == "runner"]
        if not inside:
            raise Stopped("ended", [])
        self._pid = inside[-1]
        try:
            self._process = os.pidfd_open(self._pid)
            self._state = os.open(f"/proc/{self._pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise Stopped("ended", []) from error
        began = self.used()
        self._send(_LOAD)
        self._answered(seconds, loading=True)
        if self._reports is not None:
            self._reports.loaded()
        self._stop()
        self._counted = self.used()
        self.load_seconds = (self._counted - began) / 1e9

    def _loading(self, seconds: float) -> None:
        """Takes the first message, which the descriptor of the reports comes with."""
        self._wait(TimeAccount(seconds))
        data, descriptors, _, _ = socket.recv_fds(self._channel, 4096, 1)
        if descriptors:
            self._reports = Reports(descriptors[0], self._image.executable_segments)
            self._poll.register(descriptors[0], select.POLLIN)
            self.reported = True
        if not data:
            raise Stopped("ended", [])
        self.confined = data == b"loading 1"

    def bind(self, calls: Sequence[Sequence[Tensor | int | float]]) -> int:
        """Map the tensors of some calls at new addresses, in place of those before.

        Returns the processor time that threads of the candidate used meanwhile, in nanoseconds: its
        first one runs none of its code there.
        """
        tensors = tuple(value for call in calls for value in call if isinstance(value, Tensor))
        self._memory.control(calls, [(t.address, t.place.pages_bytes) for t in self._mapped])
        self._mapped = tensors
        return self._exchange(_BIND, _ADVICE_SECONDS)[1]

    def call(self, seconds: float) -> Call:
        """Make the calls that were bound, with a time limit of `seconds` for all of them."""
        return self._exchange(_CALL, seconds)[0]

    def idle(self) -> tuple[Call, int]:
        """An exchange without a call, and what other threads used meanwhile, in nanoseconds."""
        return self._exchange(_EXCHANGE, _ADVICE_SECONDS)

    def _exchange(self, command: int, seconds: float) -> tuple[Call, int]:
        """Wake the process for one command. It is stopped afterwards."""
        if self._poll.poll(0):
            self._answered(_ADVICE_SECONDS)  # its last words, if it is gone
            raise Stopped("nonsense", ["it answered without being asked"])
        others = self._others()
        self._send(command)
        began = time.perf_counter_ns()
        self._resume()
        asleep = self._answered(seconds)
        passed = time.perf_counter_ns() - began
        self._stop()
        before, self._counted = self._counted, self.used()
        call = Call(passed, self._counted - before, round(asleep * 1e9))
        return call, self._others() - others

    def _others(self) -> int:
        """Nanoseconds of processor time of all threads but the first so far."""
        if self.threads == 1:
            return 0
        used = Books.read(self._pid).used
        return round(1e9 * sum(seconds for thread, seconds in used.items() if thread != self._pid))

    def _send(self, command: int) -> None:
        try:
            self._channel.sendall(b"." * command)
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
            if self._channel.fileno() in ready or self._words in ready:
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

    def _answered(self, seconds: float, *, loading: bool = False) -> float:
        """Waits for the answer; returns how long all threads slept meanwhile, in seconds."""
        patience = TimeAccount(seconds)
        self._wait(patience)
        try:
            data = self._channel.recv(2, socket.MSG_DONTWAIT)
        except BlockingIOError:
            data = b""  # it has something else to say
        except OSError as error:
            raise Stopped("ended", []) from error
        if len(data) == 1:
            return patience.asleep
        if data:
            raise Stopped("nonsense", ["it answered more than once"])
        raise self._last_words(patience, loading)

    def _last_words(self, patience: TimeAccount, loading: bool) -> Stopped:
        text = b""
        while b"\n" not in text:
            data = os.read(self._words, 4096)
            if not data or len(text) > 65536:
                return Stopped("ended", [])
            text += data
            self._look(patience)
        line = text.partition(b"\n")[0].decode(errors="replace")
        words = line.split(" ")
        # Once it is loaded, only a candidate that forges the message calls itself unloadable.
        if words[0] == "unloadable" and loading:
            return Stopped(words[0], words[1:])
        if words[0] == "clock":
            return Stopped(words[0], [])
        if words[0] == "fault":
            return Stopped(words[0], [*words[1:4], *self._nearest(words)])
        return Stopped("nonsense", [f"it said {line[:80]!r}"])

    def _nearest(self, words: list[str]) -> list[str]:
        """Name of the tensor beside which a fault was, how far behind its first byte, its bytes."""
        with contextlib.suppress(ValueError, IndexError):
            address = int(words[2], 16)
            for tensor in self._mapped:
                pages = tensor.place.pages_bytes
                if tensor.address - PAGE <= address < tensor.address + pages + PAGE:
                    offset = address - tensor.address - tensor.place.shift
                    return [tensor.place.name, str(offset), str(tensor.place.bytes)]
        return []

    def processes_and_threads(self) -> tuple[int, int]:
        """How many processes the candidate's tree has, and threads the innermost one has."""
        pids = [p for p in tree.descendants(self.running.launcher_pid) if _program(p) == "runner"]
        threads = max((len(_tasks(p)) for p in pids), default=0)
        return len(pids), threads

    def close(self) -> None:
        """Release the resources; the sandbox ends the process."""
        self._channel.close()
        os.close(self._words)
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


T = TypeVar("T")

LIMITS = Limits(
    seconds=900,
    memory_bytes=768 * MIB,
    address_bytes=8192 * MIB,
    processes=4,
    file_bytes=16 * MIB,
    scratch_bytes=64 * MIB,
    output_bytes=1 * MIB,
    keep_bytes=8 * 1024,
    open_files=32,
)


def limits_of(task: Task) -> Limits:
    """The limits of a candidate's process; a task may set that of its memory."""
    if task.memory_bytes is None:
        return LIMITS
    return replace(LIMITS, memory_bytes=task.memory_bytes)


_THREAD = ThreadPoolExecutor(max_workers=1, thread_name_prefix="measure")
"""The single thread that talks to candidates and times baselines; pinned to a core meanwhile."""


_LAST_WORDS_SECONDS = 2.0
"""Seconds for a process to end by itself after its last message."""


@dataclass(frozen=True)
class Start:
    """The parameters for starting a candidate's process."""

    runner: Path
    library: Path
    """The compiled candidate."""
    entry: str
    """Name of the candidate's entry point."""
    memory: Memory
    """Shared with the process."""
    threads: int = 1
    cpu: int | None = None
    """Number of the processor to stay on; None for any."""
    limits: Limits = LIMITS
    """Limits for one thread; each further thread counts as a further process."""


@contextlib.asynccontextmanager
async def session(sandbox: Sandbox, start: Start) -> AsyncIterator[Runner]:
    """A fresh process with its own scratch folder; gone, tree and all, when the context is left.

    Every candidate's process looks the same from inside, whatever it is started for: argv,
    environment, descriptors, memory, processor. Raises EvaluatorError where this machine cannot
    confine it.
    """
    limits = replace(start.limits, processes=start.limits.processes + start.threads)
    image = read_shared_object(start.library.read_bytes())
    ours, theirs = socket.socketpair()
    words, speaking = os.pipe()
    arenas = start.memory
    handed = (
        theirs.fileno(), arenas.inputs.descriptor, arenas.outputs.descriptor, speaking,
        arenas.page.descriptor,
    )  # fmt: skip
    with sandbox.scratch() as scratch:
        try:
            running = await sandbox.start(_job(start, scratch, limits, handed, image))
        except BaseException:
            ours.close()
            os.close(words)
            raise
        finally:
            theirs.close()
            os.close(speaking)
        talk = Runner(running, ours, words, start, image)
        waiter = asyncio.create_task(running.wait(limits))
        try:
            with owned(running):
                await in_thread(lambda: talk.greet(20), running)
            if not sandbox.allow_weak:
                _refuse_weak(talk)
            yield talk
        except Stopped as stop:
            if stop.owner is running:
                stop.outcome = await _ended(stop, running, waiter)
            raise
        finally:
            running.end()
            try:
                await asyncio.shield(waiter)
            except asyncio.CancelledError:
                await waiter
                raise
            finally:
                talk.close()


def _job(
    start: Start,
    scratch: Path,
    limits: Limits,
    handed: tuple[int, ...],
    image: SharedObject,
) -> Job:
    """The runner's command, with what it needs copied into its scratch folder."""
    copy_into(scratch, start.runner, start.library)
    words = (
        "./runner", *(str(fd) for fd in handed), str(start.threads),
        f"./{start.library.name}", start.entry, *image.needed,
    )  # fmt: skip
    return Job(
        command=words,
        scratch=scratch,
        limits=limits,
        environment={
            "OMP_NUM_THREADS": str(start.threads),
            "OMP_WAIT_POLICY": "passive",
            # A restartable sequence sends a thread that was interrupted to code of its own.
            "GLIBC_TUNABLES": "glibc.pthread.rseq=0",
        },
        pass_fds=handed,
        cpu=start.cpu,
        # The runner's own, stricter filter refuses these calls and reports them to the harness.
        allowed_calls=REFUSED,
    )


def _refuse_weak(talk: Runner) -> None:
    if not talk.confined:
        raise EvaluatorError(
            "this kernel refuses the filter that candidates run under; a container may "
            "need --security-opt seccomp=unconfined"
        )
    if not talk.reported:
        raise EvaluatorError(
            "this kernel does not report forbidden system calls (Linux 5.5 or later does, "
            "unless another filter takes the reports), so a candidate's constructors "
            "could map code of their own; go on all the same with --allow-weak-sandbox"
        )


async def _ended(stop: Stopped, running: Running, waiter: asyncio.Task[Outcome]) -> Outcome:
    """How the process ended: by itself if it was about to, otherwise ended by the harness."""
    if stop.kind not in ("hung", "nonsense", "trap", "loading"):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_SECONDS):
                return await asyncio.shield(waiter)
    running.end()
    return await asyncio.shield(waiter)


async def in_thread(work: Callable[[], T], *running: Running, cpu: int | None = None) -> T:
    """Runs blocking work in the measuring thread; a cancellation ends the processes first."""

    def pinned() -> T:
        mine = os.sched_getaffinity(0)
        if cpu is not None:
            os.sched_setaffinity(0, {cpu})
        try:
            return work()
        finally:
            os.sched_setaffinity(0, mine)

    run = copy_context().run  # hidden cases are drawn by the secret of this request
    future = asyncio.get_running_loop().run_in_executor(_THREAD, run, pinned)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        for process in running:
            process.end()
        await asyncio.wait([future])
        with contextlib.suppress(Exception):  # its answer no longer matters
            future.result()
        raise
