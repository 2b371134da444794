"""The app in a real terminal: drawn, resized, hung up, and the terminal as it was afterwards."""

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ui.make_session import write
from tests.ui.tmux_window import TmuxWindow

pytestmark = [
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
]

PROGRAM = """
import sys
from pathlib import Path
from avo_tui.ui.app import AvoApp, run_app
sys.exit(run_app(AvoApp(folder=Path(sys.argv[1]))))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "study", steps=3)
    return tmp_path / "study"


@pytest.fixture
def terminal(folder: Path, tmp_path: Path) -> Iterator[TmuxWindow]:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    shell = f"echo before; {sys.executable} {program} {folder}; echo status $?; exec sh"
    made = TmuxWindow(shell, (120, 40), {"PYTHONPATH": str(Path(__file__).parents[2]), "PS1": "$ "})
    yield made
    made.close()


def test_drawn_resized_and_left(terminal: TmuxWindow) -> None:
    terminal.wait("ENGINE LOST")
    assert "1 Lineage" in terminal.screen() and "5 Score" in terminal.screen()
    for columns, rows in ((80, 24), (40, 10), (200, 50), (20, 5), (80, 24)):
        terminal.tmux("resize-window", "-x", str(columns), "-y", str(rows))
    terminal.wait(" 1 Lineage   2 Plan")
    terminal.tmux("send-keys", "-H", "e9", "c3", "3f")  # two bytes that are not UTF-8, and a ?
    terminal.wait("Help")
    terminal.tmux("send-keys", "Escape")
    terminal.wait(" 1 Lineage   2 Plan", gone="Help")
    terminal.tmux("send-keys", "q")
    seen = terminal.wait("status 0")
    assert "before" in seen, "the terminal shows again what it showed before"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_restores_the_terminal(terminal: TmuxWindow, number: signal.Signals) -> None:
    terminal.wait("ENGINE LOST")
    shell = int(terminal.tmux("list-panes", "-F", "#{pane_pid}"))
    children = Path(f"/proc/{shell}/task/{shell}/children").read_text().split()
    os.kill(int(children[0]), number)
    seen = terminal.wait(f"status {128 + number}")
    assert "before" in seen
