"""A line to a worker process that a command starts: when it is needed, and again after a loss.

Requests overlap, and both sides send signs of life, as a line may lead to another machine. The GPU
process (`backends/cuda/process.py`) needs neither: one request at a time, over a pipe.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import os
import signal
import sys
import textwrap
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Any

from avo_tui import __version__
from avo_tui.domain.device import DeviceState
from avo_tui.domain.plain import safe
from avo_tui.domain.secrets import may_hold_a_secret
from avo_tui.evaluation.ports import EvaluatorError, ProgressSink
from avo_tui.evaluation.workers.answers import (
    ANSWER_LIMIT,
    WORDS,
    Line,
    NoAnswerError,
    read_line,
    told,
)

log = logging.getLogger(__name__)

LINE_LIMIT = 64 << 20
"""Largest length of a request in bytes."""
CANCEL_SECONDS = 20.0
"""Seconds for a worker to end a candidate, or itself, before it is killed."""
SIGNS = 6
"""Number of consecutive missing signs of life after which the other side counts as lost. They are
counted rather than timed, so that a laptop does not consider its workers lost after it slept."""


class WorkerGoneError(Exception):
    """The worker ended or fell silent before it answered; the message says how."""


class WorkerProcess:
    """A running worker and the requests that it has not answered."""

    def __init__(self, process: asyncio.subprocess.Process, lease: float | None = None) -> None:
        """`lease`: seconds of silence after which either side takes the other for lost; None where
        the kernel tells of an end."""
        self.process = process
        self.pending: dict[int, tuple[asyncio.Future[Any], ProgressSink | None]] = {}
        self.last_words: deque[str] = deque(maxlen=40)
        self.ready: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        """What the worker says about itself when it is ready."""
        self._silent = 0
        self._silenced = False
        self._nonsense = ""
        """Why what it wrote is no answer; empty if it was one."""
        self._readers = [
            asyncio.create_task(self._read_answers()),
            asyncio.create_task(self._read_log()),
        ]
        self._watch = asyncio.create_task(self._listen(lease)) if lease is not None else None

    @property
    def alive(self) -> bool:
        return self.process.returncode is None and not self._readers[0].done()

    def send(self, body: dict[str, object]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(body).encode() + b"\n")

    def why(self) -> str:
        """Why the worker was lost, with its last output on standard error."""
        if self._nonsense:
            return f"the evaluation worker was ended: {self._nonsense}"
        last = next((w for w in reversed(self.last_words) if w.strip()), "")
        what = "fell silent" if self._silenced else "ended unexpectedly"
        return f"the evaluation worker {what}{f' ({last[:300]})' if last else ''}"

    async def _read_answers(self) -> None:
        assert self.process.stdout is not None
        try:
            while line := await self.process.stdout.readline():
                self._silent = 0
                self._take(read_line(line))
        except NoAnswerError as error:
            self._nonsense = str(error)
        except ValueError:  # of the stream, whose limit this is
            self._nonsense = f"it wrote a line of more than {ANSWER_LIMIT >> 20} MiB"
        finally:
            if self._nonsense and self.process.returncode is None:
                self.process.kill()
            for future, _ in self.pending.values():
                if not future.done():
                    future.set_exception(WorkerGoneError(self.why()))
            if not self.ready.done():
                self.ready.set_exception(WorkerGoneError(self.why()))

    def _take(self, answer: Line) -> None:
        if answer.ready is not None:
            if not self.ready.done():
                self.ready.set_result(answer.ready)
            return
        if answer.log:
            # On lines of their own, short enough for a narrow screen.
            words = "\n".join(textwrap.wrap(answer.log, 72, break_on_hyphens=False))
            log.info("for you:\n%s", textwrap.indent(words, "  "))
            return
        future, sink = self.pending.get(answer.id or -1, (None, None))
        if future is None or future.done():
            return
        if answer.progress is not None:
            if sink is not None:
                sink(answer.progress)
        elif answer.cancelled:
            # Who cancelled it waits for no result. A CancelledError for anybody else would end the
            # task that asked.
            text = "the evaluation worker ended a request that nobody cancelled"
            future.set_exception(WorkerGoneError(text))
        elif answer.error is not None:
            future.set_exception(EvaluatorError(answer.error))
        else:
            future.set_result(answer.result)

    async def _read_log(self) -> None:
        """Keeps the last lines; of an endless line its end."""
        assert self.process.stderr is not None
        held = b""
        while part := await self.process.stderr.read(1 << 16):
            *whole, held = (held + part).split(b"\n")
            held = held[-WORDS:]
            self.last_words.extend(map(_words, whole))
        if held:
            self.last_words.append(_words(held))

    async def _listen(self, lease: float) -> None:
        """Send regular signs of life, and kill a worker that sends none itself."""
        while self.alive:
            await asyncio.sleep(lease / SIGNS)
            if not self.ready.done():
                continue
            self._silent += 1
            if self._silent > SIGNS:
                self._silenced = True
                self.process.kill()
                return
            with contextlib.suppress(OSError, RuntimeError):
                self.send({"op": "ping"})

    async def request(
        self, number: int, body: dict[str, object], progress: ProgressSink | None = None
    ) -> Any:
        """The answer to one request. Cancelling it first ends the candidate in the worker.

        Raises EvaluatorError, and WorkerGoneError where the worker is lost.
        """
        if not self.alive:
            raise WorkerGoneError(self.why())
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.pending[number] = (future, progress)
        try:
            self.send({"id": number, **body})
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await self._cancel(number, future)
            raise
        finally:
            self.pending.pop(number, None)
            if future.done() and not future.cancelled():
                future.exception()

    async def _cancel(self, number: int, future: asyncio.Future[Any]) -> None:
        """Waits until the worker has killed the candidate; ends a worker that does not."""
        if future.done() or not self.alive:
            return
        self.send({"op": "cancel", "target": number})
        done, _ = await asyncio.wait([future], timeout=CANCEL_SECONDS)
        if not done:
            self.process.kill()

    async def end(self) -> None:
        """Ask the worker to end, kill it after a while, and wait until it is gone."""
        if self._watch is not None:
            self._watch.cancel()
        if self.process.returncode is None:
            with contextlib.suppress(OSError, RuntimeError):
                self.send({"op": "shutdown"})
                assert self.process.stdin is not None
                self.process.stdin.close()
            try:
                await asyncio.wait_for(self.process.wait(), CANCEL_SECONDS)
            except TimeoutError:
                self.process.kill()
                await self.process.wait()
        await asyncio.wait(self._readers)
        for reader in self._readers:
            reader.exception()
        if self.ready.done():
            self.ready.exception()


def _words(line: bytes) -> str:
    return safe(line[-WORDS:].decode(errors="replace")).rstrip()


WEAK = "--allow-weak-sandbox"
"""Option of a worker that evaluates also where its machine cannot confine a candidate."""
START_SECONDS = 60.0
MOST_STATES = 256
"""Devices of one machine of which a state is kept."""


def environment(variables: Collection[str] | None = None) -> dict[str, str]:
    """The environment of a command that starts a worker: nothing that may hold a secret, and of the
    rest only `variables`, where they are given."""
    return {
        name: value
        for name, value in os.environ.items()
        if not may_hold_a_secret(name) and (variables is None or name in variables)
    }


def with_remedy(words: str) -> str:
    if "No module named" not in words:
        return words
    # before the words, which screens and lists may cut
    return (
        f"install avo-tui {__version__} for the Python there, or name one that has it"
        f" (ssh://HOST?python=/opt/venv/bin/python): {words}"
    )


def worker_here(options: Sequence[str]) -> WorkerLink:
    """A line to a worker of this machine and program."""
    return WorkerLink((sys.executable, "-m", "avo_tui.evaluation", "--serve", *options))


class WorkerLink:
    """Starts a worker with a command and talks to it over the command's standard streams."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        lease: float | None = None,
        variables: Collection[str] | None = None,
    ) -> None:
        """`command` starts a worker, here or, such as `ssh HOST …`, elsewhere. `lease`: see
        `WorkerProcess`; `variables`: see `environment`."""
        self._command = tuple(command)
        self._variables = variables
        self._lease = lease
        self._worker: WorkerProcess | None = None
        self._starting = asyncio.Lock()
        self._numbers = itertools.count(1)

    @property
    def pid(self) -> int | None:
        """The process that was started, while there is one."""
        return self._worker.process.pid if self._worker is not None else None

    @property
    def pending(self) -> int:
        return len(self._worker.pending) if self._worker is not None else 0

    async def ready(self) -> WorkerProcess:
        """The worker, started if there is none. Raises EvaluatorError where it does not start."""
        async with self._starting:
            if self._worker is not None and self._worker.alive:
                return self._worker
            if self._worker is not None:
                await self._worker.end()
            try:
                process = await asyncio.create_subprocess_exec(
                    *self._command,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.PIPE,
                    env=environment(self._variables),
                    limit=ANSWER_LIMIT,
                    start_new_session=True,
                )
            except OSError as error:
                raise EvaluatorError(f"{self._command[0]} cannot be run: {error}") from error
            self._worker = worker = WorkerProcess(process, self._lease)
            try:
                await asyncio.wait_for(asyncio.shield(worker.ready), START_SECONDS)
            except BaseException as error:
                await self._abandon(worker)
                if not isinstance(error, TimeoutError | WorkerGoneError):
                    raise
                last = worker.last_words[-1] if worker.last_words else str(error)
                text = with_remedy(last) or f"no word from it within {START_SECONDS:.0f} s"
                raise EvaluatorError(f"the evaluation worker does not start: {text}") from error
            return worker

    async def _abandon(self, worker: WorkerProcess) -> None:
        if worker.process.returncode is None:
            worker.process.kill()
        await worker.end()

    async def hello(self) -> dict[str, Any]:
        return await (await self.ready()).ready

    async def request(self, body: dict[str, object], progress: ProgressSink | None = None) -> Any:
        """The answer of the worker, which is started first where there is none.

        Raises EvaluatorError, and WorkerGoneError where it is lost before it answers.
        """
        worker = await self.ready()
        return await worker.request(next(self._numbers), body, progress)

    async def sense(self) -> tuple[DeviceState, ...]:
        worker = self._worker
        if worker is None or not worker.alive or not worker.ready.done():
            return ()
        states = await worker.request(next(self._numbers), {"op": "sense"})
        if not isinstance(states, list):
            raise EvaluatorError("a worker does not say how its devices are")
        return tuple(
            told(DeviceState, state, "state of a device") for state in states[:MOST_STATES]
        )

    async def close(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.end()

    async def rest(self) -> None:
        async with self._starting:
            worker = self._worker
            if worker is not None and not worker.pending:
                self._worker = None
                await worker.end()


LEASE_SECONDS = 60.0
"""How long a worker on another machine goes on without a sign of life from here."""


class Lease:
    """Ends this worker when no signs of life of the other side come; and sends some.

    A machine far away does not learn that the one which started a worker is gone: without a lease
    the worker would keep its GPU until somebody looks. Silence is counted in signs, not in seconds,
    so that a machine which slept does not end what it runs. In a thread: a computation may hold up
    the worker's loop.
    """

    def __init__(self, seconds: float, sign: Callable[[], None], over: Callable[[], None]) -> None:
        """`sign` tells the other side that the worker lives; `over` asks the worker to end, and the
        process is killed where it does not."""
        self._between = seconds / SIGNS
        self._sign = sign
        self._over = over
        self._silent = 0
        threading.Thread(target=self._watch, daemon=True, name="lease").start()

    def renew(self) -> None:
        """Notes that a sign of life of the other side came."""
        self._silent = 0

    def _watch(self) -> None:
        # a write can hang for ever where the line is dead, so that signs have their own thread
        threading.Thread(target=self._beat, daemon=True, name="signs of life").start()
        while self._silent <= SIGNS:
            time.sleep(self._between)
            self._silent += 1
        self._over()
        time.sleep(CANCEL_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)

    def _beat(self) -> None:
        while True:
            time.sleep(self._between)
            self._sign()
