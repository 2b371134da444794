"""What the app writes to its terminal, idle and busy: bytes, first paint, memory; as a table.

    python benchmarks/ui_bandwidth.py [--seconds 8] [--toolong PATH_OF_tl]

The app runs in a pseudo-terminal, started as a person starts it, on a session folder that this
script writes through the store as an engine does. Busy is an invented load, at ten events a second:
prose in chunks of half a second, tool calls, signs of life of a benchmark, and once a second the
forty lines of a compiler. At 80×24 one pane is seen at a time, so each is measured.

With `--toolong`, Toolong (MIT, another program made with Textual) is measured in the same way: on a
log that grows by ten lines a second, and on one of 100 MB beside the app's own log screen.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from avo_tui.domain import events as ev
from avo_tui.domain.report import EvaluationProgress
from avo_tui.store import SessionWriter
from benchmarks.ui_load import ROOT, unsynced, week

RUN = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from avo_tui.ui.app import AvoApp, run_app
from avo_tui.ui.host import HostOptions
options = HostOptions(low_bandwidth={low}, theme={theme!r})
sys.exit(run_app(AvoApp(options, folder=Path({folder!r}))))
"""
LOG = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from avo_tui.ui.app import AvoApp, run_app
from avo_tui.ui import screens
from avo_tui.ui.widgets.long import of_file
app = AvoApp(folder=Path({folder!r}))
opened = app.open_source
def both(source):
    opened(source)
    app.push_screen(screens.LogScreen("Log", lambda: of_file(Path({log!r}))))
app.open_source = both
sys.exit(run_app(app))
"""
LINE = "ptxas info    : Function properties for kernel_%07d: 168 registers, 0 bytes stack frame\n"
KIB = 1024.0
BYTECODE = {"PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir()) / "avo-tui-bytecode")}
"""Programs are started with their bytecode, as installed ones are, also where Python is told to
write none: compiling the sources at each start takes a third of a first paint."""


class Terminal:
    """A program in a pseudo-terminal of its own."""

    def __init__(self, argv: list[str], size: tuple[int, int], low: bool = False) -> None:
        self.began = time.monotonic()
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm-256color", COLORTERM="truecolor", **BYTECODE)
            os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
            if low:
                os.environ["AVO_LOW_BANDWIDTH"] = "1"
            os.execv(argv[0], argv)
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        os.kill(self.pid, signal.SIGWINCH)

    def _read(self, seconds: float) -> bytes:
        """What it writes next; b"" where it writes nothing for so long."""
        if not select.select([self._fd], [], [], max(0.0, seconds))[0]:
            return b""
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # Linux: the other end has closed it
            return b""
        os.write(self._fd, b"\x1b[1;1R" * data.count(b"\x1b[6n"))  # as terminals do
        return data

    def until(self, text: str, patience: float = 60) -> float:
        """Seconds since the start until `text` was written."""
        seen = b""
        while text.encode() not in seen:
            seen = seen[-4096:] + self._read(patience)
            if time.monotonic() - self.began > patience:
                raise TimeoutError(f"{text!r} was not written in {patience} s")
        return time.monotonic() - self.began

    def count(self, seconds: float) -> float:
        """KiB a second over some seconds."""
        total, end = 0, time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            total += len(self._read(left))
        return total / KIB / seconds

    def quiet(self, patience: float = 30) -> None:
        """Wait until nothing was written for a second and a half."""
        end = time.monotonic() + patience
        while self._read(1.5) and time.monotonic() < end:
            pass

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._fd, keys.encode())

    @property
    def mib(self) -> float:
        """Resident memory."""
        return float(psutil.Process(self.pid).memory_info().rss / 2**20)

    def end(self) -> None:
        """Make it leave."""
        os.kill(self.pid, signal.SIGTERM)
        self.count(0.5)
        deadline = time.monotonic() + 10
        while os.waitpid(self.pid, os.WNOHANG)[0] == 0:
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
            self.count(0.1)
        os.close(self._fd)


@contextmanager
def ten_a_second(act: Callable[[int], None]) -> Iterator[None]:
    """Call `act` ten times a second, from a thread."""
    stop = threading.Event()

    def body() -> None:
        n = 0
        while not stop.wait(0.1):
            n += 1
            act(n)

    thread = threading.Thread(target=body)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def engine(writer: SessionWriter) -> Callable[[int], None]:
    """What a busy engine records at its nth tenth of a second."""
    row = EvaluationProgress(
        stage="benchmark", state="configuration", index=1, count=4, configuration="full-512"
    )

    def act(n: int) -> None:
        if n % 10 == 0:
            log = "".join(LINE % (n + i) for i in range(40))
            made = EvaluationProgress(stage="compile", state="finished", log=log)
            writer.show(ev.EvaluationProgressed(attempt=3, progress=made))
            writer.record(ev.ToolCalled(call=f"c{n}", tool="read_version", arguments={"n": n}))
        elif n % 5 == 0:
            text = f"Sentence {n} of the prose that streams while the harness measures. "
            writer.record(ev.AgentText(block=f"busy {n // 100}", text=text))
        else:
            value = {"throughput": 40 + n % 7, "ratio": 0.8 + n % 7 / 90, "unit": "GFLOP/s"}
            made = row.model_copy(update={"index": 1 + n % 4, **value})
            writer.show(ev.EvaluationProgressed(attempt=3, progress=made))

    return act


def row(*cells: object) -> None:
    """One row of the table, at once."""
    print("| " + " | ".join(f"{c:.2f}" if isinstance(c, float) else str(c) for c in cells) + " |")
    sys.stdout.flush()


def run_screen(size: tuple[int, int], low: bool, seconds: float) -> None:
    """The run screen: first paint, idle, and busy with each pane."""
    name = f"{size[0]}×{size[1]} {'low bandwidth' if low else 'normal'}"
    panes = {"1": "lineage", "2": "plan", "4": "output"} if size[0] < 100 else {"1": "all panes"}
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "study"
        week(folder, 48)
        with unsynced(), SessionWriter.open(folder) as writer:
            theme = "ansi-dark" if low else "avo-dark"
            code = RUN.format(root=str(ROOT), folder=str(folder), low=low, theme=theme)
            terminal = Terminal([sys.executable, "-c", code], size, low)
            first = terminal.until("versions")
            terminal.quiet()
            writer.record(ev.AgentText(block="idle", text="A sign of life, then nothing. "))
            terminal.count(1)
            idle = terminal.count(seconds)
            with ten_a_second(engine(writer)):
                for key, pane in panes.items():
                    terminal.press(key)
                    terminal.count(2)
                    busy = terminal.count(seconds)
                    row("avo", f"{name}, {pane}", first, idle, busy, terminal.mib)
            terminal.end()


def viewer(name: str, argv: list[str], log: Path, marker: str, grow: bool, seconds: float) -> None:
    """A viewer on a log: first paint, idle, and busy where the log grows."""
    terminal = Terminal(argv, (120, 40))
    first = terminal.until(marker)
    terminal.quiet()
    idle, busy = terminal.count(seconds), "–"
    if grow:
        with log.open("a") as file:

            def act(n: int) -> None:
                file.write(LINE % n)
                file.flush()

            with ten_a_second(act):
                terminal.count(2)
                busy = f"{terminal.count(seconds):.2f}"
    size = f"{log.stat().st_size / 1e6:.0f} MB" if not grow else "growing"
    row(name, f"120×40, log, {size}", first, idle, busy, terminal.mib)
    terminal.end()


def rivals(toolong: Path, seconds: float) -> None:
    """Toolong, and the app's own log screen."""
    with tempfile.TemporaryDirectory() as root:
        small, large, folder = Path(root) / "small", Path(root) / "large", Path(root) / "study"
        small.write_text("".join(LINE % n for n in range(2000)))
        count = 100_000_000 // len(LINE % 1)
        large.write_text("".join(LINE % n for n in range(count)))
        week(folder, 48)
        viewer("toolong", [str(toolong), str(small)], small, "kernel_0001999", True, seconds)
        last = f"kernel_{count - 1:07d}"
        viewer("toolong", [str(toolong), str(large)], large, last, False, seconds)
        code = LOG.format(root=str(ROOT), folder=str(folder), log=str(large))
        argv = [sys.executable, "-c", code]
        viewer("avo", argv, large, f"{count:,} lines", False, seconds)


def main() -> None:
    """Measure all and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--toolong", type=Path)
    parser.add_argument("--only-toolong", action="store_true")
    given = parser.parse_args()
    subprocess.run(  # writes the bytecode
        [sys.executable, "-c", "import avo_tui.ui.app"],
        check=True,
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | BYTECODE,
    )
    row("program", "what", "first paint s", "idle KiB/s", "busy KiB/s", "MiB")
    row("---", "---", "---:", "---:", "---:", "---:")
    if not given.only_toolong:
        for size in ((80, 24), (120, 40)):
            for low in (False, True):
                run_screen(size, low, given.seconds)
    if given.toolong:
        rivals(given.toolong, given.seconds)


if __name__ == "__main__":
    main()
