"""The feed: a long step comes after its session; tables without a change are the same."""

from collections.abc import Callable
from threading import Event, Thread

from avo_tui.domain import events as ev
from avo_tui.ui.session.feed import Feed
from tests.ui.make_session import MemorySource


def followed(feed: Feed, condition: Callable[[Feed], bool]) -> None:
    thread = Thread(target=feed.run, daemon=True)
    thread.start()
    waiting = Event()
    for _ in range(12_000):
        if condition(feed):
            break
        waiting.wait(0.01)
    feed.stop()
    thread.join(60)
    assert condition(feed)


def test_what_a_long_step_said_comes_after_the_first_snapshot(source: MemorySource) -> None:
    whole = Feed(source)
    whole.prime()
    assert whole.latest is not None
    feed = Feed(source)
    feed.prime(3)
    assert feed.latest is not None
    assert len(feed.latest.live.stream) < len(whole.latest.live.stream)
    assert feed.latest.versions == whole.latest.versions
    source.waiting.append(ev.AgentText(block="later", text="and more"))
    followed(feed, lambda f: bool(f.latest and f.latest.live.stream[-1:]) and _last(f) == "later")
    assert [e.key for e in feed.latest.live.stream[:-1]] == [
        e.key for e in whole.latest.live.stream
    ]


def _last(feed: Feed) -> str:
    assert feed.latest is not None
    return feed.latest.live.stream[-1].key


def test_a_table_without_a_change_is_the_same_table(source: MemorySource) -> None:
    feed = Feed(source)
    feed.prime()
    first = feed.latest
    source.add(ev.AgentText(block="b", text="words"))
    feed.publish()
    second = feed.latest
    assert first is not None and second is not None
    assert second.attempts is first.attempts and second.versions is first.versions
    source.add(ev.VersionAnnotated(number=0, note="seen"))
    feed.publish()
    assert feed.latest is not None
    assert feed.latest.versions is not first.versions
    assert feed.latest.versions[0].note == "seen"
    assert first.versions[0].note == ""
