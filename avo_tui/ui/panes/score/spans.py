"""The stretches of a run that the score chart can show."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from avo_tui.ui.session.feed import Snapshot


@dataclass(frozen=True)
class Span:
    """A stretch of a run up to now, of a fixed length or from a moment on."""

    name: str
    """In words, such as `the last hour`."""
    length: timedelta | None = None
    since: datetime | None = None


def yesterday(now: datetime) -> datetime:
    """The beginning of yesterday where the person is."""
    midnight = now.astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight - timedelta(days=1)


def chart_spans(snapshot: Snapshot, selected: int | None, now: datetime) -> list[Span]:
    """The spans in the order in which a key goes through them; the whole run is none of them."""
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
