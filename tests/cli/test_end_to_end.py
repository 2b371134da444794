"""A small task, compiled and measured for real, through the commands a person types."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from avo_tui.store import SessionReader, engine_status
from tests.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

KERNELS = Path(__file__).parent / "kernels"
SECRET = "sk-ant-this-must-never-be-written-0123456789"
SCORE = {"correct", "aggregate", "geomean", "unit", "reference_baseline", "configurations"}


@pytest.fixture
def environment(own_places: Path, tmp_path: Path) -> dict[str, str]:
    """The toy task, a lock of the test's own and a key that must not leak."""
    (tmp_path / "run").mkdir()
    return {
        **os.environ,
        "AVO_KERNELS": str(KERNELS),
        "XDG_RUNTIME_DIR": str(tmp_path / "run"),
        "ANTHROPIC_API_KEY": SECRET,
    }


def avo(
    environment: dict[str, str], *arguments: str, check: int = 0
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "avo_tui.cli", *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env=environment,
        timeout=500,
    )
    assert done.returncode == check, done.stdout + done.stderr
    return done


@pytest.mark.slow
def test_evaluate(environment: dict[str, str], tmp_path: Path) -> None:
    form = json.loads(avo(environment, "evaluate", "rowsum", "--json").stdout)
    wanted = {
        "task", "candidate", "device", "sandbox", "verdict", "feedback", "resources", "score",
        "seconds",
    }  # fmt: skip
    assert wanted <= form.keys()
    assert form["verdict"] == "correct" and form["score"].keys() >= SCORE
    assert {"compile", "check", "benchmark", "other"} <= form["seconds"].keys()
    assert form["score"]["aggregate"] == pytest.approx(form["score"]["configurations"][0]["ratio"])
    broken = tmp_path / "rowsum.cpp"
    broken.write_text("this is no kernel\n")
    said = avo(environment, "evaluate", "rowsum", str(broken), check=1)
    assert "compile_error" in said.stdout or "compile error" in said.stdout


def test_a_run_from_the_seed_to_the_end_of_its_budget(
    environment: dict[str, str], own_places: Path
) -> None:
    arguments = ("run", "rowsum", "--headless", "--operator", "tuner")
    done = avo(environment, *arguments, "--budget-evaluations", "2")
    assert "v0 committed" in done.stdout and "engine ends, finished" in done.stdout
    folder = own_places / "rowsum"
    reader = SessionReader.open(folder)
    state = reader.state
    assert state.session.state == "finished" and state.session.spend.evaluations == 2
    assert state.versions[0].device and state.session.engine is not None
    assert state.session.engine.sandbox
    assert len({a.candidate for a in state.attempts.values()}) == 2
    for path in folder.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path
    form = json.loads(avo(environment, "lineage", "rowsum", "--json").stdout)
    assert form["versions"][0]["score"]["reference_baseline"] == "torch"
    again = avo(environment, "run", "--resume", "rowsum", "--headless")
    assert "budget of the run: 2 of 2 evaluations" in again.stdout


def works(process: psutil.Process) -> bool:
    """True until it has ended, taken note of or not."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


@pytest.fixture
def detached(environment: dict[str, str], own_places: Path) -> Iterator[tuple[Path, int]]:
    """An engine started as the app starts it."""
    code = (
        "from pathlib import Path; from avo_tui.cli.opening import make_session\n"
        "from avo_tui.domain.records import RunSettings\n"
        "from avo_tui.evolution.process import start_engine\n"
        "print(start_engine(make_session('apart', 'rowsum', RunSettings(operator='tuner'))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stderr
    pid = int(done.stdout)
    yield own_places / "apart", pid
    if psutil.pid_exists(pid):
        os.kill(pid, signal.SIGKILL)


def test_an_engine_outlives_its_starter_and_its_death_leaves_nothing_behind(
    detached: tuple[Path, int], environment: dict[str, str]
) -> None:
    folder, pid = detached
    reader = SessionReader.open(folder)
    wait_for(lambda: reader.poll() is not None and reader.state.versions, seconds=400)
    family = psutil.Process(pid).children(recursive=True)
    assert family, "the evaluator is a process of its own"
    for process in family:
        try:
            variables = process.environ()
        except psutil.Error:  # ended, or of another user: a candidate in its sandbox
            continue
        assert SECRET not in variables.values(), process
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not engine_status(folder / "engine.lock").alive)
    wait_for(lambda: not any(works(process) for process in family))
    before = SessionReader.open(folder).state.versions
    assert json.loads(avo(environment, "status", "apart", "--json").stdout)["state"] == "lost"
    done = avo(environment, "run", "--resume", "apart", "--headless", "--budget-evaluations", "2")
    assert "recovered" in done.stdout and "engine ends, finished" in done.stdout
    after = SessionReader.open(folder).state.versions
    assert before.items() <= after.items()
