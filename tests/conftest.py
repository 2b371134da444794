"""Makes this folder importable: builders that several tests share lie beside this file."""

import os
import random
import sys

import pytest
from hypothesis import HealthCheck, settings

from tests import confirm_failures

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


@pytest.fixture(autouse=True)
def fixed_draws() -> None:
    """Each test draws the same numbers, alone and after others, where it names no seed itself."""
    random.seed(20)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(20)
