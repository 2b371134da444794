"""Devices of one machine, here or over a line such as ssh: a worker process for each."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Any

from avo_tui import __version__
from avo_tui.domain.device import DeviceState
from avo_tui.domain.machine import MachineInfo
from avo_tui.domain.plain import plain
from avo_tui.evaluation.ports import EvaluatorError, ProgressSink
from avo_tui.evaluation.tasks import find_tasks
from avo_tui.evaluation.workers import devices, parcels
from avo_tui.evaluation.workers.answers import told
from avo_tui.evaluation.workers.lease import LEASE_SECONDS
from avo_tui.evaluation.workers.link import WorkerLink, environment, with_remedy
from avo_tui.evaluation.workers.ports import DeviceRefusedError, Joined, Left, Link
from avo_tui.evaluation.workers.process import WorkerGoneError

LIST_SECONDS = 120.0
LIST_BYTES = 1 << 20
"""Bytes that are kept of what a command writes that lists devices."""


class WorkerDevice:
    """A device that a worker process, started by a command, measures on."""

    def __init__(self, name: str, link: Link, task: str) -> None:
        """`task`: what it is warmed for, and whose files must be the same there as here."""
        self.name = name
        self._link = link
        self._task = task
        self._prepared: dict[str, Any] | None = None
        self._machine: MachineInfo | None = None
        self.host = ""
        self._starting = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """The process that was started here, while there is one."""
        return self._link.pid

    async def start(self) -> MachineInfo:
        """Starts the worker, compares program and task with its own, and warms it."""
        async with self._starting:
            try:
                who = await self._link.hello()
                self.host = str(who.get("host", ""))
                if who is not self._prepared or self._machine is None:
                    self._machine = await self._prepare(who)
                    self._prepared = who
            except WorkerGoneError as error:
                raise EvaluatorError(str(error)) from error
            return self._machine

    async def _prepare(self, who: dict[str, Any]) -> MachineInfo:
        if (who.get("version"), who.get("program")) != (__version__, parcels.program_key()):
            there, here = who.get("version") or "an older version", __version__
            raise DeviceRefusedError(
                f"{self.name} has another avo-tui ({there}, sources "
                f"{str(who.get('program'))[:8]}) than this machine ({here}, sources "
                f"{parcels.program_key()[:8]}): their scores are not comparable; install the same"
            )
        try:
            await self._compare_task()
            await self._link.request({"op": "warm", "task": self._task})
            answer = await self._link.request({"op": "machine", "task": self._task})
            return told(MachineInfo, answer, "description of a machine")
        except EvaluatorError as error:
            raise DeviceRefusedError(str(error)) from error

    async def _compare_task(self) -> None:
        """Sends the files of the task where the worker has others, or none."""
        tasks = find_tasks()
        if self._task not in tasks.names:
            return  # the worker says what it has
        files = await asyncio.to_thread(parcels.read_task, tasks.folder(self._task))
        there = await self._link.request({"op": "task_key", "task": self._task})
        if there != parcels.task_key(files):
            await self._link.request(
                {"op": "take_task", "task": self._task, "files": parcels.packed(files)}
            )

    async def request(self, body: dict[str, object], progress: ProgressSink | None) -> Any:
        try:
            await self.start()
        except DeviceRefusedError:
            raise
        except EvaluatorError as error:
            raise WorkerGoneError(str(error)) from error
        return await self._link.request(body, progress)

    async def sense(self) -> tuple[DeviceState, ...]:
        states = await self._link.sense()
        return tuple(state.replaced(host=self.host) for state in states)

    async def rest(self) -> None:
        await self._link.rest()

    async def close(self) -> None:
        await self._link.close()


async def _both(process: asyncio.subprocess.Process) -> tuple[bytes, bytes]:
    """What a process writes to its two streams until it ends, the first `LIST_BYTES` of each."""
    assert process.stdout is not None and process.stderr is not None

    async def read(stream: asyncio.StreamReader) -> bytes:
        kept = b""
        while part := await stream.read(1 << 16):
            kept += part[: LIST_BYTES - len(kept)]
        return kept

    out, words = await asyncio.gather(read(process.stdout), read(process.stderr))
    await process.wait()
    return out, words


class MachineSite:
    """The devices of one machine, by the command that starts avo-tui's evaluation there."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        task: str,
        kind: str,
        chosen: Sequence[str],
        options: Sequence[str] = (),
        variables: Collection[str] | None = None,
    ) -> None:
        """`command` runs `python -m avo_tui.evaluation` there; arguments are put after it.

        `kind` is the task's device, `cuda` or `cpu`; `chosen` names devices as a person does, ""
        for the machine as it is. `variables`: see `link.environment`.
        """
        self._variables = variables
        self.name = name
        self._command = tuple(command)
        self._task = task
        self._kind = kind
        self._chosen = tuple(chosen)
        self._options = tuple(options)

    async def open(self, joined: Joined, left: Left) -> None:
        chosen = self._chosen
        if chosen == (devices.ALL,):
            try:
                chosen = tuple(devices.every_device(await self._listing(), self._kind))
            except ValueError as error:
                raise EvaluatorError(f"{self.name}: {error}") from error
        for device in chosen:
            restricted = devices.restriction(device, self._kind)
            lease = ("--lease", f"{LEASE_SECONDS:g}")
            command = (*self._command, "--serve", *lease, *self._options, *restricted)
            name = f"{self.name}:{device}" if device else self.name
            link = WorkerLink(command, lease=LEASE_SECONDS, variables=self._variables)
            joined(WorkerDevice(name, link, self._task))

    async def _listing(self) -> devices.Listing:
        process = await asyncio.create_subprocess_exec(
            *self._command,
            "--list-devices",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment(self._variables),
        )
        try:
            out, words = await asyncio.wait_for(_both(process), LIST_SECONDS)
        except TimeoutError:
            raise EvaluatorError(
                f"{self.name} did not list its devices in {LIST_SECONDS:.0f} s"
            ) from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        try:
            return devices.read_listing(out)
        except ValueError:
            lines = words.decode(errors="replace").strip().splitlines() or ["no answer"]
            last = with_remedy(plain(lines[-1], 300))
            raise EvaluatorError(f"{self.name} does not list its devices: {last}") from None

    async def close(self) -> None:
        """See `Site.close`."""
