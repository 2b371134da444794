"""The keeper: restarts an engine that was lost, with growing delays and a limit.

`python -m avo_tui.evolution.keep FOLDER` is started beside the engine by `avo run --keep`, and by
the systemd unit of `avo service`. A run that ended in an orderly way is not restarted.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from avo_tui.domain.records import LIVE_STATES, RunState
from avo_tui.evolution.process import EngineFailed, keeper_lock, start_engine
from avo_tui.store import (
    SessionNotFound,
    SessionReader,
    StoreError,
    engine_status,
    known_sessions,
)

log = logging.getLogger(__name__)

POLL_SECONDS = 2.0


class Start(Protocol):
    """Starts the engine of a session. Raises EngineFailed."""

    def __call__(self, folder: Path, *, restarts: int) -> int: ...


@dataclass
class RestartBackoff:
    """The delay before each restart, and the number of restarts after which to give up."""

    first_seconds: float = 5.0
    most_seconds: float = 600.0
    good_seconds: float = 600.0
    """An engine that ran for at least this long was healthy: the count of restarts begins again."""
    limit: int = 20
    """Largest number of consecutive restarts after which an engine did not run that long."""
    in_a_row: int = field(default=0, init=False)

    def after(self, ran_seconds: float) -> float | None:
        """Seconds to wait after an engine that ran for `ran_seconds`; None to give up."""
        if ran_seconds >= self.good_seconds:
            self.in_a_row = 0
        self.in_a_row += 1
        if self.in_a_row > self.limit:
            return None
        wait: float = self.first_seconds * 2 ** (self.in_a_row - 1)
        return min(self.most_seconds, wait)


def keep(
    folder: Path,
    patience: RestartBackoff | None = None,
    *,
    start: Start = start_engine,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Watch a session until its run ends in an orderly way, and restart a lost engine.

    Returns the exit status: 0 if the run ended, 1 if the keeper gave up. Raises StoreError if the
    session no longer exists.
    """
    patience = patience or RestartBackoff()
    began = clock()
    restarts = 0
    first = True
    while True:
        while engine_status(folder / "engine.lock").alive:
            sleep(POLL_SECONDS)
        state = _state(folder)
        if state is not None and state not in LIVE_STATES:
            return 0
        wait = patience.after(clock() - began)
        if wait is None:
            log.error("given up after %d restarts in a row without success", patience.limit)
            return 1
        if first and clock() - began < POLL_SECONDS:
            wait = 0.0  # none ran when the keeper began, as after a reboot: nothing to wait for
        log.warning("no engine runs; one is started in %.0f s", wait)
        sleep(wait)
        began, first = clock(), False
        try:
            restarts += 1
            start(folder, restarts=restarts)
        except EngineFailed as error:
            log.error("the engine could not be started: %s", error)


def _state(folder: Path) -> RunState | None:
    """The recorded state; None if the session cannot be read at the moment.

    If the disk is unavailable, the keeper waits as an engine does, and tries again at the next
    start. Raises SessionNotFound if the folder is gone.
    """
    try:
        return SessionReader.open(folder).state.session.state
    except SessionNotFound:
        raise
    except (StoreError, OSError) as error:
        log.warning("the session cannot be read: %s", error)
        return None


def main(arguments: list[str] | None = None) -> int:
    """`python -m avo_tui.evolution.keep FOLDER`."""
    parser = argparse.ArgumentParser(prog="python -m avo_tui.evolution.keep")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--known", action="store_true", help="whoever starts it vouches for it")
    options = parser.parse_args(arguments)
    if options.known:
        known_sessions.vouch_for(options.folder)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s keep: %(message)s")
    folder = options.folder.absolute()
    try:
        known_sessions.require_known(folder)
        lock = keeper_lock(folder)
        if lock is None:
            log.info("another process keeps this session already")
            return 0
        return keep(folder)
    except (StoreError, OSError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
