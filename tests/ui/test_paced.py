"""A key does not wait long for its frame, whatever the pace at which events are painted."""

import os
import subprocess
import sys

import pytest

from avo_tui.ui.connection import SLOW_TICK_SECONDS, TICK_SECONDS

ASK = "import avo_tui.ui; from textual.screen import UPDATE_PERIOD; print(UPDATE_PERIOD)"


def frame(**environment: str) -> float:
    """Seconds of a frame in a process of its own."""
    ours = {"TEXTUAL_FPS", "AVO_LOW_BANDWIDTH"}
    known = {name: value for name, value in os.environ.items() if name not in ours}
    made = subprocess.run(
        [sys.executable, "-c", ASK],
        env=known | environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    return float(made.stdout)


@pytest.mark.parametrize(
    ("environment", "frames_a_second"),
    [
        ({}, 60),
        ({"AVO_LOW_BANDWIDTH": "0"}, 60),
        ({"AVO_LOW_BANDWIDTH": "1"}, 20),
        ({"TEXTUAL_FPS": "7"}, 7),
    ],
)
def test_frames_are_short(environment: dict[str, str], frames_a_second: int) -> None:
    assert frame(**environment) == pytest.approx(1 / frames_a_second)


def test_events_are_painted_less_often_than_keys() -> None:
    """Two frames are the longest that a key waits; a tick is many of them."""
    assert TICK_SECONDS >= 10 / 60
    assert SLOW_TICK_SECONDS >= 10 / 20
