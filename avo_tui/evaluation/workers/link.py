"""A line to a worker that a command starts: when it is needed, and again after a loss."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Collection, Sequence
from typing import Any

from avo_tui import __version__
from avo_tui.domain.device import DeviceState
from avo_tui.domain.secrets import may_hold_a_secret
from avo_tui.evaluation.ports import EvaluatorError, ProgressSink
from avo_tui.evaluation.workers.answers import ANSWER_LIMIT, told
from avo_tui.evaluation.workers.process import WorkerGoneError, WorkerProcess

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
    """The last words of a command that should have started a worker, and what to do."""
    if "No module named" not in words:
        return words
    return (
        f"{words}; install avo-tui {__version__} for that interpreter, or name the one that has it"
        " (ssh://HOST?python=/opt/venv/bin/python)"
    )


class WorkerLink:
    """Starts a worker with a command and talks to it over the command's standard streams."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        lease: float | None = None,
        start_seconds: float = START_SECONDS,
        variables: Collection[str] | None = None,
    ) -> None:
        """`command` starts a worker, here or, such as `ssh HOST …`, elsewhere. `lease`: see
        `WorkerProcess`; `variables`: see `environment`."""
        self._command = tuple(command)
        self._variables = variables
        self._lease = lease
        self._start_seconds = start_seconds
        self._worker: WorkerProcess | None = None
        self._starting = asyncio.Lock()
        self._numbers = itertools.count(1)

    @property
    def pid(self) -> int | None:
        """The process that was started, while there is one."""
        return self._worker.process.pid if self._worker is not None else None

    @property
    def pending(self) -> int:
        """Requests that are not answered yet."""
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
                await asyncio.wait_for(asyncio.shield(worker.ready), self._start_seconds)
            except BaseException as error:
                await self._abandon(worker)
                if not isinstance(error, TimeoutError | WorkerGoneError):
                    raise
                last = worker.last_words[-1] if worker.last_words else str(error)
                text = with_remedy(last) or f"no word from it within {self._start_seconds:.0f} s"
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
        """See `Device.sense`; starts no worker."""
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
        """Ends the worker and whatever candidate runs under it."""
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.end()

    async def rest(self) -> None:
        """Ends an idle worker; the next request starts one (about a second)."""
        async with self._starting:
            worker = self._worker
            if worker is not None and not worker.pending:
                self._worker = None
                await worker.end()
