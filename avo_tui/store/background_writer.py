"""A thread that writes session.json and records.pages in the background, at a limited rate.

It also syncs the journal where nothing else has done so for a while.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from avo_tui.store.errors import StoreError

log = logging.getLogger(__name__)

SOON = 0.25
"""Longest wait before an important event, such as a commit, is in the tables, in seconds."""

LATER = 3.0
"""Longest wait before any other event is in the tables, in seconds."""

SYNC = 0.25
"""Longest time for which an event that was appended without a sync may be lost to a power cut, in
seconds."""

SHARE = 0.05
"""Largest share of the time spent writing tables (0 to 1); writing slows down as a session
grows."""

RETRY = 10.0
"""Seconds to wait after a failed write. Nothing is lost: the journal has every event."""


class BackgroundWriter:
    """Calls `write` in the background some time after `ask`, and `sync` within `SYNC` seconds."""

    def __init__(
        self,
        write: Callable[[], None],
        sync: Callable[[], None],
        tidy: Callable[[], None] = lambda: None,
    ) -> None:
        """`write` brings the tables up to date, `sync` makes the journal durable, `tidy` is called
        after each `write` and may fail without consequences."""
        self._write = write
        self._sync = sync
        self._tidy = tidy
        self._changed = threading.Condition()
        self._due: float | None = None
        self._sync_due: float | None = None
        self._not_before = 0.0
        self._ended = False
        self.trouble: str | None = None
        """Why the last write failed; None after one that did not."""
        self._thread = threading.Thread(target=self._run, name="avo-store-flush", daemon=True)
        self._thread.start()

    def ask(self, soon: bool, sync: bool = False) -> None:
        """Request that the tables be written, and where `sync` the journal made durable.

        Returns at once.
        """
        due = time.monotonic() + (SOON if soon else LATER)
        with self._changed:
            wake = False
            if self._due is None or due < self._due - 0.05:
                self._due, wake = due, True
            if sync and self._sync_due is None:
                self._sync_due, wake = time.monotonic() + SYNC, True
            if wake:
                self._changed.notify()

    def stop(self) -> None:
        """End the thread; a write under way is finished first. May be called twice."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        while (work := self._next_work()) is not None:
            work()

    def _next_work(self) -> Callable[[], None] | None:
        """Wait until something is due; None once the thread is to end."""
        with self._changed:
            while not self._ended:
                now = time.monotonic()
                write = None if self._due is None else max(self._due, self._not_before) - now
                sync = None if self._sync_due is None else self._sync_due - now
                if write is not None and write <= 0:
                    self._due = self._sync_due = None  # the tables are written after a sync
                    return self._once
                if sync is not None and sync <= 0:
                    self._sync_due = None
                    return self._sync_once
                self._changed.wait(min((w for w in (write, sync) if w is not None), default=None))
            return None

    def _sync_once(self) -> None:
        try:
            self._sync()
        except StoreError as error:
            log.warning("the journal waits in memory: %s", error)
            with self._changed:
                self._sync_due = time.monotonic() + RETRY

    def _tidy_up(self) -> None:
        try:
            self._tidy()
        except StoreError as error:
            log.info("put off: %s", error)

    def _once(self) -> None:
        began = time.monotonic()
        try:
            self._write()
        except StoreError as error:
            if self.trouble is None:
                log.warning("the tables wait in memory and in the journal: %s", error)
            self.trouble = str(error)
            pause = RETRY
            with self._changed:
                self._due = began
        else:
            self.trouble = None
            self._tidy_up()
            pause = (time.monotonic() - began) / SHARE
        self._not_before = time.monotonic() + pause
