"""Engines of lines are killed with SIGKILL, with and without the process that conducts them."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from avo_tui.campaign.conductor import Conductor
from avo_tui.domain.budget import Caps
from avo_tui.store import (
    CampaignFolder,
    CampaignReader,
    CampaignView,
    CampaignWriter,
    SessionReader,
)
from tests.campaign.engines import Engines
from tests.campaign.stage import new_campaign

EVALUATIONS, LINES = 24, 3


@pytest.fixture
def engines(tmp_path: Path) -> Iterator[Engines]:
    engines = Engines(tmp_path)
    yield engines
    engines.close()


async def conduct(
    folder: CampaignFolder, engines: Engines, enough: Callable[[CampaignView], bool] | None = None
) -> CampaignView:
    """Conducts until it is over, or until `enough`; then the conductor is gone without a word."""
    reader = CampaignReader(folder)
    store = CampaignWriter(folder.path)
    try:
        conductor = Conductor(store, engines.used)
        async with asyncio.timeout(600):
            while await asyncio.to_thread(conductor.look):
                if enough is not None and enough(reader.view()):
                    break
                await asyncio.sleep(0.02)
    finally:
        store.close()
    return reader.view()


def has_spent(evaluations: int, view: CampaignView) -> bool:
    return view.spend.evaluations >= evaluations


def kill_lines(folder: CampaignFolder) -> int:
    """Kills every engine that runs; how many."""
    killed = 0
    for line in folder.read().lines:
        session = folder.session(line)
        status = SessionReader.open(session).engine() if session.is_dir() else None
        if status is not None and status.alive and status.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(status.pid, signal.SIGKILL)
                killed += 1
    return killed


@pytest.mark.timeout(900)
@pytest.mark.slow
async def test_everything_is_killed_twice_and_nothing_is_lost_or_done_twice(
    engines: Engines,
) -> None:
    folder = new_campaign(lines=LINES, migrate=3, caps=Caps(evaluations=EVALUATIONS))
    sent = 0
    for most in (5, 12):
        view = await conduct(folder, engines, partial(has_spent, most))
        sent = max(sent, len(view.migrations))
        kill_lines(folder)
    final = await conduct(folder, engines)
    assert final.state == "over" and {line.state for line in final.lines} == {"finished"}
    assert EVALUATIONS <= final.spend.evaluations <= EVALUATIONS + LINES
    ids = [m.migration.id for m in final.migrations]
    assert len(ids) == len(set(ids)) >= sent
    for line in final.lines:
        state = SessionReader.open(line.folder).state
        origins = [v.origin for v in state.versions.values() if v.origin]
        assert len(origins) == len(set(origins)), "nothing was carried over twice"
        assert sorted(state.versions) == list(range(len(state.versions)))
