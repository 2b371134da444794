"""A lost engine is started again, and one that ended in good order is not."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from avo_tui.domain import events as ev
from avo_tui.domain.base import now
from avo_tui.domain.budget import Budget, Caps
from avo_tui.domain.records import SessionRecord
from avo_tui.domain.run_settings import RunSettings
from avo_tui.evolution.keep import RestartBackoff, keep
from avo_tui.evolution.keep import main as keep_main
from avo_tui.evolution.process import EngineFailed, is_kept, keeper_lock, start_keeper
from avo_tui.store import (
    DiskTrouble,
    SessionReader,
    SessionWriter,
    diagnose,
    engine_status,
    known_sessions,
)
from tests.evolution.engine_process import __file__ as ENGINE
from tests.evolution.fake_evaluator import TASK
from tests.waiting import wait_for


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    settings = RunSettings(operator="tuner", budget=Budget(run=Caps(evaluations=6)))
    record = SessionRecord(
        name="kept", task=TASK, created=now(), settings=settings, budget=settings.budget
    )
    SessionWriter.create(tmp_path / "kept", record).close()
    known_sessions.remember(tmp_path / "kept")
    return tmp_path / "kept"


def test_waits_grow_and_end() -> None:
    patience = RestartBackoff(first_seconds=5, most_seconds=30, good_seconds=100, limit=4)
    assert [patience.after(1) for _ in range(5)] == [5, 10, 20, 30, None]
    assert patience.after(200) == 5


class Starter:
    """Starts real engines over the fake evaluator, and kills the first ones."""

    def __init__(self, kills: int) -> None:
        self.kills = kills
        self.restarts: list[int] = []

    def __call__(self, folder: Path, *, restarts: int) -> int:
        self.restarts.append(restarts)
        arguments = [sys.executable, ENGINE, str(folder), "0.02", "--restarts", str(restarts)]
        process = subprocess.Popen(arguments)
        wait_for(lambda: engine_status(folder / "engine.lock").alive or process.poll() is not None)
        if len(self.restarts) <= self.kills:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        else:
            threading.Thread(target=process.wait, daemon=True).start()
        return process.pid


def briefly(seconds: float) -> None:
    """Instead of the keeper's two seconds between two looks."""
    time.sleep(min(seconds, 0.05))


def quick(limit: int = 20) -> RestartBackoff:
    return RestartBackoff(first_seconds=0.01, most_seconds=0.01, limit=limit)


def test_a_run_goes_on_over_kills_to_its_end(folder: Path) -> None:
    starter = Starter(kills=1)
    assert keep(folder, quick(), start=starter, sleep=briefly) == 0
    assert starter.restarts == [1, 2]
    reader = SessionReader.open(folder)
    assert reader.state.session.state == "finished"
    assert reader.state.session.spend.evaluations == 6
    engines = [e.engine for e in reader.events() if isinstance(e, ev.EngineStarted)]
    assert engines[-1].restarts == 2
    assert keep(folder, quick(), start=starter, sleep=briefly) == 0
    assert starter.restarts == [1, 2]  # what ended in good order stays ended


def test_it_gives_up_where_every_start_fails(folder: Path) -> None:
    starts = []

    def fail(folder: Path, *, restarts: int) -> int:
        starts.append(restarts)
        raise EngineFailed("no")

    assert keep(folder, quick(limit=3), start=fail) == 1
    assert starts == [1, 2, 3]


def test_a_disk_that_is_away_does_not_end_the_keeper(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, refusals = SessionReader.open, [DiskTrouble("the file server is away")]

    def sometimes(path: Path) -> SessionReader:
        if refusals:
            raise refusals.pop()
        return real(path)

    monkeypatch.setattr(SessionReader, "open", sometimes)
    starter = Starter(kills=0)
    assert keep(folder, quick(), start=starter, sleep=briefly) == 0
    assert starter.restarts == [1]


def test_one_keeper_at_a_time(folder: Path) -> None:
    assert not is_kept(folder)
    lock = keeper_lock(folder)
    assert lock is not None and is_kept(folder)
    assert start_keeper(folder) is None
    assert keep_main([str(folder)]) == 0
    os.close(lock)
    assert not is_kept(folder)


def test_the_first_start_does_not_wait_and_the_next_ones_do(folder: Path) -> None:
    """After a reboot no engine runs, and there is nothing that a pause would be good for."""
    waits: list[float] = []

    def fail(folder: Path, *, restarts: int) -> int:
        raise EngineFailed("no")

    patience = RestartBackoff(first_seconds=5, limit=3)
    assert keep(folder, patience, start=fail, sleep=waits.append, clock=lambda: 0.0) == 1
    assert waits == [0.0, 10.0, 20.0]


@pytest.mark.parametrize("order", ["keeper first", "engine first"])
def test_keeper_and_engine_killed_in_either_order(folder: Path, order: str) -> None:
    """The next keeper starts the run again, and it comes to its end with nothing done twice."""
    engine = subprocess.Popen([sys.executable, ENGINE, str(folder), "0.05"])
    wait_for(lambda: SessionReader.open(folder).state.versions or engine.poll() is not None)
    keeper = subprocess.Popen([sys.executable, "-m", "avo_tui.evolution.keep", str(folder)])
    wait_for(lambda: is_kept(folder) or keeper.poll() is not None)
    for process in (keeper, engine) if order == "keeper first" else (engine, keeper):
        process.kill()
        process.wait()
    assert not is_kept(folder)
    starter = Starter(kills=0)
    assert keep(folder, quick(), start=starter, sleep=briefly) == 0
    assert len(starter.restarts) <= 1
    reader = SessionReader.open(folder)
    assert reader.state.session.state == "finished"
    assert reader.state.session.spend.evaluations == 6
    assert [f.sentence for f in diagnose(folder) if f.level == "fail"] == []
