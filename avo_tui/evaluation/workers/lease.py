"""A worker's lease: it sends signs of life, and the worker ends when it receives none.

A machine far away does not learn that the one which started a worker is gone: without a lease the
worker would keep its GPU until somebody looks. Silence is counted in signs, not in seconds, so that
a machine which slept does not end what it runs.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

from avo_tui.evaluation.workers.process import CANCEL_SECONDS, SIGNS

LEASE_SECONDS = 60.0
"""How long a worker on another machine goes on without a sign of life from here."""


class Lease:
    """Sends and counts signs of life, in a thread: a computation may hold up the worker's loop."""

    def __init__(self, seconds: float, sign: Callable[[], None], over: Callable[[], None]) -> None:
        """`sign` tells the other side that the worker lives; `over` asks the worker to end, and the
        process is killed where it does not."""
        self._between = seconds / SIGNS
        self._sign = sign
        self._over = over
        self._silent = 0
        threading.Thread(target=self._watch, daemon=True, name="lease").start()

    def renew(self) -> None:
        """Notes that a sign of life of the other side came."""
        self._silent = 0

    def _watch(self) -> None:
        # a write can hang for ever where the line is dead, so that signs have their own thread
        threading.Thread(target=self._beat, daemon=True, name="signs of life").start()
        while self._silent <= SIGNS:
            time.sleep(self._between)
            self._silent += 1
        self._over()
        time.sleep(CANCEL_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)

    def _beat(self) -> None:
        while True:
            time.sleep(self._between)
            self._sign()
