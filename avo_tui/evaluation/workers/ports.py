"""What a fleet is made of: devices, and the sites that they are at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import SplitResult

from avo_tui.domain.device import DeviceState
from avo_tui.domain.machine import MachineInfo
from avo_tui.evaluation.ports import EvaluatorError, ProgressSink


class DeviceRefusedError(EvaluatorError):
    """A device cannot be used in this run, however often it is tried. The text says why."""


class Link(Protocol):
    """A line to a worker process, which is started when it is needed."""

    @property
    def pid(self) -> int | None:
        """The process that was started on this machine, while there is one."""

    async def hello(self) -> dict[str, Any]:
        """What the worker says about itself; the same object while it is the same worker.

        Raises EvaluatorError where it does not start, WorkerGoneError where it ends meanwhile.
        """

    async def request(self, body: dict[str, object], progress: ProgressSink | None = None) -> Any:
        """The answer to one request. Raises EvaluatorError and WorkerGoneError."""

    async def sense(self) -> tuple[DeviceState, ...]:
        """See `Device.sense`."""

    async def rest(self) -> None:
        """Ends an idle worker."""

    async def close(self) -> None:
        """Ends the worker and what runs under it."""


class Device(Protocol):
    """One device, with the worker process that measures on it."""

    @property
    def name(self) -> str:
        """Name of the device, such as `local:1`; unique in a fleet."""

    @property
    def host(self) -> str:
        """Name of the machine that it is in; "" before it was asked."""

    async def start(self) -> MachineInfo:
        """Prepare the device for requests; returns at once if it is ready.

        Raises DeviceRefusedError if trying again is useless, otherwise EvaluatorError.
        """

    async def request(self, body: dict[str, object], progress: ProgressSink | None) -> Any:
        """The answer to one request; cancelling it first ends the candidate on the device.

        Raises WorkerGoneError if the worker is lost before it answers, and EvaluatorError.
        """

    async def sense(self) -> tuple[DeviceState, ...]:
        """How the device and its machine's processor are; () where its worker does not run.

        May be called while a request is served. Raises WorkerGoneError and EvaluatorError.
        """

    async def rest(self) -> None:
        """Free memory until the next request; does nothing during a request."""

    async def close(self) -> None:
        """Ends the worker, and waits until it is gone."""


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


def only(url: SplitResult, query: Mapping[str, str], known: set[str]) -> None:
    """Raises ValueError for a part of the query that the scheme does not know."""
    odd = sorted(set(query) - known)
    if odd:
        raise ValueError(
            f"--evaluator {url.geturl()}: {url.scheme} knows no {odd[0]!r}; it knows "
            f"{', '.join(sorted(known))}"
        )
