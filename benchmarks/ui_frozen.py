"""Memory of the app while nobody reads its terminal and events pour in.

    python benchmarks/ui_frozen.py [--seconds 60] [--rate 1000] [--attempts 48]

The app runs in a pseudo-terminal, started as a person starts it. Once its first picture has come,
nothing is read of the terminal any more (ctrl-S, a laptop that sleeps), while `rate` events a
second are appended to the journal; its resident memory is read every five seconds. The same once
more with a terminal that is read: what the two have in common is not due to the terminal. At the
end the frozen one is read again: how much had waited, and whether the present comes.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.ui_bandwidth import KIB, RUN, Terminal
from benchmarks.ui_load import ROOT, pouring, week

EVERY = 5.0
SIZE = (120, 40)


def follow(folder: Path, given: argparse.Namespace, reads: bool) -> dict[str, Any]:
    """Resident memory every five seconds, and what came of the terminal."""
    code = RUN.format(root=str(ROOT), folder=str(folder), low=False, theme="avo-dark")
    terminal = Terminal([sys.executable, "-c", code], SIZE)
    terminal.until("versions")
    terminal.quiet()
    process = psutil.Process(terminal.pid)
    memory, written = [round(terminal.mib, 1)], process.io_counters().write_chars
    with pouring(folder, given.rate) as pour:
        first, begin = pour.seq, time.monotonic()
        while time.monotonic() - begin < given.seconds:
            if reads:
                terminal.count(EVERY)
            else:
                time.sleep(EVERY)
            memory.append(round(terminal.mib, 1))
        spent = time.monotonic() - begin
        poured = pour.seq - first
    made: dict[str, Any] = {
        "events_per_second": round(poured / spent),
        "resident_mib": memory,
        "grew_after_10_s_mib": round(memory[-1] - memory[min(2, len(memory) - 1)], 1),
        "written_kib": round((process.io_counters().write_chars - written) / KIB, 1),
    }
    if not reads:
        made["waited_kib"] = round(terminal.count(3.0) * 3.0, 1)
        made["resident_mib_read_again"] = round(terminal.mib, 1)
    terminal.end()
    return made


def main() -> None:
    """Measure and print as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--attempts", type=int, default=48)
    given = parser.parse_args()
    result = {}
    for name, reads in (("frozen", False), ("read", True)):
        with tempfile.TemporaryDirectory() as root:
            folder = Path(root) / "study"
            week(folder, given.attempts)
            result[name] = follow(folder, given, reads)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
