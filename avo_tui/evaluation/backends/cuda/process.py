"""The worker's side of the disposable GPU process: starts it, sends requests, and ends it reliably.

Not the protocol of the evaluation worker (`evaluation/workers/process.py`): here an answer comes in
parts, some of which wait for an acknowledgement while the outputs in shared memory are read, and
silence ends the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import mmap
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, Any

import avo_tui

_ROOT = str(Path(avo_tui.__file__).resolve().parent.parent)
MODULE = "avo_tui.evaluation.backends.cuda.harness.child"
START_SECONDS = 90.0
END_SECONDS = 60.0
GRACE_SECONDS = 5.0
LINE_LIMIT = 1 << 24
PRINTED_LIMIT = 16_384
_PASSED = ("PATH", "LD_LIBRARY_PATH", "CUDA_HOME", "CUDA_PATH", "NVIDIA_VISIBLE_DEVICES")

Reply = dict[str, Any]


class ProcessTimeoutError(Exception):
    """The process did not answer in time; it has been killed."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no answer within {seconds:.0f} s")
        self.seconds = seconds


class ProcessDiedError(Exception):
    """The process ended without an answer."""

    def __init__(self, code: int) -> None:
        super().__init__(f"ended with code {code}")
        self.code = code

    @property
    def signal(self) -> str:
        """The signal that ended it, such as `SIGSEGV`; empty where none did."""
        if self.code >= 0:
            return ""
        try:
            return signal.Signals(-self.code).name
        except ValueError:
            return f"signal {-self.code}"


class GpuProcess:
    """One disposable process. Use `start`, then `ask`; `end` always."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        replies: asyncio.StreamReader,
        transport: asyncio.BaseTransport,
        shared: mmap.mmap,
        printed: IO[bytes],
    ) -> None:
        self._process = process
        self._replies = replies
        self._transport = transport
        self.shared = shared
        """What the process hands outputs over in."""
        self._printed = printed
        self._ready = False
        self.opened: asyncio.Task[None] | None = None
        """What makes its context, once that was asked for."""

    @classmethod
    async def start(cls, output_bytes: int) -> GpuProcess:
        """Start the process; it imports torch and waits, without using the GPU yet."""
        reply_out, reply_in = os.pipe()
        output_fd = os.memfd_create("avo-outputs")
        printed: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by end()
        try:
            os.ftruncate(output_fd, output_bytes)
            shared = mmap.mmap(output_fd, output_bytes)
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", MODULE, str(reply_in), str(output_fd), str(output_bytes),
                stdin=asyncio.subprocess.PIPE,
                stdout=printed,
                stderr=asyncio.subprocess.STDOUT,
                env=child_environment(),
                cwd=tempfile.gettempdir(),
                start_new_session=True,
                pass_fds=(reply_in, output_fd),
            )  # fmt: skip
        except BaseException:
            os.close(reply_out)
            printed.close()
            raise
        finally:
            os.close(reply_in)
            os.close(output_fd)
        replies = asyncio.StreamReader(limit=LINE_LIMIT)
        try:
            transport, _ = await asyncio.get_running_loop().connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(replies), os.fdopen(reply_out, "rb")
            )
        except BaseException:  # cancelled: nobody else knows of the process yet
            process.kill()
            await process.wait()
            printed.close()
            raise
        return cls(process, replies, transport, shared, printed)

    @property
    def alive(self) -> bool:
        """True until it has ended."""
        return self._process.returncode is None

    async def ask(self, request: Reply, seconds: float) -> Reply:
        """The answer to one request that gives no events."""
        async for reply in self.converse(request, seconds):
            return reply
        raise AssertionError("converse always yields")

    async def converse(self, request: Reply, seconds: float) -> AsyncIterator[Reply]:
        """Events, and last the answer. `verify` and `ready` are to be acknowledged, `alive` not;
        after `idle` it waits for an order.

        `seconds` is for each line. Raises ProcessTimeoutError or ProcessDiedError; the process has
        been killed then.
        """
        if not self._ready:
            await self._line(START_SECONDS)
            self._ready = True
        await self._send(request)
        while True:
            reply = await self._line(seconds)
            yield reply
            if "event" not in reply:
                return

    async def acknowledge(self) -> None:
        """Tells the process to go on after an event that it waits at."""
        await self._send({"op": "go"})

    async def order(self, order: Reply) -> None:
        """Tells the process what to do after an event that it waits at for an order."""
        await self._send(order)

    async def _send(self, request: Reply) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        with contextlib.suppress(ConnectionError):  # it died; reading the answer will say so
            await self._process.stdin.drain()

    async def _line(self, seconds: float) -> Reply:
        try:
            line = await asyncio.wait_for(self._replies.readline(), seconds)
        except TimeoutError:
            await self.end()
            raise ProcessTimeoutError(seconds) from None
        if not line.endswith(b"\n"):
            with contextlib.suppress(TimeoutError):  # it says more if it ends by itself
                await asyncio.wait_for(asyncio.shield(self._process.wait()), GRACE_SECONDS)
            await self.end()
            raise ProcessDiedError(self._process.returncode or 0)
        message = json.loads(line)
        assert isinstance(message, dict)
        return message

    def mark(self) -> int:
        """How much was printed so far, in bytes: to be given to `printed` later."""
        return 0 if self._printed.closed else self._printed.seek(0, os.SEEK_END)

    def printed(self, since: int = 0) -> str:
        """What was printed since a mark, the candidate's `printf` included; bounded, its end kept.

        What was printed before may be of a hidden case and is not to be told.
        """
        if self._printed.closed:
            return _bounded(self._last_printed[since:])
        self._printed.seek(since)
        return _bounded(self._printed.read())

    async def end(self) -> None:
        """Kills the process with all it started and waits until it is gone."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        try:
            await asyncio.wait_for(asyncio.shield(self._process.wait()), END_SECONDS)
        except TimeoutError:
            # The kernel is still tearing the context down; nothing more can be done from here.
            return
        finally:
            self._transport.close()
            if not self._printed.closed:
                self._printed.seek(0)
                self._last_printed = self._printed.read()
                self._printed.close()


def _bounded(printed: bytes) -> str:
    text = printed[-PRINTED_LIMIT:].decode(errors="replace")
    left_out = len(printed) - PRINTED_LIMIT
    return text if left_out <= 0 else f"… {left_out} bytes left out …\n{text}"


def child_environment() -> dict[str, str]:
    """The environment of a process that uses this one's first GPU: little of this one's."""
    search = [_ROOT, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {name: os.environ[name] for name in _PASSED if name in os.environ} | {
        "PYTHONPATH": os.pathsep.join(search),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": tempfile.gettempdir(),
        "CUDA_CACHE_DISABLE": "1",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": _first_visible(),
    }


def _first_visible() -> str:
    own = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return next((name.strip() for name in own.split(",") if name.strip()), "0")
