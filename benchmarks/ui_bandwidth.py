"""Bytes per second that the app writes to its terminal: idle and busy, normal and low bandwidth.

    python benchmarks/ui_bandwidth.py [--seconds 20]

The app runs in a pseudo-terminal on a session folder that this script writes through the store.
Busy is an invented load: prose in chunks of half a second and a benchmark's signs of life.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import select
import signal
import struct
import sys
import tempfile
import termios
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "ui")]

from make_session import write  # noqa: E402

from avo_tui.domain import events as ev  # noqa: E402
from avo_tui.store import SessionWriter  # noqa: E402

PROGRAM = """
import sys
sys.path.insert(0, sys.argv[3])
from pathlib import Path
from avo_tui.ui.app import AvoApp, run_app
sys.exit(run_app(AvoApp(folder=Path(sys.argv[1]), low_bandwidth=sys.argv[2] == "1",
                        theme="ansi-dark" if sys.argv[2] == "1" else "avo-dark")))
"""


def start(folder: Path, size: tuple[int, int], low: bool) -> tuple[int, int]:
    """The app in a pseudo-terminal: (process, terminal)."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm-256color", COLORTERM="truecolor")
        if low:
            os.environ["AVO_LOW_BANDWIDTH"] = "1"
        arguments = [str(folder), "1" if low else "0", str(ROOT)]
        os.execv(sys.executable, [sys.executable, "-c", PROGRAM, *arguments])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
    os.kill(pid, signal.SIGWINCH)
    return pid, terminal


def count(terminal: int, seconds: float) -> int:
    """Bytes written within some seconds."""
    total, end = 0, time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        ready, _, _ = select.select([terminal], [], [], left)
        if not ready:
            break
        try:
            total += len(os.read(terminal, 65536))
        except OSError:  # Linux: the other end has closed it
            break
    return total


def busy(writer: SessionWriter, stop: threading.Event) -> None:
    """Prose twice a second and ten signs of life a second."""
    progress = next(
        e.progress
        for e in writer.step_events(writer.state.session.step)
        if isinstance(e, ev.EvaluationProgressed) and e.progress.state == "configuration"
    )
    n = 0
    while not stop.wait(0.1):
        n += 1
        writer.record(ev.EvaluationProgressed(attempt=3, progress=progress))
        if n % 5 == 0:
            text = f"Sentence {n} of the prose that streams while the harness measures. "
            writer.record(ev.AgentText(block="busy", text=text))
        if n % 10 == 0:
            writer.record(ev.ToolCalled(call=f"c{n}", tool="read_version", arguments={"n": n}))


def measure(size: tuple[int, int], low: bool, seconds: float) -> dict[str, float]:
    """KiB/s idle and busy."""
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "study"
        write(folder, steps=12)
        writer = SessionWriter.open(folder)
        pid, terminal = start(folder, size, low)
        first = count(terminal, 8)
        idle = count(terminal, seconds) / seconds
        stop = threading.Event()
        feeder = threading.Thread(target=busy, args=(writer, stop))
        feeder.start()
        count(terminal, 2)
        loud = count(terminal, seconds) / seconds
        stop.set()
        feeder.join()
        os.write(terminal, b"q")
        count(terminal, 1)
        if os.waitpid(pid, os.WNOHANG)[0] == 0:
            os.kill(pid, signal.SIGTERM)
            os.waitpid(pid, 0)
        os.close(terminal)
        writer.close()
    kib = 1024.0
    return {
        "first_picture_kib": round(first / kib, 1),
        "idle_kib_s": round(idle / kib, 2),
        "busy_kib_s": round(loud / kib, 2),
    }


def main() -> None:
    """Measure all four and print them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=20)
    seconds = parser.parse_args().seconds
    result = {
        f"{size[0]}x{size[1]} {'low' if low else 'normal'}": measure(size, low, seconds)
        for size in ((80, 24), (120, 40))
        for low in (False, True)
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
