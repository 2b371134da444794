"""An engine with the fake evaluator as a process of its own, to be killed.

python engine_process.py FOLDER SECONDS_PER_EVALUATION [--print]
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from avo_tui.evaluation import evaluators
from avo_tui.evolution import process
from avo_tui.evolution.lifecycle.headless import Printer
from avo_tui.store import known_sessions
from tests.evolution.fake_evaluator import FakeEvaluator


def main() -> int:
    folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
    known_sessions.vouch_for(folder)
    evaluators.make_evaluator = lambda settings, task, session="", begins=False: FakeEvaluator(
        seconds, seconds
    )
    if "--print" in sys.argv:
        process.run_engine(folder, listeners=[Printer(sys.stdout)])
        return 0
    return process.main([str(folder), *sys.argv[3:]])


if __name__ == "__main__":
    raise SystemExit(main())
