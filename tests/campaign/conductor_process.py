"""The process of a campaign, whose lines are engines with the pretend evaluator; to be killed.

python conductor_process.py FOLDER SECONDS_PER_EVALUATION
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from avo_tui.campaign.lines import Processes  # noqa: E402
from avo_tui.campaign.process import conduct  # noqa: E402
from avo_tui.store import engine_status  # noqa: E402

ENGINE = ROOT / "tests" / "evolution" / "engine_process.py"


def main() -> None:
    campaign, seconds = Path(sys.argv[1]), sys.argv[2]

    def start(folder: Path, *, restarts: int) -> int:
        command = [sys.executable, str(ENGINE), str(folder), seconds, "--restarts", str(restarts)]
        engine = subprocess.Popen(command, start_new_session=True)
        while not engine_status(folder / "engine.lock").alive and engine.poll() is None:
            time.sleep(0.02)
        return engine.pid

    conduct(campaign, Processes(start))


if __name__ == "__main__":
    main()
