"""Makes this folder importable: builders that several tests share lie beside this file."""

import atexit
import compileall
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import avo_tui
from tests import confirm_failures

# Compiled modules are kept, whatever the environment says: the tests start some thousand
# processes, and each would compile what it imports anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# What the program notes of a user, such as which sessions, trusted folders and repositories are
# theirs, is the tests' own: nothing of the person's is read or changed.
for name in ("XDG_STATE_HOME", "XDG_DATA_HOME"):
    os.environ[name] = tempfile.mkdtemp(prefix="avo-tests-")
    atexit.register(shutil.rmtree, os.environ[name], ignore_errors=True)

# torch's threads wait actively for each other: with a test on every processor that is lost time
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The same examples each time: a run of the tests says the same of the same sources. With AVO_SEARCH
# set, others are looked for. Machines that are busy are slow at times; that is no finding.
settings.register_profile(
    "avo",
    deadline=None,
    derandomize="AVO_SEARCH" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("avo")


def pytest_addoption(parser: pytest.Parser) -> None:
    confirm_failures.add_option(parser)


def pytest_configure(config: pytest.Config) -> None:
    confirm_failures.register(config)
    if not hasattr(config, "workerinput"):  # once, before the workers start
        compileall.compile_dir(Path(avo_tui.__file__).parent, quiet=1)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """For `-n auto`: up to two more than there are processors, as many tests wait for processes."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    processors = len(os.sched_getaffinity(0))
    return processors + min(2, processors // 2)


@pytest.fixture(autouse=True)
def fixed_draws() -> None:
    """Each test draws the same numbers, alone and after others, where it names no seed itself."""
    random.seed(20)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(20)
