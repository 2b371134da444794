"""The app in a real terminal: drawn, resized, hung up, and the terminal as it was afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.ui.make_session import write

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
]

PROGRAM = """
import sys
from pathlib import Path
from avo_tui.ui.app import AvoApp, run_app
sys.exit(run_app(AvoApp(folder=Path(sys.argv[1]))))
"""


class Terminal:
    """A tmux server of its own with one window."""

    def __init__(self, command: str, size: tuple[int, int], environment: dict[str, str]) -> None:
        self.server = f"avo-test-{uuid4().hex[:8]}"
        full = {**os.environ, **environment}
        subprocess.run(
            ["tmux", "-L", self.server, "-f", "/dev/null", "new-session", "-d",
             "-x", str(size[0]), "-y", str(size[1]), command],
            env=full, check=True,
        )  # fmt: skip

    def tmux(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", "-L", self.server, *arguments], capture_output=True, text=True
        )
        return done.stdout

    def screen(self) -> str:
        return self.tmux("capture-pane", "-p")

    def wait(self, text: str, seconds: float = 60) -> str:
        deadline = time.monotonic() + seconds
        while text not in (seen := self.screen()):
            assert time.monotonic() < deadline, f"{text!r} never came; the screen shows:\n{seen}"
            time.sleep(0.05)
        return seen

    def close(self) -> None:
        self.tmux("kill-server")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "study", steps=3)
    return tmp_path / "study"


@pytest.fixture
def terminal(folder: Path, tmp_path: Path) -> Iterator[Terminal]:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    shell = f"echo before; {sys.executable} {program} {folder}; echo status $?; exec sh"
    made = Terminal(shell, (120, 40), {"PYTHONPATH": str(Path(__file__).parents[2]), "PS1": "$ "})
    yield made
    made.close()


def test_drawn_resized_and_left(terminal: Terminal) -> None:
    terminal.wait("ENGINE LOST")
    assert "1 Lineage" in terminal.screen() and "5 Score" in terminal.screen()
    for columns, rows in ((80, 24), (40, 10), (200, 50), (20, 5), (80, 24)):
        terminal.tmux("resize-window", "-x", str(columns), "-y", str(rows))
    terminal.wait(" 1 Lineage   2 Plan")
    terminal.tmux("send-keys", "q")
    seen = terminal.wait("status 0")
    assert "before" in seen, "the terminal shows again what it showed before"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_restores_the_terminal(terminal: Terminal, number: signal.Signals) -> None:
    terminal.wait("ENGINE LOST")
    shell = int(terminal.tmux("list-panes", "-F", "#{pane_pid}"))
    children = Path(f"/proc/{shell}/task/{shell}/children").read_text().split()
    os.kill(int(children[0]), number)
    seen = terminal.wait(f"status {128 + number}")
    assert "before" in seen
