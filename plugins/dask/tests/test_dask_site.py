"""The life of a connection to a Dask cluster, with a client that breaks when the test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from typing import Any

import pytest
from avo_tui_dask import site
from avo_tui_dask.site import DaskSite

from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.workers.link import WorkerGoneError
from avo_tui.evaluation.workers.ports import Device
from tests.waiting import until


class FakeCluster:
    """A scheduler with its workers; also the source that connects to it."""

    name = "tcp://fake:1"

    def __init__(self) -> None:
        self.workers = {"tcp://w:1": "one"}
        """Address → name of a worker."""
        self.number = 1
        """Another scheduler has another."""
        self.reachable = True
        self.frozen = False
        self.clients: list[FakeClient] = []

    async def connect(self, seconds: float) -> FakeClient:
        if not self.reachable:
            raise EvaluatorError("there is no Dask scheduler")
        self.clients.append(FakeClient(self))
        return self.clients[-1]

    async def tend(self, workers: Collection[str]) -> bool:
        return False

    async def close(self) -> None: ...

    async def identity(self, n_workers: int) -> dict[str, Any]:
        while self.frozen:  # ends: the test lets it go
            await asyncio.sleep(0)
        if not self.reachable:
            raise OSError("connection refused")
        workers = {
            address: {"name": name, "resources": {"device": 1}}
            for address, name in self.workers.items()
        }
        return {"id": f"Scheduler-{self.number}", "workers": workers}


class FakeClient:
    def __init__(self, cluster: FakeCluster) -> None:
        self.scheduler = cluster
        self.cluster = cluster
        self.status = "running"
        self.futures: list[FakeFuture] = []
        self.calls: list[str] = []
        self.closed = False

    def subscribe_topic(self, topic: str, handler: object) -> None: ...

    def submit(self, work: Any, *arguments: object, **options: Any) -> FakeFuture:
        if self.status == "closed":
            raise RuntimeError("Client is closed")
        self.futures.append(FakeFuture(work.__name__, options))
        return self.futures[-1]

    async def run(self, work: Any, *arguments: object, workers: list[str]) -> dict[str, Any]:
        self.calls.append(work.__name__)
        while self.cluster.frozen:  # ends: the test lets it go
            await asyncio.sleep(0)
        return {address: [] for address in workers}

    async def close(self, timeout: float) -> None:
        self.status, self.closed = "closed", True


class FakeFuture:
    def __init__(self, work: str, options: dict[str, Any]) -> None:
        self.work, self.options = work, options
        self.outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if work == "hello":
            self.outcome.set_result({"life": "a"})

    async def result(self) -> Any:
        return await self.outcome

    async def cancel(self) -> None: ...


class Stage:
    """A site at a fake cluster, and what it told of its devices."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self.site = DaskSite(self.cluster, "task", (), None)
        self.told: list[str] = []
        self.taken: set[str] = set()
        """Names that other devices have."""

    def joined(self, device: Device) -> None:
        if device.name in self.taken:
            raise EvaluatorError(f"the device {device.name} is named twice")
        self.told.append(f"{device.name} joined")

    def left(self, name: str, reason: str) -> None:
        self.told.append(f"{name} left: {reason}")

    async def ask(self) -> tuple[asyncio.Task[Any], FakeFuture]:
        """A request that its worker is at."""
        client = self.cluster.clients[-1]
        before = len(client.futures)
        task = asyncio.create_task(self.site.links["dask:one"].request({"op": "evaluate"}))
        await until(lambda: [f for f in client.futures[before:] if f.work == "answer"])
        return task, client.futures[-1]


@pytest.fixture
async def stage(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    monkeypatch.setattr(site, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(site, "BREAK_SECONDS", 0.001)
    stage = Stage()
    await stage.site.open(stage.joined, stage.left)
    assert stage.told == ["dask:one joined"]
    yield stage
    stage.cluster.frozen = False
    await stage.site.close()
    assert all(client.closed for client in stage.cluster.clients)


async def test_a_request_takes_a_unit_of_the_device_and_no_other_worker(stage: Stage) -> None:
    task, future = await stage.ask()
    assert future.options["resources"] == {"device": 1}
    assert future.options["workers"] == ["tcp://w:1"]
    assert future.options["allow_other_workers"] is False
    future.outcome.set_result("answer")
    assert await task == "answer"


@pytest.mark.parametrize("how", ["refuses", "reconnects by itself", "gave up"])
async def test_a_broken_connection_loses_every_device_until_the_next(
    stage: Stage, how: str
) -> None:
    task, _ = await stage.ask()
    stage.cluster.reachable = False
    if how != "refuses":
        stage.cluster.clients[0].status = "connecting" if how[-1] == "f" else "closed"
    with pytest.raises(WorkerGoneError, match="scheduler"):
        await task
    assert stage.told[1].startswith("dask:one left: the ") and not stage.site.links
    assert len(stage.cluster.clients) == 1
    stage.cluster.reachable = True
    await until(lambda: stage.told[2:])
    assert stage.told[2:] == ["dask:one joined"] and len(stage.cluster.clients) == 2
    again, future = await stage.ask()
    future.outcome.set_result("second")
    assert await again == "second"


async def test_a_scheduler_restarted_between_two_looks_is_noticed(stage: Stage) -> None:
    """Dask's client has connected to the new one by itself; the worker has the same address."""
    task, _ = await stage.ask()
    stage.cluster.number += 1
    with pytest.raises(WorkerGoneError, match="restarted"):
        await task
    await until(lambda: len(stage.told) == 3)
    assert stage.told[1:] == ["dask:one left: the Dask scheduler was restarted", "dask:one joined"]


async def test_a_silent_scheduler_is_lost(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "SILENT_SECONDS", 0.01)
    task, _ = await stage.ask()
    stage.cluster.frozen = True
    with pytest.raises(WorkerGoneError, match="has not answered"):
        await task
    stage.cluster.frozen = False
    monkeypatch.setattr(site, "SILENT_SECONDS", 60.0)
    await until(lambda: stage.site.links)


async def test_what_dask_cancels_is_a_lost_worker_and_cancels_nothing_here(stage: Stage) -> None:
    task, future = await stage.ask()
    future.outcome.cancel()  # as Dask's FutureCancelledError, which is a CancelledError
    with pytest.raises(WorkerGoneError, match="gave the request up"):
        await task
    assert not task.cancelled()


async def test_a_cancelled_request_does_not_wait_for_a_frozen_scheduler(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, _ = await stage.ask()
    stage.cluster.frozen = True
    task.cancel()
    await until(lambda: "cancel" in stage.cluster.clients[0].calls)
    monkeypatch.setattr(site, "SILENT_SECONDS", 0.01)
    stage.cluster.clients[0].status = "connecting"
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_worker_at_another_address_is_a_new_one_of_that_name(stage: Stage) -> None:
    task, _ = await stage.ask()
    stage.cluster.workers = {"tcp://w:2": "one", "tcp://w:3": "two"}
    with pytest.raises(WorkerGoneError, match="Dask worker is gone"):
        await task
    await until(lambda: len(stage.told) == 4)
    gone = "dask:one left: its Dask worker is gone"
    assert stage.told[1:] == [gone, "dask:one joined", "dask:two joined"]
    assert stage.site.links["dask:one"].address == "tcp://w:2"


async def test_a_name_that_another_cluster_has_is_left_out_and_ends_nothing(stage: Stage) -> None:
    stage.taken.add("dask:two")
    stage.cluster.workers = {"tcp://w:1": "one", "tcp://w:2": "two", "tcp://w:3": "three"}
    await until(lambda: "dask:three joined" in stage.told)
    stage.cluster.workers = {"tcp://w:1": "one"}
    await until(lambda: len(stage.told) == 3)
    assert stage.told[2:] == ["dask:three left: its Dask worker is gone"]


async def test_whatever_dask_raises_is_survived(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def odd(self: FakeCluster, n_workers: int) -> dict[str, Any]:
        raise KeyError("odd")

    with monkeypatch.context() as patch:
        patch.setattr(FakeCluster, "identity", odd)
        await until(lambda: len(stage.cluster.clients) > 2)
    await until(lambda: stage.site.links)
    assert stage.told[1:] == ["dask:one left: Dask: KeyError: 'odd'", "dask:one joined"]
