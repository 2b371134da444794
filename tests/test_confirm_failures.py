"""`--confirm-failures` on small suites: chance turns nothing red, and a defect nothing green."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLUGINS = ("-p", "xdist", "-p", "asyncio", "-p", "timeout")
"""Those that matter here: others take seconds to load."""
CONFTEST = """
from tests import confirm_failures
pytest_addoption = confirm_failures.add_option
pytest_configure = confirm_failures.register
"""
SETTINGS = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
filterwarnings = ignore
"""
ONCE = """
import asyncio, os, pathlib, pytest, pytest_asyncio

def first(name):
    try:
        (pathlib.Path(__file__).parent / name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
"""
SERVER = (
    ONCE
    + """
pytestmark = pytest.mark.asyncio(loop_scope="module")

@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server():
    started = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    yield started
    started.close()
"""
)
CHANCE = (
    SERVER
    + """
@pytest.mark.parametrize("number", range(12))
async def test_well(server, number):
    await asyncio.sleep(0)

async def test_flaky(server):
    print("a line of the test")
    assert not first("flaky"), "by chance"

async def test_dies(server):
    if first("dies"):
        os._exit(3)

@pytest.mark.timeout(4)
async def test_hangs(server):
    if first("hangs"):
        await asyncio.sleep(1000)
"""
)
DEFECTS = (
    ONCE
    + """
@pytest.fixture(scope="module")
def shared():
    if first("shared"):
        raise OSError("no port is free")

@pytest.mark.parametrize("number", range(6))
def test_with_fixture(shared, number): ...

def test_broken():
    assert 1 == 2

def test_skips():
    assert not first("skips")
    pytest.skip("not again")
"""
)
MANY = (
    ONCE
    + """
@pytest.mark.parametrize("number", range(4))
def test_each(number):
    assert not first(str(number))
"""
)


def run(folder: Path, source: str, *options: str) -> tuple[int, list[str]]:
    """(exit status, printed lines) of a suite of one file with `--confirm-failures`."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "pytest.ini").write_text(SETTINGS)
    (folder / "test_suite.py").write_text(source)
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "COLUMNS"))}
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *PLUGINS, "-q", "-ra", "--confirm-failures", *options],
        cwd=folder,
        env=inherited | {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.returncode, ran.stdout.splitlines()


def named(lines: list[str], begin: str) -> list[str]:
    """The tests of the lines that begin so."""
    return [line.removeprefix(begin).split(",")[0] for line in lines if line.startswith(begin)]


def test_chance_dead_workers_and_hangs_are_told_and_do_not_fail_the_run(tmp_path: Path) -> None:
    status, lines = run(tmp_path, CHANCE, "-n", "2", "--dist", "worksteal")
    assert status == 0, "\n".join(lines)
    tests = {f"test_suite.py::test_{name}" for name in ("flaky", "dies", "hangs")}
    assert set(named(lines, "flaky: ")) == tests
    assert re.match(r"12 passed, 3 flaky in ", lines[-1])
    text = "\n".join(lines)
    assert "a line of the test" in text
    assert "failed with 'AssertionError: by chance" in text
    assert re.search(r"worker 'gw\d' crashed while running", text)
    assert "Timeout (>4.0s)" in text


def test_what_does_not_pass_alone_fails_the_run(tmp_path: Path) -> None:
    status, lines = run(tmp_path, DEFECTS)
    assert status == 1, "\n".join(lines)
    refused = {"test_suite.py::test_broken", "test_suite.py::test_skips"}
    assert set(named(lines, "not passed when run alone: ")) == refused
    assert any(line.startswith("FAILED test_suite.py::test_broken") for line in lines)
    assert re.match(r"2 failed, 6 flaky in ", lines[-1])
    (flaky,) = (line for line in lines if line.startswith("flaky: "))
    assert "test_with_fixture[0] and 5 more, " in flaky
    assert "no port is free" in flaky


def test_more_failures_than_chance_makes_are_not_run_again(tmp_path: Path) -> None:
    status, lines = run(tmp_path, MANY)
    assert status == 1
    assert not named(lines, "flaky: ")
    assert "4 failures are too many for chance: none ran again" in lines
    assert re.match(r"4 failed in ", lines[-1])


def test_a_run_that_stopped_early_stays_failed(tmp_path: Path) -> None:
    status, lines = run(tmp_path, MANY, "-x")
    assert status == 1
    assert not named(lines, "flaky: ")
