"""Writes to the terminal in a thread that may block, so that the app never does.

A terminal can stop reading (ctrl-S, a laptop that sleeps, a stalled connection) for hours. During
that time nothing is painted or stored; when it reads again it gets one current picture. Leaving the
app does not wait for it either.
"""

from __future__ import annotations

import contextlib
import os
import select
import termios
from collections import deque
from collections.abc import Callable
from threading import Condition, Thread
from time import monotonic, sleep

QUEUE_BYTES = 64 * 1024
"""Largest number of bytes that may wait to be written."""
BLOCKED_SECONDS = 1.0
"""Seconds after which an unfinished write counts as blocked."""
CHUNK_BYTES = 4096
SMALL_BYTES, SMALL_SECONDS = 512, 0.005
"""Bytes of a small piece, and the pause that lets the other side read it by itself."""
LEAVING_SECONDS = 1.0
RESTORE = b"\x18\x1b[?1000l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[?7h\x1b[<u\x1b[?1049l\x1b[?25h"
"""Control sequences that end an interrupted sequence, then switch off mouse and paste marks and
restore the previous screen and cursor."""


class Writer(Thread):
    """Writes to a file descriptor; `write` never blocks. Stands in for Textual's writer."""

    def __init__(self, fileno: int) -> None:
        super().__init__(daemon=True, name="textual-output")
        self._fileno = fileno
        self._chunks: deque[bytes] = deque()
        self._change = Condition()
        self._waiting = 0
        """Number of bytes accepted but not written yet."""
        self._since: float | None = None
        """When the current write began."""
        self._stopping = self._abandon = self._gone = False
        self._freed: Callable[[], object] | None = None
        self._seconds, self._bytes = 0.0, 0
        self.in_small_pieces = 0
        """How many of the next bytes go in small pieces: ssh sends what it reads at once as one
        packet, and nothing of a packet is shown before all of it has arrived."""

    def write(self, text: str) -> None:
        data = text.encode("utf-8", "replace")
        with self._change:
            if data and not self._gone:  # without data in its queue it ends
                self._chunks.append(data)
                self._waiting += len(data)
                self._change.notify()

    def flush(self) -> None:
        """Does nothing, because accepted text is written at once."""

    @property
    def stuck(self) -> bool:
        """Whether the terminal accepts no output, or is gone."""
        since = self._since
        return self._gone or (since is not None and monotonic() - since > BLOCKED_SECONDS)

    @property
    def behind(self) -> bool:
        """Whether the terminal is not keeping up, so that further text would only be queued."""
        return self.stuck or self._waiting > QUEUE_BYTES

    def when_free(self, call: Callable[[], object]) -> None:
        """Call once, from the writer's thread, when everything was written."""
        with self._change:
            self._freed = call
            self._change.notify()

    def sample(self) -> tuple[float, int]:
        """Seconds that writes took, and bytes written, since the last sample."""
        with self._change:
            sample = self._seconds, self._bytes
            self._seconds, self._bytes = 0.0, 0
        return sample

    def run(self) -> None:
        while True:
            with self._change:
                while not (self._chunks or self._stopping or self._freed):
                    self._change.wait()
                data = b"".join(self._chunks)
                self._chunks.clear()
                self._abandon = False
                freed = None if data else self._freed
                if freed is not None:
                    self._freed = None
            if data:
                self._put(data)
            elif freed is not None:
                freed()
            else:
                return

    def _put(self, data: bytes) -> None:
        written = 0
        while written < len(data) and not self._gone and not self._abandon:
            self._since = begun = monotonic()
            try:
                select.select([], [self._fileno], [])
                piece = SMALL_BYTES if self.in_small_pieces > 0 else CHUNK_BYTES
                count = os.write(self._fileno, data[written : written + piece])
            except BlockingIOError:
                continue
            except (OSError, ValueError):  # the terminal is gone: its signal ends the app
                self._gone = True
                break
            written += count
            if self.in_small_pieces > 0:
                self.in_small_pieces -= count
                sleep(SMALL_SECONDS)
            with self._change:
                self._seconds += monotonic() - begun
                self._bytes += count
                self._waiting -= count
        self._since = None
        with self._change:
            self._waiting = sum(map(len, self._chunks))

    def stop(self) -> None:
        """Write what waits and end; if the terminal accepts nothing, give up after a moment.

        The waiting text is then dropped, except for the few bytes that restore the person's own
        screen when the terminal reads again.
        """
        with self._change:
            self._stopping, self._freed = True, None
            self._change.notify()
        self.join(LEAVING_SECONDS)
        if not self.is_alive() or self._gone:
            return
        with self._change:
            self._chunks = deque([RESTORE])
            self._abandon = True
        with contextlib.suppress(termios.error):
            termios.tcflush(self._fileno, termios.TCOFLUSH)
        self.join(LEAVING_SECONDS)
