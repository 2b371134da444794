"""What the tests of the command line share."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from avo_tui.domain.base import now
from avo_tui.domain.budget import Budget, Caps
from avo_tui.domain.records import SessionRecord
from avo_tui.domain.run_settings import OperatorName, RunSettings
from avo_tui.store import SessionReader, SessionWriter, known_sessions
from tests.evolution.fake_evaluator import TASK
from tests.waiting import wait_for

EVOLUTION = Path(__file__).parent.parent / "evolution"
ENGINE = EVOLUTION / "engine_process.py"


class Result:
    """What a command printed and how it ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def make_session(
    root: Path, name: str = "one", operator: OperatorName = "tuner", **caps: float
) -> Path:
    """A new session of the pretend task."""
    budget = Budget(run=Caps.model_validate(caps))
    record = SessionRecord(
        name=name,
        task=TASK,
        created=now(),
        settings=RunSettings(operator=operator, budget=budget),
        budget=budget,
    )
    SessionWriter.create(root / name, record).close()
    known_sessions.vouch_for(root / name)
    return root / name


def run_engine(folder: Path, seconds: float = 0.0) -> subprocess.Popen[bytes]:
    """An engine with the pretend evaluator, as a process."""
    return subprocess.Popen([sys.executable, str(ENGINE), str(folder), str(seconds)])


@contextmanager
def running(folder: Path, seconds: float = 0.1) -> Iterator[subprocess.Popen[bytes]]:
    """An engine that holds its session; it is asked to end when the context is left."""
    process = run_engine(folder, seconds)
    try:
        reader = SessionReader.open(folder)
        wait_for(lambda: reader.engine().alive)
        yield process
    finally:
        process.terminate()
        process.wait(120)
