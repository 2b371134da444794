"""The engine under test: real store, tuner and gate; evaluations that are made up.

python -m benchmarks.disk_faults.engine FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from avo_tui.evolution.lifecycle import waiting
from benchmarks.pretending import run_pretending

if __name__ == "__main__":
    waiting.DISK_SECONDS = 0.2  # two seconds would make the test ten times longer
    sys.exit(run_pretending(Path(sys.argv[1]), 0.01))
