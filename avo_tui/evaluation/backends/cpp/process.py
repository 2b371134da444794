"""One disposable process that runs one candidate, and the conversation with it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from avo_tui.evaluation.backends.cpp.compiler import copy_into
from avo_tui.evaluation.backends.cpp.memory import Arena
from avo_tui.evaluation.sandbox import tree
from avo_tui.evaluation.sandbox.policy import MIB, Job, Limits, Outcome
from avo_tui.evaluation.sandbox.run import Running, Sandbox

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

_THREAD = ThreadPoolExecutor(max_workers=1, thread_name_prefix="measure")
"""The one thread that talks to candidates and times baselines; pinned while it does."""


class Stopped(Exception):  # noqa: N818  what a candidate did, not an error of ours
    """The process ended, hung or broke the protocol in the middle of a request."""

    def __init__(self, kind: str, words: list[str]) -> None:
        """`kind`: fault, trap, unloadable, ended, hung, nonsense; `words`: what it said."""
        super().__init__(f"{kind} {' '.join(words)}")
        self.kind = kind
        self.words = words
        self.outcome: Outcome | None = None
        """How the sandbox saw it end."""


_LAST_WORDS_SECONDS = 5.0
"""How long a process that was let go may take to end by itself."""
_PATIENCE = 8
"""Time that may pass for each second that a call may compute: the machine may be busy."""


@dataclass(frozen=True)
class Call:
    """One call of the candidate, timed on both sides of the pipe, in nanoseconds.

    `inner` is what the runner measured: its processor time for one thread, the time that passed for
    several. `outer` is what the kernel accounts to the process, per thread: with or without others
    on the machine, no honest `inner` is clearly smaller.
    """

    inner: int
    outer: int


class Runner:
    """The conversation; its methods block, and belong into `in_thread`."""

    def __init__(self, running: Running, command: int, answers: int, threads: int) -> None:
        self.running = running
        self.threads = threads
        self.between: list[int] = []
        """Nanoseconds that it used between two calls, when nothing was asked of it."""
        self._pid: int | None = None
        self._ended: int | None = None
        self.load_seconds = 0.0
        self.confined = True
        self._command = command
        self._answers = answers
        self._poll = select.poll()
        self._poll.register(answers, select.POLLIN)
        self._buffer = b""

    def used(self) -> int:
        """Nanoseconds of processor time that the kernel accounts to its process, per thread."""
        if self._pid is None:
            return 0
        try:
            # The clock of another process, as clock_getcpuclockid(3) makes it.
            return time.clock_gettime_ns((~self._pid << 3) | 2) // self.threads
        except OSError as error:
            raise Stopped("ended", []) from error

    def _wait(self, seconds: float) -> None:
        """Until something can be read; `seconds` of its processor time, or a few times that."""
        began = time.monotonic()
        start: int | None = None
        while not self._poll.poll(min(seconds, 0.1) * 1000):
            passed = time.monotonic() - began
            used = 0.0
            with contextlib.suppress(Stopped):  # it is gone; its last words can be read soon
                now = self.used()
                start = now if start is None else start
                used = (now - start) / 1e9 if self._pid is not None else passed
            if used > seconds or passed > seconds * _PATIENCE:
                raise Stopped("hung", [f"{seconds:.1f}"])

    def _read_line(self, seconds: float) -> str:
        while b"\n" not in self._buffer:
            self._wait(seconds)
            data = os.read(self._answers, 4096)
            if not data:
                raise Stopped("ended", [])
            self._buffer += data
            if len(self._buffer) > 65536:
                raise Stopped("nonsense", ["it flooded the harness with answers"])
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode(errors="replace")

    def _expect(self, answer: str, seconds: float) -> list[str]:
        words = self._read_line(seconds).split(" ")
        if words[0] == answer:
            return words[1:]
        if words[0] in ("fault", "trap", "unloadable"):
            raise Stopped(words[0], words[1:])
        raise Stopped("nonsense", [f"it answered {' '.join(words)[:80]!r}"])

    def _ask(self, line: str, answer: str, seconds: float) -> list[str]:
        if self._buffer:
            raise Stopped("nonsense", ["it answered without being asked"])
        try:
            os.write(self._command, line.encode() + b"\n")
        except BrokenPipeError:
            return self._expect(answer, 1.0)  # its last words, if any
        return self._expect(answer, seconds)

    def greet(self, seconds: float) -> None:
        """Waits until the candidate is loaded."""
        words = self._expect("ready", seconds)
        inside = [p for p in tree.descendants(self.running.launcher_pid) if _program(p) == "runner"]
        if not inside:
            raise Stopped("ended", [])
        self._pid = inside[-1]
        self.load_seconds = int(words[0]) / 1e9
        self.confined = words[1] == "1"

    def bind(self, slot: int, arguments: list[str]) -> None:
        """Maps a slot's arguments, at new addresses."""
        self._ask(f"bind {slot} {' '.join(arguments)}", "bound", 10)

    def call(self, slots: Sequence[int], seconds: float) -> Call:
        """Calls the candidate once for each slot."""
        began = self.used()
        if self._ended is not None:
            self.between.append(began - self._ended)
        words = self._ask(f"call {' '.join(map(str, slots))}", "t", seconds)
        self._ended = self.used()
        outer = self._ended - began
        try:
            return Call(int(words[0]), outer)
        except (ValueError, IndexError) as error:
            raise Stopped("nonsense", ["it gave a time that is no number"]) from error

    def ping(self) -> int:
        """Nanoseconds, on the call's clock, of an exchange in which nothing is computed."""
        began = self.used()
        self._ask("ping", "pong", 10)
        return self.used() - began

    def clock_rate(self, milliseconds: int) -> float:
        """Cycles per second of the processor it runs on."""
        return float(self._ask(f"spin {milliseconds}", "hz", 10)[0])

    def processes_and_threads(self) -> tuple[int, int]:
        """How many processes the candidate's tree has, and threads the innermost one has."""
        pids = [p for p in tree.descendants(self.running.launcher_pid) if _program(p) == "runner"]
        threads = max((_threads(p) for p in pids), default=0)
        return len(pids), threads

    def quit(self) -> None:
        """Lets the process end by itself."""
        with contextlib.suppress(OSError):
            os.close(self._command)
        self._command = -1

    def close(self) -> None:
        """Closes our ends of the pipes."""
        for fd in (self._command, self._answers):
            if fd >= 0:
                os.close(fd)


def _program(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _threads(pid: int) -> int:
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return 0


@contextlib.asynccontextmanager
async def session(
    sandbox: Sandbox,
    runner: Path,
    library: Path | None,
    entry: str,
    arenas: tuple[Arena, Arena] | None,
    *,
    threads: int = 1,
    cpu: int | None = None,
    junk: bool = False,
    limits: Limits | None = None,
) -> AsyncIterator[Runner]:
    """A fresh process with its own scratch folder; gone, tree and all, when the context is left.

    `library` None starts the runner without a candidate. `junk` makes what malloc gives nonzero.
    """
    limits = limits or LIMITS
    limits = replace(limits, processes=limits.processes + threads)
    command_in, command = os.pipe()
    answers, answers_out = os.pipe()
    handed = [command_in, answers_out, *(a.descriptor for a in arenas or ())]
    numbers = [str(fd) for fd in handed] if arenas else [*(str(f) for f in handed), "-1", "-1"]
    words = ["./runner", *numbers, str(threads)]
    environment = {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive"}
    if junk:
        environment["GLIBC_TUNABLES"] = "glibc.malloc.perturb=165"
    with sandbox.scratch() as scratch:
        copy_into(scratch, runner)
        if library is not None:
            copy_into(scratch, library)
            words += [f"./{library.name}", entry]
        try:
            running = await sandbox.start(
                Job(
                    command=tuple(words),
                    scratch=scratch,
                    limits=limits,
                    environment=environment,
                    pass_fds=tuple(handed),
                    cpu=cpu,
                )
            )
        except BaseException:
            for fd in (command_in, answers_out, command, answers):
                os.close(fd)
            raise
        os.close(command_in)
        os.close(answers_out)
        talk = Runner(running, command, answers, threads)
        waiter = asyncio.create_task(running.wait(limits))
        stopped: Stopped | None = None
        try:
            await in_thread(lambda: talk.greet(20), running)
            yield talk
        except Stopped as stop:
            stopped = stop
            if stop.kind in ("hung", "nonsense"):
                running.end()
            raise
        finally:
            talk.quit()
            try:
                async with asyncio.timeout(_LAST_WORDS_SECONDS):
                    outcome = await asyncio.shield(waiter)
            except TimeoutError:
                running.end()
                outcome = await waiter
            except asyncio.CancelledError:
                running.end()
                await waiter
                raise
            finally:
                talk.close()
            if stopped is not None:
                stopped.outcome = outcome


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

    future = asyncio.get_running_loop().run_in_executor(_THREAD, pinned)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        for process in running:
            process.end()
        await asyncio.wait([future])
        with contextlib.suppress(Exception):  # its answer no longer matters
            future.result()
        raise
