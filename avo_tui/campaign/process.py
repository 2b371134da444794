"""Starts the process that conducts a campaign, detached from any terminal, and is that process."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
import time
from pathlib import Path

from avo_tui.campaign.conductor import Conductor
from avo_tui.campaign.lines import Processes
from avo_tui.domain.secrets import redact
from avo_tui.evolution.process import EngineFailed, detached
from avo_tui.store import (
    CampaignFolder,
    CampaignWriter,
    DiskTrouble,
    StoreError,
    known_sessions,
)

log = logging.getLogger(__name__)

ROUND_SECONDS = 0.5
DISK_SECONDS = 5.0
START_SECONDS = 60.0
POLL_SECONDS = 0.03


def start_conductor(folder: CampaignFolder) -> None:
    """Start the process of a campaign in a process session of its own, unless one runs already.

    Waits until it holds the campaign. Raises EngineFailed, also for a campaign that was made
    elsewhere and not agreed to.
    """
    if folder.conductor().alive:
        return
    try:
        known_sessions.require_known(folder.path)
    except known_sessions.NotTrusted as error:
        raise EngineFailed(str(error)) from error
    arguments = [sys.executable, "-m", "avo_tui.campaign", str(folder.path.absolute()), "--known"]
    process = detached(arguments, folder.log, "the campaign's process")
    deadline = time.monotonic() + START_SECONDS
    while not folder.conductor().alive:
        if process.poll() is not None:
            if process.returncode == 0:
                return  # nothing was left to do
            raise EngineFailed(f"the campaign's process ended at once; see {folder.log}")
        if time.monotonic() > deadline:
            raise EngineFailed(f"the campaign's process did not start within {START_SECONDS:g} s")
        time.sleep(POLL_SECONDS)


def conduct(folder: Path, processes: Processes | None = None) -> None:
    """Conduct a campaign in this process until its lines are over, or SIGTERM comes.

    The lines go on by themselves when it ends. Raises SessionLocked, StoreError.
    """
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    store = CampaignWriter(folder)
    processes = processes or Processes()
    try:
        conductor = Conductor(store, processes, ending=ending.is_set)
        while not ending.is_set():
            try:
                if not conductor.look():
                    return
            except DiskTrouble as error:
                log.warning("the disk refuses: %s", error)
                ending.wait(DISK_SECONDS)
            ending.wait(ROUND_SECONDS)
    finally:
        processes.starter.close()  # before the lock is let go: nobody starts a line beside this
        store.close()


def main(arguments: list[str] | None = None) -> int:
    """`python -m avo_tui.campaign FOLDER`."""
    parser = argparse.ArgumentParser(prog="python -m avo_tui.campaign")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--known", action="store_true", help="whoever starts it vouches for it")
    options = parser.parse_args(arguments)
    if options.known:
        known_sessions.vouch_for(options.folder)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s campaign: %(message)s")
    try:
        known_sessions.require_known(options.folder)
        conduct(options.folder.absolute())
    except (StoreError, OSError) as error:
        print(redact(str(error)), file=sys.stderr)
        return 1
    return 0
