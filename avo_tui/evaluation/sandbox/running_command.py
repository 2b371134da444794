"""A sandboxed command that runs: reads what it prints, within limits, and ends it reliably."""

from __future__ import annotations

import asyncio
import os
import time

from avo_tui.evaluation.sandbox.policy import Limits, Outcome, Reason

_GRACE = 15.0
"""Seconds for the launcher to end all processes before it is killed itself."""

_UNCHANGED = 3
"""Turns of the event loop without new output after which a pipe is empty."""


class KeptOutput:
    """The beginning and the end of what a command prints; the middle is counted and forgotten."""

    def __init__(self, keep: int) -> None:
        self._half = keep // 2
        self._head = bytearray()
        self._tail = bytearray()
        self._kept = 0
        self.keeps = True
        """False where what comes from now on is counted only."""
        self.total = 0
        """Bytes that came."""

    def add(self, data: bytes) -> None:
        """Take the next bytes."""
        self.total += len(data)
        if not self.keeps:
            return
        self._kept += len(data)
        room = self._half - len(self._head)
        self._head += data[:room] if room > 0 else b""
        self._tail += data[max(0, room) :]
        if len(self._tail) > 2 * self._half:
            del self._tail[: -self._half]

    def text(self) -> str:
        """What was kept, with a line that says how many bytes are left out."""
        tail = self._tail[-self._half :] if self._half else bytearray()
        lost = self._kept - len(self._head) - len(tail)
        middle = f"\n… {lost} bytes left out …\n".encode() if lost else b""
        return (bytes(self._head) + middle + bytes(tail)).decode(errors="replace")


class Running:
    """A command that was started. `wait()` must be awaited to its end, or `kill()`."""

    def __init__(self, process: asyncio.subprocess.Process, lifeline: int, status: int) -> None:
        self._process = process
        self._lifeline: int | None = lifeline
        self._status = status
        self._reason: Reason | None = None
        self._drains: tuple[KeptOutput, ...] = ()
        self._began = time.monotonic()

    @property
    def launcher_pid(self) -> int:
        """The launcher's process; the command is among its descendants."""
        return self._process.pid

    def end(self, reason: Reason = "cancelled") -> None:
        """Asks the launcher to end the tree; returns at once."""
        if self._lifeline is not None:
            if self._process.returncode is None:
                self._reason = self._reason or reason
            os.close(self._lifeline)
            self._lifeline = None

    async def keep_nothing_more(self) -> None:
        """Keeps what a stopped command has printed, and counts, but forgets, what comes later."""
        if not any(drain.keeps for drain in self._drains):
            return
        unchanged, before = 0, -1
        while unchanged < _UNCHANGED:  # the loop reads whatever is there each time round
            total = sum(drain.total for drain in self._drains)
            unchanged, before = (unchanged + 1 if total == before else 0), total
            await asyncio.sleep(0.0005)
        for drain in self._drains:
            drain.keeps = False

    async def kill(self) -> None:
        """Ends the whole tree and waits until it is gone."""
        self.end()
        try:
            await asyncio.wait_for(self._process.wait(), _GRACE)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def wait(self, limits: Limits) -> Outcome:
        """Drains the output until the command has ended. A cancellation ends the tree first."""
        out, err = self._drains = (KeptOutput(limits.keep_bytes), KeptOutput(limits.keep_bytes))
        assert self._process.stdout is not None and self._process.stderr is not None

        async def drain(stream: asyncio.StreamReader, into: KeptOutput) -> None:
            while data := await stream.read(65536):
                into.add(data)
                if out.total + err.total > limits.output_bytes:
                    self.end("output")

        try:
            async with asyncio.timeout(limits.seconds + _GRACE):
                await asyncio.gather(
                    drain(self._process.stdout, out), drain(self._process.stderr, err)
                )
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        finally:
            await self.kill()
            facts = self._facts()
        return self._outcome(facts, out.text(), err.text())

    def _facts(self) -> dict[str, str]:
        with os.fdopen(self._status, "rb") as file:
            lines = file.read(65536).decode(errors="replace").splitlines()
        pairs = (line.partition("=") for line in lines)
        facts: dict[str, str] = {}
        for key, _, value in pairs:
            facts.setdefault(key, value)
        self.facts = facts
        return facts

    def _outcome(self, facts: dict[str, str], out: str, err: str) -> Outcome:
        seconds = time.monotonic() - self._began
        number = int(facts["signal"]) if "signal" in facts else None
        code = int(facts["exit"]) if "exit" in facts else None
        reason: Reason
        if "error" in facts:
            reason = "error"
        elif facts.get("reason") in ("time", "memory", "processes", "scratch"):
            reason = facts["reason"]  # type: ignore[assignment]
        elif self._reason is not None and (code is None or self._reason == "output"):
            reason = self._reason
        elif "reason" in facts:
            reason = "cancelled"
        elif number is not None:
            reason = "signalled"
        elif code is not None:
            reason = "exited"
        else:
            reason = "error"
        error = facts.get("error", "") if reason == "error" else ""
        if reason == "error" and not error:
            error = f"the sandbox ended unexpectedly: {err.strip()[-300:] or 'no message'}"
        inside = 0.0
        if reason == "exited" and "began" in facts and "ended_at" in facts:
            inside = float(facts["ended_at"]) - float(facts["began"])
        return Outcome(reason, code, number, out, err, seconds, error, inside)
