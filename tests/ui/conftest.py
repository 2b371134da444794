"""Tests of the screens: an app on an invented session in memory, at a fixed time."""

import pytest

from tests.ui.make_session import MemorySource


@pytest.fixture(scope="session")
def recorded() -> MemorySource:
    """A run in the middle of its 25th step; not to be changed."""
    return MemorySource()


@pytest.fixture
def source() -> MemorySource:
    """A short run that a test may add events to."""
    return MemorySource(steps=4, name="short")
