"""The watcher: looks at all sessions every few seconds, and tells what is new."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from avo_tui.domain.base import now as utc_now
from avo_tui.domain.records import LIVE_STATES
from avo_tui.notify.channels import Channel, Delivery
from avo_tui.notify.happenings import Happening, Kind, happenings
from avo_tui.notify.rules import Rules
from avo_tui.store import SessionSummary

log = logging.getLogger(__name__)

POLL_SECONDS = 3.0
OLD = timedelta(hours=1)
"""What began longer ago, before the watcher first saw the session, is no news."""
LASTING: frozenset[Kind] = frozenset({"approval", "engine_lost", "disk", "parked"})
"""Kinds that are still worth telling when the watcher comes late."""
KEPT = 400
"""Happenings of one session that are remembered as told."""
RETRY_SECONDS = (10.0, 60.0, 300.0, 900.0, 3600.0)
"""Waits before the next tries of a message that did not come through; then it is given up."""
IDLE_SECONDS = 120.0
"""A watcher that was started by a run ends when no run has lived for so long."""


@dataclass
class Told:
    """What was told already, in a file, so that a watcher that starts again tells nothing twice."""

    path: Path
    keys: dict[str, list[str]] = field(default_factory=dict)
    """Session's folder → keys of its happenings."""

    def read(self) -> None:
        """Read the file; one that is not there or damaged is empty."""
        try:
            read = json.loads(self.path.read_text())
        except (OSError, ValueError):
            return
        if isinstance(read, dict):
            self.keys = {
                str(folder): [str(key) for key in keys]
                for folder, keys in read.items()
                if isinstance(keys, list)
            }

    def write(self, without: Collection[tuple[str, str]] = ()) -> None:
        """Write the file, without some that are still to be told. Raises OSError."""
        kept = {
            folder: [key for key in keys if (folder, key) not in without]
            for folder, keys in self.keys.items()
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps(kept))
        fresh.replace(self.path)


@dataclass
class Pending:
    """A message that goes out by one channel, until it came through."""

    channel: Channel
    message: list[Happening]
    after: datetime
    tries: int = 0


@dataclass
class Watcher:
    """Finds what is new, and sends it by all channels, each until it came through."""

    told: Told
    rules: Rules
    channels: Sequence[Channel]
    _pending: list[Pending] = field(default_factory=list)

    @property
    def waiting(self) -> bool:
        """Whether something is still to be sent."""
        return bool(self._pending or self.rules.held)

    def look(self, sessions: Sequence[SessionSummary], now: datetime) -> list[Delivery]:
        """Tell what is new of these sessions; how each message fared."""
        new = [one for seen in sessions for one in self._new(seen, now)]
        held = len(self.rules.held)
        for message in self.rules.admit(new, now):
            self._pending += [Pending(channel, message, now) for channel in self.channels]
        due = [one for one in self._pending if one.after <= now]
        self._pending = [one for one in self._pending if one.after > now]
        out = [self._send(one, now) for one in due]
        if new or held != len(self.rules.held):
            self._remember()
        return [delivery for delivery in out if delivery is not None]

    def _send(self, one: Pending, now: datetime) -> Delivery | None:
        delivery = one.channel.send(one.message)
        if delivery is None:
            return None
        if delivery.ok:
            log.info("%s: %s", delivery.channel, one.message[0].title)
            return delivery
        log.warning("%s failed: %s", delivery.channel, delivery.why)
        if one.tries < len(RETRY_SECONDS):
            one.after = now + timedelta(seconds=RETRY_SECONDS[one.tries])
            one.tries += 1
            self._pending.append(one)
        return delivery

    def _new(self, seen: SessionSummary, now: datetime) -> Iterator[Happening]:
        folder = str(seen.folder)
        first = folder not in self.told.keys
        known = self.told.keys.setdefault(folder, [])
        for one in happenings(seen, now):
            if one.key in known:
                continue
            known.append(one.key)
            fresh = one.since is not None and now - one.since < OLD
            if not first or (fresh and one.kind in LASTING):
                yield one
        del known[:-KEPT]

    def _remember(self) -> None:
        held = {(one.folder, one.key) for one in self.rules.held}
        try:
            self.told.write(without=held)
        except OSError as error:
            log.warning("what was told cannot be written down: %s", error)


@contextmanager
def only_one(path: Path) -> Iterator[bool]:
    """Holds the lock of the one watcher of this person; False where another one holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def watch(
    watcher: Watcher,
    sessions: Callable[[], Sequence[SessionSummary]],
    *,
    while_runs: bool = False,
    clock: Callable[[], datetime] = utc_now,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Look for ever; with `while_runs` until no run has lived for two minutes."""
    watcher.told.read()
    idle = 0.0
    while not while_runs or idle < IDLE_SECONDS:
        seen = sessions()
        watcher.look(seen, clock())
        lives = any(one.state in LIVE_STATES for one in seen)
        idle = 0.0 if lives or watcher.waiting else idle + POLL_SECONDS
        sleep(POLL_SECONDS)
