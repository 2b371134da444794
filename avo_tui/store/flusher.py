"""A thread that writes session.json and attempts.jsonl in the background, at a limited rate."""

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

SHARE = 0.05
"""Largest share of the time spent writing tables (0 to 1); writing slows down as a session
grows."""

RETRY = 10.0
"""Seconds to wait after a failed write. Nothing is lost: the journal has every event."""


class Flusher:
    """Calls `write` in the background, some time after `ask`."""

    def __init__(self, write: Callable[[], None]) -> None:
        self._write = write
        self._changed = threading.Condition()
        self._due: float | None = None
        self._not_before = 0.0
        self._ended = False
        self.trouble: str | None = None
        """Why the last write failed; None after one that did not."""
        self._thread = threading.Thread(target=self._run, name="avo-store-flush", daemon=True)
        self._thread.start()

    def ask(self, soon: bool) -> None:
        """Request that the tables be written soon. Returns at once."""
        due = time.monotonic() + (SOON if soon else LATER)
        with self._changed:
            if self._due is None or due < self._due - 0.05:
                self._due = due
                self._changed.notify()

    def stop(self) -> None:
        """End the thread; a write under way is finished first. May be called twice."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._ended:
                    if self._due is None:
                        self._changed.wait()
                        continue
                    wait = max(self._due, self._not_before) - time.monotonic()
                    if wait <= 0:
                        break
                    self._changed.wait(wait)
                if self._ended:
                    return
                self._due = None
            self._once()

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
            pause = (time.monotonic() - began) / SHARE
        self._not_before = time.monotonic() + pause
