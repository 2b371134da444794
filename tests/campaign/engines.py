"""Lines whose engines are real processes; only the evaluation is pretended."""

import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

from avo_tui.campaign.lines import Processes, Starter
from avo_tui.store import engine_status

PROGRAM = Path(__file__).parents[1] / "evolution" / "engine_process.py"
START_SECONDS = 240.0


class Engines:
    """Starts engines as a conductor does, and ends all of them."""

    def __init__(self, folder: Path) -> None:
        """`folder`: where their output goes."""
        self.processes: list[subprocess.Popen[bytes]] = []
        self._log = folder / "engines.log"
        self.used = Processes(Starter(self._start))

    def _start(self, folder: Path, *, restarts: int) -> int:
        command = [sys.executable, str(PROGRAM), str(folder), "0", "--restarts", str(restarts)]
        with self._log.open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        self.processes.append(process)
        deadline = time.monotonic() + START_SECONDS
        while not engine_status(folder / "engine.lock").alive and process.poll() is None:
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.02)
        return process.pid

    def close(self) -> None:
        """Ends whatever still runs."""
        self.used.starter.close()
        for process in self.processes:
            with suppress(psutil.NoSuchProcess):
                for child in psutil.Process(process.pid).children(recursive=True):
                    child.kill()
            process.kill()
            process.wait()
