"""A session that somebody else made: it is looked at freely, and gone on with after a question."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from avo_tui.domain.commands import SetBudget
from avo_tui.domain.events import HintQueued
from avo_tui.domain.records import Hint
from avo_tui.store import SessionReader, send_command
from avo_tui.ui.dialogs import Confirm
from avo_tui.ui.screens.run.screen import RunScreen
from tests.ui.make_session import MemorySource, write
from tests.ui.pilots import SERVICES, make_app, running


class Elsewhere:
    """What the app may do with a session of unknown origin, and what it did."""

    def __init__(self) -> None:
        self.own: set[Path] = set()
        self.started: list[Path] = []
        self.taken: list[Path] = []

    @property
    def services(self) -> object:
        return replace(
            SERVICES,
            is_own=lambda folder: folder in self.own,
            agree=self.own.add,
            starts=lambda settings: [f"operator {settings.operator}", "no cap on what it spends"],
            start_engine=self.started.append,
            take_inbox=self.taken.append,
        )


@pytest.fixture
def stopped(tmp_path: Path) -> MemorySource:
    write(tmp_path / "theirs", steps=2, live=False)
    source = MemorySource(steps=2, name="theirs", state="stopped")
    source.folder = tmp_path / "theirs"
    return source


async def test_going_on_is_asked_about_once(stopped: MemorySource) -> None:
    machine = Elsewhere()
    app = make_app(stopped, services=machine.services)
    async with running(app, (120, 40)) as hands:
        await hands.until(lambda: "goes on" not in hands.bar("#status"), "a key is promised")
        assert "R go on …" in hands.bar("#actions")
        await hands.press("R")
        assert isinstance(app.screen, Confirm) and not machine.started
        shown = "".join(hands.rows())
        assert "not made by you" in shown and "no cap on what it spends" in shown
        await hands.press("escape")
        assert isinstance(app.screen, RunScreen) and not machine.started and not machine.own
        await hands.press("R", "ctrl+s")
        await hands.until(lambda: machine.started == [stopped.folder])
        assert machine.own == {stopped.folder}
        await hands.until(lambda: "R goes on" in hands.bar("#status"))
        await hands.press("R")
        await hands.until(lambda: len(machine.started) == 2)


async def test_a_command_that_would_start_an_engine_asks_first_and_says_one_thing(
    stopped: MemorySource,
) -> None:
    machine = Elsewhere()
    app = make_app(stopped, services=machine.services)
    async with running(app, (120, 40)) as hands:
        await hands.press("b", "ctrl+s")
        assert isinstance(app.screen, Confirm) and not stopped.sent and not hands.said
        await hands.press("escape")
        assert not stopped.sent and not hands.said
        await hands.press("b", "ctrl+s", "ctrl+s")
        await hands.until(lambda: machine.taken == [stopped.folder])
        assert isinstance(stopped.sent[-1], SetBudget) and len(hands.said) == 1


async def test_what_was_asked_for_is_seen_until_it_is_taken(tmp_path: Path) -> None:
    from avo_tui.domain.commands import Rewind, SendHint

    folder = tmp_path / "theirs"
    write(folder, steps=2, live=False)
    send_command(folder, Rewind(version=1, reason="x"))
    send_command(folder, SendHint(text="tiles\x1b[31m"))
    source = MemorySource(steps=2, name="theirs", state="running")
    source.folder = folder
    app = make_app(source)
    async with running(app, (160, 40)) as hands:
        await hands.until(lambda: "2 queued: rewind to v1, hint" in hands.bar("#status"))
        await hands.resize(80, 24)
        await hands.until(lambda: "2 queued" in hands.bar("#status"))
        for path in (folder / "inbox").iterdir():
            path.unlink()
        await hands.until(lambda: "queued" not in hands.bar("#status"))
        moment = source.state.session.created
        hint = Hint(id="h1", text="tiles", queued_at=moment)
        source.waiting.append(HintQueued(hint=hint, at=moment))  # taken, and not delivered yet
        await hands.until(lambda: "1 queued" in hands.bar("#status"))
    assert SessionReader.open(folder).name == "theirs"
