"""Somebody at a real terminal in which the app runs, who reads it or does not."""

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
from pathlib import Path

from tests.waiting import wait_for

PATIENCE = 100.0
PROGRAM = """
import sys
from pathlib import Path
from avo_tui.ui.app import AvoApp, run_app
sys.exit(run_app(AvoApp(folder=Path(sys.argv[1]))))
"""


class Person:
    """Someone at a terminal of their own, who reads it or does not."""

    def __init__(self, *command: str) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ |= {"TERM": "xterm-256color", "PYTHONPATH": str(Path(__file__).parents[2])}
            os.execv(sys.executable, [sys.executable, *command])
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self.seen = b""
        self.status: int | None = None

    def read(self) -> bytes:
        """What is there to read, if anything."""
        if not select.select([self.fd], [], [], 0)[0]:
            return b""
        try:
            return os.read(self.fd, 65536)
        except OSError:
            return b""

    def read_until(self, text: str) -> None:
        def there() -> bool:
            self.seen += self.read()
            return text.encode() in self.seen

        wait_for(there, f"{text!r} never came")

    def over(self) -> bool:
        """True when the app has ended."""
        if self.status is None:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is not None

    def close(self) -> None:
        if not self.over():
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)
