"""The worker: serves evaluations over JSON lines, warm between them.

A request is `{"id", "op", …}`; answers carry its id: any number of `{"id", "progress"}`, then one
`{"id", "result"}` or `{"id", "error"}`. `{"id": null, "log"}` is for the person's own log, and for
nobody who writes candidates. Requests are served one at a time, in order; `cancel` (with the id as
`target`), `sense` (how the devices are) and `shutdown` take effect at once. The end of the input is
a shutdown. The first line, `{"id": null, "ready": true, …}`, says which program the worker is.
Under a lease both sides send signs of life, `{"op": "ping"}` and `{"id": null, "beat": true}`:
whoever hears none for a while takes the other for lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import platform
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from avo_tui import __version__
from avo_tui.devices import OwnSensors
from avo_tui.domain.base import Value
from avo_tui.domain.questions import ANY_QUESTION, Question
from avo_tui.evaluation.evaluation_run import person
from avo_tui.evaluation.measurement.drawing import draw_by
from avo_tui.evaluation.pipeline import Pipeline
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.sandbox.policy import SandboxError
from avo_tui.evaluation.sandbox.scratch import sweep
from avo_tui.evaluation.workers import parcels
from avo_tui.evaluation.workers.link import LINE_LIMIT, Lease

Request = dict[str, Any]


class _ToEngine(logging.Handler):
    """Hands records to whoever started the worker, as `{"id": null, "log": TEXT}`."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        super().__init__()
        self._send = write

    def emit(self, record: logging.LogRecord) -> None:
        self._send(json.dumps({"id": None, "log": record.getMessage()}).encode() + b"\n")


class Worker:
    """Answers requests from one pipeline."""

    def __init__(self, pipeline: Pipeline, write: Callable[[bytes], None]) -> None:
        self._pipeline = pipeline
        self._write = write
        self._queue: asyncio.Queue[Request] = asyncio.Queue()
        self._current: tuple[object, asyncio.Task[None]] | None = None
        self._cancelled: set[object] = set()
        self._sensors = OwnSensors()
        self._sensing: set[asyncio.Future[None]] = set()

    def _say(self, request: Request, **body: object) -> None:
        plain = {
            k: v.model_dump(mode="json") if isinstance(v, Value) else v for k, v in body.items()
        }
        self._write(json.dumps({"id": request.get("id"), **plain}).encode() + b"\n")

    def take(self, request: Request) -> bool:
        """Queues a request, or acts on it at once; False when it asks for the end."""
        if request.get("op") == "shutdown":
            return False
        if request.get("op") == "ping":
            return True
        if request.get("op") == "sense":
            task = asyncio.ensure_future(self._sense(request))
            self._sensing.add(task)
            task.add_done_callback(self._sensing.discard)
        elif request.get("op") != "cancel":
            self._queue.put_nowait(request)
        elif self._current is not None and self._current[0] == request.get("target"):
            self._current[1].cancel()
        else:
            self._cancelled.add(request.get("target"))
        return True

    async def _sense(self, request: Request) -> None:
        """Answers beside the request that is being served."""
        try:
            states = await asyncio.to_thread(self._sensors.sample)
        except OSError as error:
            self._say(request, error=f"the devices cannot be asked: {error}", kind="refused")
        else:
            self._say(request, result=[state.model_dump(mode="json") for state in states])

    async def serve(self) -> None:
        while True:
            request = await self._queue.get()
            if request.get("id") in self._cancelled:
                self._cancelled.discard(request.get("id"))
                self._say(request, error="cancelled", kind="cancelled")
                continue
            task = asyncio.ensure_future(self._answer(request))
            self._current = (request.get("id"), task)
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError:
                task.cancel()
                await asyncio.wait([task])
                raise
            finally:
                self._current = None

    async def _answer(self, request: Request) -> None:
        try:
            self._say(request, result=await self._do(request))
        except asyncio.CancelledError:
            self._say(request, error="cancelled", kind="cancelled")
        except (EvaluatorError, SandboxError) as error:
            self._say(request, error=str(error), kind="refused")
        except Exception as error:  # one bad request must not end the worker
            traceback.print_exc(file=sys.stderr)
            self._say(request, error=f"{type(error).__name__}: {error}", kind="failed")

    async def _do(self, request: Request) -> object:
        pipeline, task = self._pipeline, request.get("task", "")
        match request.get("op"):
            case "warm":
                await pipeline.warm(task)
                return True
            case "task_key":  # None where there is no task of that name
                if task not in pipeline.tasks.names:
                    return None
                return parcels.task_key(parcels.read_task(pipeline.tasks.folder(task)))
            case "take_task":  # its files are used before any other task of that name
                pipeline.look_first(parcels.keep_task(task, request["files"]))
                return True
        try:
            question: Question[Any] = ANY_QUESTION.validate_python(request)
        except ValidationError as error:
            op = request.get("op")
            raise EvaluatorError(f"the worker cannot read the request {op!r}") from error
        draw_by(str(request.get("drawn_by", "")))
        return await pipeline.ask(
            task, question, lambda progress: self._say(request, progress=progress)
        )


class _Output:
    """The worker's lines, written whole: also the lease writes, from a thread of its own."""

    def __init__(self) -> None:
        # The protocol gets a descriptor of its own: what a task prints goes to the log.
        self._file = os.fdopen(os.dup(1), "wb", buffering=0)
        os.dup2(2, 1)
        self._lock = threading.Lock()

    def write(self, line: bytes) -> None:
        """Writes a line; nothing where whoever asked is gone: the end of the input follows."""
        with self._lock, contextlib.suppress(BrokenPipeError):
            rest = memoryview(line)
            while rest:
                rest = rest[self._file.write(rest) :]

    def say(self, **body: object) -> None:
        """Writes a line that answers no request."""
        self.write(json.dumps({"id": None, **body}).encode() + b"\n")


def _soon(loop: asyncio.AbstractEventLoop, work: Callable[[bytes], None], argument: bytes) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended already
        loop.call_soon_threadsafe(work, argument)


def _read_lines(hear: Callable[[bytes], None]) -> None:
    """Hands over each line of standard input, and b"" at its end.

    In a thread of its own, since the loop stands still while a task imports torch, and who stands
    still must not take the other side for silent.
    """
    held = bytearray()
    while part := os.read(0, 1 << 20):
        held += part
        *whole, rest = held.split(b"\n") if b"\n" in part else (held,)
        held = bytearray(rest)
        if len(held) > LINE_LIMIT:
            break
        for line in whole:
            hear(bytes(line) + b"\n")
    hear(b"")


async def serve(
    kernels: Path | None,
    allow_weak_sandbox: bool = False,
    architecture: str | None = None,
    lease: float | None = None,
) -> None:
    """Serves standard input until it ends.

    `lease`: seconds of silence on standard input after which the worker ends by itself.
    """
    output = _Output()
    person.addHandler(_ToEngine(output.write))
    person.setLevel(logging.INFO)
    person.propagate = False
    sweep()
    loop = asyncio.get_running_loop()
    pipeline = Pipeline(kernels, allow_weak_sandbox, architecture)
    worker = Worker(pipeline, output.write)
    serving = asyncio.create_task(worker.serve())
    who: dict[str, object] = {
        "version": __version__, "program": parcels.program_key(),
        "host": platform.node(), "pid": os.getpid(),
    }  # fmt: skip
    lines: asyncio.Queue[bytes] = asyncio.Queue()
    held: Lease | None = None
    if lease is not None:
        held = Lease(
            lease,
            lambda: output.say(beat=True),
            lambda: _soon(loop, lines.put_nowait, b""),
        )

    def hear(line: bytes) -> None:
        if held is not None:
            held.renew()
        _soon(loop, lines.put_nowait, line)

    threading.Thread(target=_read_lines, args=(hear,), daemon=True, name="input").start()
    output.say(ready=True, **who)
    while line := await lines.get():
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                raise ValueError("a request is an object")
        except ValueError as error:
            output.say(error=f"not a request: {error}")
            continue
        if not worker.take(request):
            break
    serving.cancel()
    await asyncio.wait([serving])
    await pipeline.close()
