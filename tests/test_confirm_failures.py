"""`--confirm-failures` on small suites: chance turns nothing red, and a defect nothing green."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.confirm_failures import MOST

ROOT = Path(__file__).parents[1]
PLUGINS = ("-p", "xdist", "-p", "asyncio", "-p", "timeout")
"""Those that matter here: others take seconds to load."""
CONFTEST = """
from tests import confirm_failures
pytest_addoption = confirm_failures.add_option
pytest_configure = confirm_failures.register
"""
ONCE = """
import os, pathlib, pytest, time

def first(name):
    try:
        (pathlib.Path(__file__).parent / name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
"""
CHANCE = """
@pytest.mark.parametrize("number", range(12))
def test_well(number): ...

@pytest.fixture
def port():
    assert not first("port"), "no port is free"

def test_fixture(port): ...

def test_flaky():
    print("a line of the test")
    assert not first("flaky"), "by chance"

def test_dies():
    if first("dies"):
        os._exit(3)

@pytest.mark.timeout(4)
def test_hangs():
    if first("hangs"):
        time.sleep(1000)
"""


def run(folder: Path, source: str, *options: str) -> tuple[int, str]:
    """(exit status, what was printed) of a suite of one file with `--confirm-failures`."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_suite.py").write_text(ONCE + source)
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
    return ran.returncode, ran.stdout


def test_chance_dead_workers_and_hangs_are_told_and_do_not_fail_the_run(tmp_path: Path) -> None:
    status, text = run(tmp_path, CHANCE, "-n", "2", "--dist", "worksteal")
    assert status == 0, text
    flaky = re.findall(r"^flaky: test_suite.py::test_(\w+), to be mended", text, re.M)
    assert sorted(flaky) == ["dies", "fixture", "flaky", "hangs"]
    assert re.search(r"^12 passed, 4 flaky in ", text.splitlines()[-1])
    assert "failed with 'AssertionError: by chance" in text
    assert re.search(r"worker 'gw\d' crashed while running", text)
    assert "Timeout (>4.0s)" in text


@pytest.mark.parametrize(
    ("source", "option", "said"),
    [
        ("def test_broken():\n    assert 1 == 2", "-v", "not passed when run alone"),
        (
            'def test_skips():\n    assert not first("s")\n    pytest.skip("not again")',
            "-v",
            "not passed when run alone",
        ),
        (
            f'@pytest.mark.parametrize("n", range({MOST + 1}))\n'
            "def test_each(n):\n    assert not first(str(n))",
            "-v",
            "nothing was run again",
        ),
        ('def test_once():\n    assert not first("o")\ndef test_later(): ...', "-x", "1 failed"),
    ],
)
def test_what_is_no_chance_fails_the_run(
    tmp_path: Path, source: str, option: str, said: str
) -> None:
    status, text = run(tmp_path, source, option)
    assert status == 1 and said in text and "flaky: " not in text
