"""`NO_COLOR` and the terminal's own colours: what is said by colour is said without it, too."""

from __future__ import annotations

import pytest
from make_session import MemorySource
from pilots import SERVICES, make_app, running


@pytest.mark.parametrize("theme", ["avo-dark", "ansi-light"])
async def test_no_color_means_none_at_all(theme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = make_app(MemorySource(steps=3, state="lost"), theme=theme, services=SERVICES)
    async with running(app, (80, 24)) as hands:
        for keys in ((), ("B",), ("L",), ("b",), ("question_mark",)):
            await hands.press(*keys)
            app.clear_notifications()
            await hands.rest()
            strips = app.screen._compositor.render_strips()
            styles = [s.style for strip in strips for s in strip if s.style is not None]
            for style in styles:
                for colour in (style.color, style.bgcolor):
                    assert colour is None or colour.is_default, f"{keys}: {style}"
            assert any(style.reverse for style in styles), f"{keys}: nothing stands out"
            await hands.home()


async def test_a_lost_engine_stands_out_without_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = make_app(MemorySource(steps=3, state="lost"), services=SERVICES)
    async with running(app):
        first = app.screen._compositor.render_strips()[0]
        loud = "".join(s.text for s in first if s.style is not None and s.style.reverse)
        assert "ENGINE LOST · R restarts" in loud


async def test_the_terminals_own_colours_are_sixteen(recorded: MemorySource) -> None:
    app = make_app(recorded, theme="ansi-dark")
    async with running(app):
        for strip in app.screen._compositor.render_strips():
            for segment in strip:
                style = segment.style
                for colour in (style.color, style.bgcolor) if style is not None else ():
                    assert colour is None or colour.triplet is None, f"{segment.text!r} {style}"
