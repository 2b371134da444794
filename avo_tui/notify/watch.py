"""The watcher process: checks all sessions every few seconds and sends new alerts."""

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
from avo_tui.notify.alerts import Alert, Kind, current_alerts
from avo_tui.notify.channels import Channel, Delivery
from avo_tui.notify.throttle import Rules
from avo_tui.store import SessionSummary

log = logging.getLogger(__name__)

POLL_SECONDS = 3.0
OLD = timedelta(hours=1)
"""Conditions that began longer than this before the watcher first saw the session are not
reported."""
LASTING: frozenset[Kind] = frozenset({"approval", "engine_lost", "disk", "parked"})
"""Kinds of alert that are reported even then."""
KEPT = 400
"""Number of alerts per session that are remembered as sent."""
RETRY_SECONDS = (10.0, 60.0, 300.0, 900.0, 3600.0)
"""Seconds to wait before each further try to deliver a message; after the last it is given up."""
IDLE_SECONDS = 120.0
"""Seconds without a living run after which a watcher that a run started ends."""


@dataclass
class Told:
    """The alerts already sent, in a file, so that a restarted watcher sends nothing twice."""

    path: Path
    keys: dict[str, list[str]] = field(default_factory=dict)
    """Session's folder → keys of its alerts."""

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
        """Write the file, without alerts that still have to be sent. Raises OSError."""
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
    """A message waiting to be delivered by one channel."""

    channel: Channel
    message: list[Alert]
    after: datetime
    tries: int = 0


@dataclass
class Watcher:
    """Finds new alerts and sends them by all channels, repeating failed deliveries."""

    told: Told
    rules: Rules
    channels: Sequence[Channel]
    _pending: list[Pending] = field(default_factory=list)

    @property
    def waiting(self) -> bool:
        """Whether something is still to be sent."""
        return bool(self._pending or self.rules.held)

    def look(self, sessions: Sequence[SessionSummary], now: datetime) -> list[Delivery]:
        """Send the new alerts of these sessions; returns the result of each delivery."""
        new = [one for seen in sessions for one in self._new(seen, now)]
        held = len(self.rules.held)
        for message in self.rules.admit(new, now):
            self._pending += [Pending(channel, message, now) for channel in self.channels]
        latest = now + timedelta(seconds=RETRY_SECONDS[-1])  # above it the clock was set back
        due = [one for one in self._pending if not now < one.after <= latest]
        self._pending = [one for one in self._pending if now < one.after <= latest]
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

    def _new(self, seen: SessionSummary, now: datetime) -> Iterator[Alert]:
        folder = str(seen.folder)
        first = folder not in self.told.keys
        known = self.told.keys.setdefault(folder, [])
        for one in current_alerts(seen, now):
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
    """Take the lock that only one watcher of this person can hold; False if another one holds
    it."""
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
    """Watch for ever, or with `while_runs` until no run has been alive for two minutes."""
    watcher.told.read()
    idle = 0.0
    while not while_runs or idle < IDLE_SECONDS:
        seen = sessions()
        watcher.look(seen, clock())
        lives = any(one.state in LIVE_STATES for one in seen)
        idle = 0.0 if lives or watcher.waiting else idle + POLL_SECONDS
        sleep(POLL_SECONDS)
