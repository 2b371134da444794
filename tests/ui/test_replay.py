from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise

import pytest

from avo_tui.domain import events as ev
from avo_tui.domain.commands import Pause
from avo_tui.domain.state import SessionState
from avo_tui.ui.session import replay as playing
from avo_tui.ui.session.feed import Feed
from avo_tui.ui.session.replay import ReplaySource
from tests.ui.make_session import MemorySource
from tests.ui.pilots import make_app, running


def test_a_replay_ends_in_the_recorded_state(recorded: MemorySource) -> None:
    replay = ReplaySource(recorded, speed=1e9)
    while replay.poll():  # ends: a record has an end
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
    assert replay.reloads == 2


def folded(recorded: MemorySource, place: int) -> SessionState:
    """The state after so many events, folded from the first."""
    first = recorded.journal[0]
    assert isinstance(first, ev.SessionCreated)
    state = SessionState.begin(first)
    for event in recorded.journal[1:place]:
        state.apply(event)
    return state


def test_every_jump_ends_in_the_state_that_playing_gives(
    recorded: MemorySource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(playing, "APART", 3)
    monkeypatch.setattr(playing, "MOST", 4)
    replay = ReplaySource(recorded)
    total = len(recorded.journal)
    for place in (total, total // 2, 1, total // 3, total - 1, total // 2 + 1, 2, total):
        replay.seek(place)
        assert replay.state == folded(recorded, place), place
        assert replay.status().position == place
        assert [e.seq for e in replay.events()] == list(range(1, place + 1))
    assert len(replay._keyframes._kept) <= 4


def test_a_kept_state_is_not_changed_by_playing_on(recorded: MemorySource) -> None:
    state = folded(recorded, 1)
    frame = playing.Keyframe(playing.copied(state), 0.0)
    for event in recorded.journal[1:]:
        state.apply(event)
    assert frame.state == folded(recorded, 1) != state


def test_keyframes_are_spread_and_few(recorded: MemorySource) -> None:
    state = folded(recorded, 1)
    kept = playing.Keyframes(playing.Keyframe(playing.copied(state), 0.0))
    count = playing.APART * playing.MOST * 10
    for seq in range(2, count):
        state.session = state.session.replaced(applied=seq)
        kept.offer(state, float(seq))
    places = [frame.seq for frame in kept._kept]
    assert places[0] == 1 and playing.MOST // 2 <= len(places) <= playing.MOST
    assert max(b - a for a, b in pairwise(places)) <= count // 8
    assert kept.before(1).seq == 1 and kept.before(places[3] + 1).seq == places[3]


class Counted(MemorySource):
    """Knows how many events were read of it."""

    read = 0

    def events(self, step: int | None = None, after: int = 0) -> Iterator[ev.Event]:
        for event in super().events(step, after):
            self.read += 1
            yield event


def test_no_more_is_read_than_is_played() -> None:
    recorded = Counted(steps=3)
    replay = ReplaySource(recorded)
    replay.toggle()
    assert recorded.read <= 3
    replay.next_step()
    replay.next_step()
    assert recorded.read <= replay.status().position + 3 < len(recorded.journal)


def test_what_a_running_session_adds_is_not_played() -> None:
    recorded = MemorySource(steps=2)
    replay, total = ReplaySource(recorded, speed=1e9), len(recorded.journal)
    for word in ("a", "b"):
        recorded.add(ev.AgentText(block="late", text=word, at=recorded.journal[-1].at))
    replay.seek(10**9)
    assert replay.status().position == replay.status().total == total
    assert replay.status().at_end


def test_long_silence_is_cut_and_short_silence_is_not() -> None:
    recorded = MemorySource(steps=1)
    last = recorded.journal[-1].at
    for seconds in (0.5, 3600.0):
        last += timedelta(seconds=seconds)
        recorded.add(ev.AgentText(block="late", text="word", at=last))
    replay, total, played = ReplaySource(recorded), len(recorded.journal), []
    for number in range(total - 2, total + 1):
        replay.seek(number)
        played.append(replay._at)
    assert played[1] - played[0] == pytest.approx(0.5)
    assert played[2] - played[1] == pytest.approx(2.0)


def test_an_event_of_a_broken_journal_is_passed_over() -> None:
    recorded = MemorySource(steps=1)
    broken = ev.VersionAnnotated(number=77, seq=len(recorded.journal) + 1)
    recorded.journal.append(broken)
    recorded.state.skip(broken)
    replay = ReplaySource(recorded)
    replay.seek(broken.seq)
    assert replay.status().at_end and replay.state.versions == recorded.state.versions


class Failing(MemorySource):
    """A journal that cannot be read behind its tenth event."""

    def events(self, step: int | None = None, after: int = 0) -> Iterator[ev.Event]:
        for event in super().events(step, after):
            if event.seq > 10:
                raise OSError("the disk is gone")
            yield event


def test_a_journal_that_cannot_be_read_on_is_said_by_the_feed_and_ends_no_key() -> None:
    replay = ReplaySource(Failing(steps=2))
    replay.seek(100)
    assert replay.status().at_end and replay.status().position == 10
    with pytest.raises(OSError, match="the disk is gone"):
        replay.poll()
    assert replay.poll() == []
    replay.faster()
    replay.toggle()
    assert replay.status().position == 1


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
    feed = Feed(replay, replay)
    feed.prime()
    assert feed.latest is not None and not feed.latest.versions
    replay.seek(len(recorded.journal))
    feed.prime()
    assert len(feed.latest.versions) == len(recorded.state.versions)


async def test_the_screens_play_it(recorded: MemorySource) -> None:
    app = make_app(MemorySource(steps=2))
    replay = ReplaySource(recorded, speed=1.0)
    replay.toggle()
    app._start = (None, replay, None, "")
    async with running(app) as hands:
        bar = app.screen.query_one("#status")
        await hands.until(lambda: "REPLAY stands still" in bar.row.plain)  # type: ignore[attr-defined]
        await hands.press("full_stop", "full_stop", "full_stop")
        await hands.until(lambda: app.latest is not None and app.latest.session.step == 2)
        await hands.press("p")
        assert any("replay" in said for said in hands.said)
        await hands.press("right_square_bracket", "space")
        await hands.until(lambda: "REPLAY 2×" in bar.row.plain)  # type: ignore[attr-defined]
