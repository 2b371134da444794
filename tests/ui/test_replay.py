from __future__ import annotations

from make_session import MemorySource
from pilots import make_app, running

from avo_tui.domain.commands import Pause
from avo_tui.ui.feed import Feed
from avo_tui.ui.replay import ReplaySource


def test_a_replay_ends_in_the_recorded_state(recorded: MemorySource) -> None:
    replay = ReplaySource(recorded, speed=1e9)
    while replay.poll():
        pass
    assert replay.state.session == recorded.state.session
    assert replay.state.versions == recorded.state.versions
    assert replay.status().at_end


def test_seeking_back_forgets_what_comes_later(recorded: MemorySource) -> None:
    replay = ReplaySource(recorded)
    replay.seek(len(recorded.journal))
    many = len(replay.state.versions)
    replay.seek(200)
    assert 0 < len(replay.state.versions) < many
    assert replay.state.session.applied == 200
    assert replay.generation == 2


def test_steps_are_stations(recorded: MemorySource) -> None:
    replay = ReplaySource(recorded)
    replay.toggle()
    for wanted in (0, 1, 2, 3):
        replay.next_step()
        assert replay.state.session.step == wanted
    replay.previous_step()
    assert replay.state.session.step == 2


def test_nothing_can_be_sent(recorded: MemorySource) -> None:
    replay = ReplaySource(recorded)
    try:
        replay.send(Pause())
    except ValueError as error:
        assert "replay" in str(error)
    else:
        raise AssertionError("a replay took a command")


def test_the_feed_starts_again_after_a_jump(recorded: MemorySource) -> None:
    replay = ReplaySource(recorded)
    replay.toggle()
    feed = Feed(replay)
    feed.prime()
    assert feed.latest is not None and not feed.latest.versions
    replay.seek(len(recorded.journal))
    feed.prime()
    assert len(feed.latest.versions) == len(recorded.state.versions)


async def test_the_screens_play_it(recorded: MemorySource) -> None:
    app = make_app(MemorySource(steps=2))
    replay = ReplaySource(recorded, speed=1.0)
    replay.toggle()
    app.start_source = replay
    async with running(app) as hands:
        bar = app.screen.query_one("#status")
        await hands.until(lambda: "REPLAY stands still" in bar.row.plain)  # type: ignore[attr-defined]
        await hands.press("full_stop", "full_stop", "full_stop")
        await hands.until(lambda: app.latest is not None and app.latest.session.step == 2)
        await hands.press("p")
        assert any("replay" in said for said in hands.said)
        await hands.press("right_square_bracket", "space")
        await hands.until(lambda: "REPLAY 2×" in bar.row.plain)  # type: ignore[attr-defined]
