"""The check for a machine with a GPU: its steps stand alone, and it goes on where it stopped."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.gpu_check import STEPS, Checker, Step
from benchmarks.gpu_steps import STEPS as FUNCTIONS
from benchmarks.gpu_steps import Report

ROOT = Path(__file__).resolve().parents[2]
GOOD = """\
import json, sys
claim = {"what": "it holds", "ok": %s, "value": "1%%"}
json.dump({"claims": [claim], "lines": ["a line of good"]}, open(sys.argv[1], "w"))
"""
SOURCES = {
    "good": GOOD % "True",
    "wrong": GOOD % "False",
    "dies": "raise SystemExit('last words')",
    "hangs": (
        "import pathlib, subprocess, sys, time\n"
        "child = subprocess.Popen(['sleep', '1000'], start_new_session=True)\n"
        "path = pathlib.Path(sys.argv[2])\n"
        "path.with_suffix('.new').write_text(str(child.pid))\n"
        "path.with_suffix('.new').rename(path)\n"
        "time.sleep(1000)\n"
    ),
    "last": GOOD % "True",
}


def steps(limit: float = 60.0, least: float = 0.0) -> list[Step]:
    return [
        Step(name, f"Title of {name}", least, 4.0 if name == "hangs" else limit) for name in SOURCES
    ]


@pytest.fixture
def checker(tmp_path: Path) -> Checker:
    started: list[str] = []

    def command(step: Step, report: Path) -> list[str]:
        started.append(step.name)
        return [sys.executable, "-c", SOURCES[step.name], str(report), str(tmp_path / "pid")]

    found = Checker(steps(), tmp_path / "out", {}, command)
    found.device = "a device"
    found.started = started  # type: ignore[attr-defined]
    return found


def ended(pid: int) -> bool:
    """True once the process is gone; a kill takes effect a moment after it was sent."""
    status = Path(f"/proc/{pid}/status")
    for _ in range(3000):
        try:
            if "State:\tZ" in status.read_text():
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.02)
    return False


def test_no_step_stops_another(checker: Checker, tmp_path: Path) -> None:
    assert checker.run(None) == 0
    states = {name: result["state"] for name, result in checker.results.items()}
    assert states == {
        "good": "ok", "wrong": "failed", "dies": "failed", "hangs": "timeout", "last": "ok"
    }  # fmt: skip
    assert "last words" in checker.results["dies"]["log"]
    pid = tmp_path / "pid"
    if pid.exists():  # on a machine so busy that the limit came first there is none
        assert ended(int(pid.read_text()))
    text = (tmp_path / "out" / "gpu_check.md").read_text()
    assert "| good | ok |" in text and "a line of good" in text
    assert "**NOT** it holds (1%)" in text


def test_goes_on_where_it_stopped(checker: Checker, tmp_path: Path) -> None:
    checker.results["hangs"] = {"state": "ok", "seconds": 1.0, "claims": [], "lines": [], "log": ""}
    checker.steps = steps(least=10_000.0)
    assert checker.run(500) == 4
    assert checker.started == []  # type: ignore[attr-defined]
    checker.steps = steps()
    assert checker.run(None) == 0
    assert checker.started == ["good", "wrong", "dies", "last"]  # type: ignore[attr-defined]
    body = json.loads((tmp_path / "out" / "gpu_check.json").read_text())
    assert body["device"] == "a device" and set(body["steps"]) == set(SOURCES)


def test_every_step_has_its_function() -> None:
    assert [step.name for step in STEPS] == list(FUNCTIONS)
    assert all(step.seconds < step.limit for step in STEPS)


def test_what_a_step_found_is_kept_at_once(tmp_path: Path) -> None:
    report = Report(tmp_path / "report.json")
    report.claim("something", ok=False, value=3)
    report.say("a line")
    body = json.loads((tmp_path / "report.json").read_text())
    assert body["claims"] == [{"what": "something", "ok": False, "value": "3"}]
    assert body["lines"] == ["a line"]


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="there is a GPU")
def test_says_at_once_that_there_is_no_gpu(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "gpu_check.py"), "--out", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1 and "no device" in done.stderr
    assert not (tmp_path / "out").exists()
