"""A campaign of real processes (engines, gates, journals; only the evaluator pretends), killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from avo_tui.domain.budget import Caps
from avo_tui.store import CampaignFolder, CampaignReader, CampaignView, SessionReader
from tests.campaign.stage import new_campaign

PROCESS = Path(__file__).parent / "conductor_process.py"
LIMIT = 240.0


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


def pids(folder: CampaignFolder) -> list[int]:
    """The processes that hold the campaign and its lines."""
    locks = [folder.lock, *folder.root.glob("race.*/engine.lock")]
    texts = [lock.read_text() for lock in locks if lock.exists()]
    return [json.loads(text)["pid"] for text in texts if text]


def kill_all(folder: CampaignFolder) -> None:
    for pid in pids(folder):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@contextmanager
def conducted(folder: CampaignFolder) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, str(PROCESS), str(folder.path), "0.05"])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_all_its_processes_are_killed_and_nothing_is_lost_or_done_twice() -> None:
    folder = new_campaign(lines=3, migrate=3, caps=Caps(evaluations=36))
    reader = CampaignReader(folder)

    def view() -> CampaignView:
        return reader.view()

    try:
        with conducted(folder):  # ... and killed with its lines
            wait_for(lambda: view().migrations)
            kill_all(folder)
        assert view().state == "lost"
        sent = len(view().migrations)
        with conducted(folder):  # ... and killed alone
            wait_for(lambda: view().spend.evaluations >= 20)
        with conducted(folder) as process:  # ... to its end
            assert process.wait(LIMIT) == 0
        final = view()
    finally:
        kill_all(folder)
    assert final.state == "over" and all(line.state == "finished" for line in final.lines)
    assert 36 <= final.spend.evaluations <= 36 + len(final.lines), "one begun when it was used up"
    assert len(final.migrations) >= sent
    ids = [m.migration.id for m in final.migrations]
    assert len(ids) == len(set(ids))
    for line in final.lines:
        state = SessionReader.open(line.folder).state
        origins = [v.origin for v in state.versions.values() if v.origin]
        assert len(origins) == len(set(origins)), "nothing was carried over twice"
        assert sorted(state.versions) == list(range(len(state.versions)))
        assert line.cap == 12
