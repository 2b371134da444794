"""`dask://SCHEDULER:PORT[?resource=device]`: each worker of a Dask cluster is a device.

`dask:///FOLDER/scheduler.json` reads the address in the file that `dask scheduler --scheduler-file`
writes, again for each connection, so that a scheduler may come back at another address.

A Dask worker has the GPU or the cores that its own environment leaves it, such as
`CUDA_VISIBLE_DEVICES` and the affinity that Slurm or dask-cuda set; start one for each device.
Requests take one unit of a resource, so that two sessions on a cluster do not share a device.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote

from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.workers.dask_site import DaskSite
from avo_tui.evaluation.workers.ports import Site
from avo_tui.evaluation.workers.sites import SiteRequest, only

if TYPE_CHECKING:
    from distributed import Client


def make_site(url: SplitResult, wanted: SiteRequest) -> Site:
    """The site of a URL. Raises ValueError, one sentence."""
    only(url, wanted.query, {"resource"})
    scheduler = _scheduler(url)
    if wanted.devices != ("",):
        raise ValueError(
            "--devices means nothing to dask: each of its workers is a device; start as many as "
            "you want, each with its own CUDA_VISIBLE_DEVICES"
        )
    if missing := what_is_missing():
        raise ValueError(f"--evaluator {url.geturl()}: {missing}")
    return DaskSite(scheduler, wanted.task, wanted.worker_options, wanted.query.get("resource"))


def what_is_missing() -> str:
    """What must be installed before a cluster can be used; "" where nothing is missing."""
    if find_spec("distributed") is None:
        return "dask is not installed: pip install 'avo-tui[dask]'"
    return ""


def _scheduler(url: SplitResult) -> Scheduler:
    if not url.netloc and url.path.startswith("/"):
        return Scheduler(file=Path(unquote(url.path)))
    if not url.hostname or not url.port or url.path.strip("/"):
        raise ValueError(
            f"--evaluator {url.geturl()}: name the scheduler with its port, such as "
            "dask://node1:8786, or its file with the whole path, such as "
            "dask:///home/me/scheduler.json"
        )
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    return Scheduler(address=f"tcp://{host}:{url.port}")


class Scheduler:
    """A Dask scheduler that somebody else started: at an address, or at the one in a file."""

    def __init__(self, *, address: str = "", file: Path | None = None) -> None:
        self._address = address
        self._file = file

    @property
    def name(self) -> str:
        """Where it is, for messages."""
        return self._address or f"the address in {self._file}"

    async def connect(self, seconds: float) -> Client:
        """A new connection. Raises EvaluatorError where there is none within `seconds`."""
        from distributed import Client

        address = self._address or self._address_in_file()
        client = Client(address, asynchronous=True, timeout=seconds, set_as_default=False)
        try:
            await client
        except (OSError, ValueError) as error:  # ValueError: no address of Dask
            with contextlib.suppress(Exception):  # a connection that was never whole
                await client.close(timeout=1)
            raise EvaluatorError(f"there is no Dask scheduler at {address}: {error}") from error
        return client

    def _address_in_file(self) -> str:
        assert self._file is not None
        try:
            address = json.loads(self._file.read_text())["address"]
        except OSError as error:
            raise EvaluatorError(
                f"the scheduler's file {self._file} cannot be read: {error.strerror}; write it "
                "with dask scheduler --scheduler-file"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise EvaluatorError(
                f"{self._file} names no address; dask scheduler --scheduler-file writes such files"
            ) from error
        return str(address)

    async def tend(self, workers: Collection[str]) -> bool:
        """See `SchedulerSource.tend`: whoever started the cluster starts its workers."""
        return False

    async def close(self) -> None:
        """Does nothing: whoever started the scheduler ends it."""
