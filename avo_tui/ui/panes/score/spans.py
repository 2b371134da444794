"""The time spans of a run that the score chart can show."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from avo_tui.domain.records import LIVE_STATES
from avo_tui.ui.session.feed import Snapshot


@dataclass(frozen=True)
class Span:
    """A span of a run that ends now: of fixed length, or from a given moment on."""

    name: str
    """In words, such as `the last hour`."""
    length: timedelta | None = None
    since: datetime | None = None


def yesterday(now: datetime) -> datetime:
    """The beginning of yesterday in the person's time zone."""
    midnight = now.astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight - timedelta(days=1)


def end_of_span(snapshot: Snapshot, since: datetime, now: datetime) -> datetime:
    """Where a span that begins at `since` ends: now, also where the run has stopped meanwhile.

    Of a replay, and of a run that has been over for more than a day and for longer than the span
    had lasted until then, it is the last event: most of the chart would show that nothing happens.
    """
    last = snapshot.session.last_event_at or now
    if snapshot.replay is not None:
        return last
    idle, stretch = now - last, last - since
    over = snapshot.run_state not in LIVE_STATES and idle > max(stretch, timedelta(days=1))
    return last if over and last > since else max(now, last)


def chart_spans(snapshot: Snapshot, selected: int | None, now: datetime) -> list[Span]:
    """The spans in the order in which a key selects them; the whole run is not included."""
    out = [
        Span("the last hour", length=timedelta(hours=1)),
        Span("since yesterday", since=yesterday(now)),
    ]
    number = selected
    if number is None and snapshot.best is not None:
        number = snapshot.best.number
    if number is not None and number in snapshot.versions:
        out.append(Span(f"since v{number}", since=snapshot.versions[number].created))
    return out
