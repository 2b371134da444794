"""Tests of the screens: an app on an invented session in memory, at a fixed time."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from make_session import MemorySource


@pytest.fixture(scope="session")
def recorded() -> MemorySource:
    """A run in the middle of its 25th step; not to be changed."""
    return MemorySource()


@pytest.fixture
def source() -> MemorySource:
    """A short run that a test may add events to."""
    return MemorySource(steps=4, name="short")
