"""One worker process: exchanges lines with it, and detects its loss.

Requests overlap, and both sides send signs of life, as a line may lead to another machine. The GPU
process (`backends/cuda/process.py`) needs neither: one request at a time, over a pipe.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import deque
from typing import Any

from avo_tui.domain.plain import safe
from avo_tui.evaluation.ports import EvaluatorError, ProgressSink
from avo_tui.evaluation.workers.answers import (
    ANSWER_LIMIT,
    WORDS,
    Answer,
    NoAnswerError,
    read_answer,
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
        """Whether it can be asked."""
        return self.process.returncode is None and not self._readers[0].done()

    def send(self, body: dict[str, object]) -> None:
        """Writes one request."""
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
                self._take(read_answer(line))
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

    def _take(self, answer: Answer) -> None:
        if answer.ready is not None:
            if not self.ready.done():
                self.ready.set_result(answer.ready)
            return
        if answer.log:
            log.info("%s", answer.log)
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
