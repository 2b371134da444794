"""What follows from measurements of the connection, and the setting that overrules them."""

import pytest

from avo_tui.ui.connection import ANSWERS, OFTEN, WINDOW, LinkSpeed, is_remote
from tests.ui.make_session import MemorySource
from tests.ui.pilots import make_app, running


def test_only_the_quickest_answer_counts() -> None:
    link = LinkSpeed()
    for seconds in (2.0, 0.4, 0.9):
        assert link.wants_answer and link.why_slow() is None
        link.answered(seconds)
    assert link.why_slow() == "the terminal takes 0.4 s to answer"
    quick = LinkSpeed(answers=[3.0, 0.02, 3.0])
    assert quick.why_slow() is None and len(quick.answers) == ANSWERS


def test_a_link_that_is_full_is_slow_and_a_terminal_that_stands_still_is_not() -> None:
    full, frozen = LinkSpeed(), LinkSpeed()
    for _ in range(OFTEN):
        assert full.why_slow() is None
        full.wrote(0.9, 4000)
    assert full.why_slow() == "the connection does not keep up"
    for _ in range(60):
        frozen.wrote(1.0, 0)
    assert frozen.why_slow() is None


def test_a_slow_moment_is_forgotten() -> None:
    link = LinkSpeed()
    for _ in range(OFTEN - 1):
        link.wrote(0.9, 4000)
    for _ in range(WINDOW):
        link.wrote(0.0, 4000)
    link.wrote(0.9, 4000)
    assert link.why_slow() is None


def test_only_connections_from_elsewhere_are_measured() -> None:
    assert is_remote({"SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"}) and not is_remote({})


@pytest.mark.parametrize("setting", [True, False, None])
async def test_the_setting_overrules_and_the_screen_says_why(
    setting: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.1 1 10.0.0.2 22")
    app = make_app(MemorySource(steps=2), low_bandwidth=setting)
    assert (app.connection._speed is not None) == (setting is None)
    async with running(app, (80, 24)) as hands:
        assert app.connection.low_bandwidth == bool(setting)
        app.connection.give_way("the terminal takes 0.4 s to answer")
        await hands.rest()
        assert app.theme == "ansi-dark"
        assert "0.4 s to answer" in hands.said[-1] and "^b ends that" in hands.said[-1]
        await hands.press("ctrl+b")
        assert not app.connection.low_bandwidth and app.theme == "avo-dark"
