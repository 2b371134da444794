"""The state of a session, computed from its events."""

from __future__ import annotations

from collections import ChainMap
from dataclasses import dataclass, replace
from typing import Any

from avo_tui.domain import events as ev
from avo_tui.domain import lineage
from avo_tui.domain.attempts import open_step
from avo_tui.domain.records import Hint, Step, Version
from avo_tui.domain.tables import Tables


@dataclass
class SessionState(Tables):
    """All tables of a session. Only `apply` changes them."""

    @classmethod
    def begin(cls, event: ev.SessionCreated) -> SessionState:
        state = cls(session=event.session)
        state.skip(event)
        return state

    @property
    def best(self) -> Version | None:
        """The best version, as `lineage.best` defines it."""
        return lineage.best(self.versions.values())

    @property
    def head(self) -> Version | None:
        """The version that the next step starts from."""
        head = self.session.head
        return None if head is None else self.versions[head]

    @property
    def current_step(self) -> Step | None:
        step = self.steps.get(self.session.step)
        return step if step is not None and step.ended is None else None

    @property
    def open_step(self) -> int | None:
        """Number of the step that is running, if one is."""
        return open_step(self.session.step, self.steps)

    @property
    def live_hints(self) -> list[Hint]:
        """Hints that are queued, or that were delivered and still apply."""
        return [
            h
            for h in self.hints.values()
            if h.state == "queued" or (h.state == "delivered" and h.scope != "once")
        ]

    def apply(self, event: ev.Event) -> None:
        """Apply one event. Events up to number `session.applied` are ignored.

        Raises KeyError where an event names a record that does not exist: a damaged journal.
        """
        if event.seq and event.seq <= self.session.applied:
            return
        event.apply(self)
        self.skip(event)

    def trial(self) -> SessionState:
        """A copy for trying out events; changes to it do not affect this state."""
        tables: dict[str, Any] = {
            n: ChainMap({}, v) for n, v in vars(self).items() if isinstance(v, dict)
        }
        return replace(self, **tables)

    def admit(self, event: ev.Event) -> None:
        """Apply an event that is about to be recorded, with stricter checks than `apply`.

        Raises KeyError for a record that does not exist, ValueError for a version that exists
        already. The state is unusable after an error, so call this on a `trial()`.
        """
        if isinstance(event, ev.VersionCommitted):
            version = event.version
            if version.number in self.versions:
                raise ValueError(f"v{version.number} is in the lineage already")
            if version.parent is not None and version.parent not in self.versions:
                raise KeyError(version.parent)
        self.apply(event)

    def skip(self, event: ev.Event) -> None:
        """Count an event, without applying it."""
        self.change_session(last_event_at=event.at, applied=event.seq or self.session.applied)
