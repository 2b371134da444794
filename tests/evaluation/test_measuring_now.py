"""Who measures on this machine now: told from the list of locks, without taking one."""

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from avo_tui.evaluation.locks import ENGINE_LOCK, device_lock, holder, measuring_text
from avo_tui.evaluation.paths import lock_file
from avo_tui.store.layout import Layout


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def listed(*held: tuple[Path, int]) -> str:
    """/proc/locks with these files locked by these processes, among others."""
    lines = ["1: POSIX  ADVISORY  WRITE 7 fe:00:8062124 128 128", "nonsense", ""]
    lines += [
        f"{n}: FLOCK  ADVISORY  WRITE {pid} fe:00:{path.stat().st_ino} 0 EOF"
        for n, (path, pid) in enumerate(held, start=2)
    ]
    return "\n".join(lines)


def test_the_holder_and_those_who_wait_are_told(tmp_path: Path) -> None:
    lock, free = lock_file("cpu"), lock_file("gpu-0")
    queue = lock.with_suffix(".queue")
    queue.mkdir()
    tickets = [queue / "1", queue / "2", queue / "of-a-dead-process"]
    for file in (lock, free, *tickets):
        file.write_text("")
    locks = tmp_path / "locks"
    locks.write_text(listed((lock, 2**30), (tickets[0], 8), (tickets[1], 9)))
    assert measuring_text(locks) == f"cpu is in use by process {2**30}, 2 more waiting"
    locks.write_text(listed())
    assert measuring_text(locks) == ""
    assert measuring_text(tmp_path / "none") == "", "a system that does not tell"


def test_of_those_who_share_a_lock_the_one_that_measures_is_named(tmp_path: Path) -> None:
    """One who has its share of the processor may still wait for its own cores."""
    lock, locks = lock_file("cpu"), tmp_path / "locks"
    queue = lock_file("cpu-0").with_suffix(".queue")
    queue.mkdir()
    ticket = queue / "1"
    for file in (lock, ticket):
        file.write_text("")
    measures, waits = 2**30, 2**30 + 1
    locks.write_text(listed((lock, measures), (lock, waits), (ticket, waits)))
    assert holder(lock, locks) == f"process {measures}"
    locks.write_text(listed((lock, 0)))
    assert holder(lock, locks) == "another process", "of another container"
    assert holder(lock, tmp_path / "none") == "another process"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux lists open files")
def test_the_session_is_named_by_the_lock_that_its_engine_keeps_open(tmp_path: Path) -> None:
    """This process plays the engine, its child the worker that holds the device."""
    assert Layout(tmp_path).lock.name == ENGINE_LOCK
    folder = tmp_path / "mine"
    folder.mkdir()
    lock = lock_file("cpu")
    lock.write_text("")
    locks = tmp_path / "locks"
    with (folder / ENGINE_LOCK).open("w"), subprocess.Popen(["sleep", "600"]) as worker:
        locks.write_text(listed((lock, worker.pid)))
        text = measuring_text(locks)
        worker.kill()
    assert text == f"cpu is in use by session mine (process {worker.pid})"


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="only Linux lists its locks")
async def test_a_measurement_that_runs_is_seen() -> None:
    async with asyncio.timeout(240):
        async with device_lock("test", lambda _: None):
            text = measuring_text()
            if text:  # a container may hide the locks
                assert text == f"test is in use by process {os.getpid()}"
        assert measuring_text() == ""
