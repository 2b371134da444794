"""What holds for all tests, those of the packages under `plugins/` too."""

import atexit
import compileall
import gc
import os
import random
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
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

# Every process that a test starts carries this on, and with it the test's name, which pytest sets.
RUN, TEST = "AVO_TEST_RUN", "PYTEST_CURRENT_TEST"
os.environ[RUN] = uuid.uuid4().hex
ENDS_WITH_THIS = ("resource_tracker", "multiprocessing.forkserver")
"""Processes of Python's own that end with this one."""
ENDING_SECONDS = 10.0
"""For processes that are ending when the last test is over."""

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With AVO_ORDER set the tests run in an order that it draws: none may need another before."""
    if "AVO_ORDER" in os.environ:
        order = random.Random(os.environ["AVO_ORDER"])  # noqa: S311
        order.shuffle(items)
        files = {item.path: order.random() for item in items}  # a module's fixtures are made once
        items.sort(key=lambda item: files[item.path])


def pytest_collection_finish() -> None:
    """Modules and tests stay to the end: to look through them for garbage again and again took a
    quarter of the processor time of tests of screens."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """For `-n auto`: up to two more than there are processors, as many tests wait for processes."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    processors = len(os.sched_getaffinity(0))
    return processors + min(2, processors // 2)


@pytest.fixture(autouse=True)
def alike() -> None:
    """Each test begins alike, alone and after others: it draws the same numbers, where it names no
    seed itself, and no settings are held that another one has read."""
    random.seed(20)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(20)
    if "avo_tui.settings" in sys.modules:
        sys.modules["avo_tui.settings"].settings.cache_clear()


def _running() -> dict[psutil.Process, str]:
    """What runs that a test of this process started, with its command and the test."""
    found = {}
    for process in psutil.process_iter():
        try:
            environment, command = process.environ(), " ".join(process.cmdline())
        except (psutil.Error, OSError):
            continue
        ours = environment.get(RUN) == os.environ[RUN]
        if ours and not any(name in command for name in ENDS_WITH_THIS):
            found[process] = f"{command[:160]}, started in {environment.get(TEST)}"
    return found


@pytest.fixture(scope="session", autouse=True)
def no_process_is_left() -> Iterator[None]:
    """The tests end every process that they start; what is left is ended here and fails the run."""
    yield
    left = _running()
    _, alive = psutil.wait_procs(list(left), timeout=ENDING_SECONDS)
    told = "\n".join(left[process] for process in alive)
    while alive:  # also what they started meanwhile
        for process in alive:
            process.kill()
        psutil.wait_procs(alive, timeout=ENDING_SECONDS)
        alive = list(_running())
    assert not told, f"processes were left running:\n{told}"
