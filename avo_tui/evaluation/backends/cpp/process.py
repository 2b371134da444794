"""One disposable process that runs one candidate, and the conversation with it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from avo_tui.evaluation.backends.cpp.arenas import Arena
from avo_tui.evaluation.backends.cpp.compiler import copy_into
from avo_tui.evaluation.backends.cpp.elf import SharedObject, read_shared_object
from avo_tui.evaluation.backends.cpp.timed_calls import Runner, Stopped, owned
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.sandbox.policy import MIB, Job, Limits, Outcome
from avo_tui.evaluation.sandbox.run import Sandbox
from avo_tui.evaluation.sandbox.running_command import Running
from avo_tui.evaluation.sandbox.seccomp import REFUSED
from avo_tui.evaluation.task import Task

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
    library: Path | None
    """The compiled candidate; None starts the runner without one."""
    entry: str
    """Name of the candidate's entry point."""
    arenas: tuple[Arena, Arena] | None
    """Memory shared with the process: inputs and outputs."""
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
    library = start.library
    image = None if library is None else read_shared_object(library.read_bytes())
    ours, theirs = socket.socketpair()
    handed = (theirs.fileno(), *(a.descriptor for a in start.arenas or ()))
    with sandbox.scratch() as scratch:
        try:
            running = await sandbox.start(_job(start, scratch, limits, handed, image))
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        talk = Runner(running, ours, start.threads, image)
        waiter = asyncio.create_task(running.wait(limits))
        try:
            with owned(running):
                await in_thread(lambda: talk.greet(20), running)
            if not sandbox.allow_weak:
                _refuse_weak(talk, library is not None)
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
    image: SharedObject | None,
) -> Job:
    """The runner's command, with what it needs copied into its scratch folder."""
    numbers = [*handed, -1, -1][:3]
    words = ["./runner", *(str(fd) for fd in numbers), str(start.threads)]
    copy_into(scratch, start.runner)
    if start.library is not None and image is not None:
        copy_into(scratch, start.library)
        words += [f"./{start.library.name}", start.entry, *image.needed]
    return Job(
        command=tuple(words),
        scratch=scratch,
        limits=limits,
        environment={"OMP_NUM_THREADS": str(start.threads), "OMP_WAIT_POLICY": "passive"},
        pass_fds=handed,
        cpu=start.cpu,
        # The runner's own, stricter filter refuses these calls and reports them to the harness.
        allowed_calls=REFUSED,
    )


def _refuse_weak(talk: Runner, candidate: bool) -> None:
    if not talk.confined:
        raise EvaluatorError(
            "this kernel refuses the filter that candidates run under; a container may "
            "need --security-opt seccomp=unconfined"
        )
    if candidate and not talk.reported:
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
