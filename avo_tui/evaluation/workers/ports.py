"""What a fleet is made of: devices, and the sites that they are at."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import SplitResult

from avo_tui import __version__
from avo_tui.domain.device import DeviceState
from avo_tui.domain.machine import MachineInfo
from avo_tui.domain.questions import MachineQuestion
from avo_tui.evaluation.ports import EvaluatorError, ProgressSink
from avo_tui.evaluation.tasks import find_tasks
from avo_tui.evaluation.workers import parcels
from avo_tui.evaluation.workers.answers import answer_to
from avo_tui.evaluation.workers.link import WorkerGoneError


class DeviceRefusedError(EvaluatorError):
    """A device cannot be used in this run, however often it is tried. The text says why."""


class Link(Protocol):
    """A line to a worker process, which is started when it is needed."""

    async def hello(self) -> dict[str, Any]:
        """What the worker says about itself; the same object while it is the same worker.

        Raises EvaluatorError where it does not start, WorkerGoneError where it ends meanwhile.
        """

    async def request(self, body: dict[str, object], progress: ProgressSink | None = None) -> Any:
        """The answer to one request. Raises EvaluatorError and WorkerGoneError."""

    async def sense(self) -> tuple[DeviceState, ...]:
        """See `Device.sense`; starts no worker."""

    async def rest(self) -> None:
        """Ends an idle worker."""

    async def close(self) -> None:
        """Ends the worker and what runs under it."""


class Device:
    """One device, with the worker process that measures on it."""

    def __init__(self, name: str, link: Link, task: str) -> None:
        """`name`: such as `local:1`, unique in a fleet. `task`: what it is warmed for, and whose
        files must be the same there as here."""
        self.name = name
        self._link = link
        self._task = task
        self._prepared: dict[str, Any] | None = None
        self._machine: MachineInfo | None = None
        self.host = ""
        """The machine that it is in; "" before it was asked."""
        self._starting = asyncio.Lock()

    async def start(self) -> MachineInfo:
        """Starts the worker, compares program and task with its own, and warms it; returns at once
        if it is ready.

        Raises DeviceRefusedError if trying again is useless, otherwise EvaluatorError.
        """
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
            question = MachineQuestion()
            answer = await self._link.request(question.request(self._task))
            return answer_to(question, self._task, answer)
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
        """The answer to one request; cancelling it first ends the candidate on the device.

        Raises WorkerGoneError if the worker is lost before it answers, and EvaluatorError.
        """
        try:
            await self.start()
        except DeviceRefusedError:
            raise
        except EvaluatorError as error:
            raise WorkerGoneError(str(error)) from error
        return await self._link.request(body, progress)

    async def sense(self) -> tuple[DeviceState, ...]:
        """How the device and its machine's processor are; () where its worker does not run.

        May be called while a request is served. Raises WorkerGoneError and EvaluatorError.
        """
        states = await self._link.sense()
        return tuple(state.replaced(host=self.host) for state in states)

    async def rest(self) -> None:
        await self._link.rest()

    async def close(self) -> None:
        await self._link.close()


Joined = Callable[[Device], None]
Left = Callable[[str, str], None]
"""Called with the name of a device and the reason why it is no longer there."""


class Site(Protocol):
    """A place with devices: one machine, or a cluster whose devices come and go."""

    async def open(self, joined: Joined, left: Left) -> None:
        """Calls `joined` for each device that there is, and for each that comes later.

        Raises EvaluatorError where the site cannot be reached (it may be opened again then), and
        ValueError for a device that it does not have.
        """

    async def close(self) -> None:
        """End what `open` started; the fleet closes the devices."""


@dataclass(frozen=True)
class SiteRequest:
    """What a session asks of a site."""

    task: str
    kind: str
    """The task's device: `cuda` or `cpu`."""
    devices: tuple[str, ...] = ("",)
    """Devices as a person names them; "" means the machine's default, `all` all its devices."""
    query: Mapping[str, str] = field(default_factory=dict)
    """The query of the URL, such as `python=/opt/venv/bin/python`."""
    worker_options: tuple[str, ...] = ()
    """Arguments that each worker gets, such as `--allow-weak-sandbox`."""


def _nothing() -> str:
    return ""


@dataclass(frozen=True)
class SiteDescriptor:
    """A scheme of an evaluator's URL; a package offers one in the group `avo_tui.evaluators`."""

    scheme: str
    make: Callable[[SplitResult, SiteRequest], Site]
    """The site that a URL names. Raises ValueError with one sentence."""
    what_is_missing: Callable[[], str] = _nothing
    """What must be installed on this machine before it can be used; "" where nothing is missing."""


def only(url: SplitResult, query: Mapping[str, str], known: set[str]) -> None:
    """Raises ValueError for a part of the query that the scheme does not know."""
    odd = sorted(set(query) - known)
    if odd:
        raise ValueError(
            f"--evaluator {url.geturl()}: {url.scheme} knows no {odd[0]!r}; it knows "
            f"{', '.join(sorted(known))}"
        )
