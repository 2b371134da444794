"""Tests marked `gpu` run where there is a GPU."""

import asyncio

import pytest

from avo_tui.evaluation.backends.cuda.device import NoGpu, probe


def pytest_configure(config: pytest.Config) -> None:
    # pytest-xdist brings this one, and a machine with a GPU need not have it
    config.addinivalue_line("markers", "xdist_group(name): tests that one worker runs")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    found = asyncio.run(probe())
    if isinstance(found, NoGpu):
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=found.reason))
