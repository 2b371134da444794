"""Every key on every screen: nothing crashes, and every screen can be left again."""

from __future__ import annotations

import string
from contextlib import nullcontext
from pathlib import Path

import pytest
from make_session import MemorySource
from pilots import SERVICES, Hands, make_app, running

from avo_tui.ui.app import AvoApp
from avo_tui.ui.screens.base import AvoScreen
from avo_tui.ui.screens.run import RunScreen
from avo_tui.ui.screens.sessions import SessionsScreen

KEYS = [
    *string.ascii_lowercase,
    *string.ascii_uppercase,
    *string.digits,
    "space",
    "enter",
    "tab",
    "shift+tab",
    "up",
    "down",
    "left",
    "right",
    "pageup",
    "pagedown",
    "home",
    "end",
    "delete",
    "backspace",
    "f1",
    "f5",
    "slash",
    "question_mark",
    "apostrophe",
    "left_square_bracket",
    "right_square_bracket",
    "full_stop",
    "comma",
    "ctrl+s",
    "ctrl+p",
    "ctrl+b",
    "ctrl+c",
    "escape",
]


SCREENS = {
    "run": [],
    "lineage": ["L"],
    "compare": ["B", "c"],
    "transcript": ["t"],
    "memory": ["M"],
    "knowledge": ["K"],
    "supervisor": ["i"],
}


async def back_to(hands: Hands, base: list[str]) -> None:
    """Close whatever a key has opened and open the screen under test again."""
    for _ in range(8):
        if isinstance(hands.app.screen, RunScreen):
            break
        await hands.press("escape")
    assert isinstance(hands.app.screen, RunScreen), f"escape does not leave {hands.app.screen}"
    await hands.press(*base)


@pytest.mark.parametrize("name", sorted(SCREENS))
async def test_every_key(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITOR", "true")
    app = make_app(MemorySource(steps=5), services=SERVICES)
    monkeypatch.setattr(app, "suspend", nullcontext)
    base = SCREENS[name]
    async with running(app, (80, 24)) as hands:
        await back_to(hands, base)
        expected = type(app.screen)
        for key in KEYS:
            if name == "run" and key == "q":
                continue
            await hands.press(key)
            if type(app.screen) is not expected:
                await back_to(hands, base)
                assert type(app.screen) is expected, f"after {key}: {app.screen}"
    assert app.return_code in {None, 0}


async def test_every_key_in_the_sessions_screen(tmp_path: Path) -> None:
    app = AvoApp(SERVICES, roots=[tmp_path])
    async with running(app, (80, 24)) as hands:
        for key in KEYS:
            if key in {"q", "escape"}:
                continue
            await hands.press(key)
            for _ in range(4):
                if isinstance(app.screen, SessionsScreen):
                    break
                await hands.press("escape")
            assert isinstance(app.screen, SessionsScreen), f"after {key}: {app.screen}"
    assert app.return_code in {None, 0}


def test_actions_have_methods_help_and_distinct_keys() -> None:
    import importlib
    import pkgutil

    from avo_tui.ui import screens

    for info in pkgutil.iter_modules(screens.__path__):
        importlib.import_module(f"{screens.__name__}.{info.name}")

    def below(kind: type) -> list[type]:
        return [c for sub in kind.__subclasses__() for c in (sub, *below(sub))]

    kinds = [k for k in below(AvoScreen) if k.ACTIONS]
    assert len(kinds) >= 8
    for kind in kinds:
        ids = [a.id for a in kind.ACTIONS]
        assert len(ids) == len(set(ids)), kind
        keys = [k for a in kind.ACTIONS for k in a.key.split(",")]
        assert len(keys) == len(set(keys)), (
            f"{kind.__name__}: {sorted(k for k in keys if keys.count(k) > 1)}"
        )
        for action in kind.ACTIONS:
            assert callable(getattr(kind, f"do_{action.id}", None)), (
                f"{kind.__name__}.do_{action.id}"
            )
            assert action.help.endswith(".") and action.label
