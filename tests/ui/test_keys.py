"""Every key on every screen: nothing crashes, and every screen can be left again."""

import re
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import pytest
from textual.binding import Binding

import avo_tui
from avo_tui.ui import screens
from avo_tui.ui.actions import key_name
from avo_tui.ui.app import AvoApp
from avo_tui.ui.host import HostOptions
from avo_tui.ui.screen import AvoScreen
from avo_tui.ui.screens.detail import DetailScreen
from avo_tui.ui.screens.listing import ListScreen
from avo_tui.ui.screens.run.screen import RunScreen
from avo_tui.ui.screens.sessions import SessionsScreen
from tests.program_texts import texts_of
from tests.ui.make_session import MemorySource
from tests.ui.pilots import SERVICES, Hands, make_app, running

UNBOUND = ("z", "full_stop", "ctrl+b")


def keys_of(app: AvoApp, *but: str) -> list[str]:
    """All that the screen reacts to, and some that it does not; not those that end the app."""
    bound = set(app.screen.active_bindings) - {"ctrl+q", *but}
    assert len(bound) > 10
    return sorted(bound.union(UNBOUND))


KEYS_TO = {
    "run": [],
    "attempts": ["F"],
    "compare": ["B", "c"],
    "kernel": ["B", "V"],
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


@pytest.mark.parametrize("name", sorted(KEYS_TO))
async def test_every_key(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITOR", "true")
    app = make_app(MemorySource(steps=5), services=SERVICES)
    monkeypatch.setattr(app, "suspend", nullcontext)
    base = KEYS_TO[name]
    async with running(app, (80, 24)) as hands:
        await back_to(hands, base)
        expected = type(app.screen)
        for key in keys_of(app, *("q" if name == "run" else "")):
            await hands.press(key)
            if type(app.screen) is not expected:
                await back_to(hands, base)
                assert type(app.screen) is expected, f"after {key}: {app.screen}"
    assert app.return_code in {None, 0}


async def test_every_key_in_the_sessions_screen(tmp_path: Path) -> None:
    app = AvoApp(HostOptions(services=SERVICES, roots=[tmp_path]))
    async with running(app, (80, 24)) as hands:
        for key in keys_of(app, "q", "escape"):
            await hands.press(key)
            for _ in range(4):
                if isinstance(app.screen, SessionsScreen):
                    break
                await hands.press("escape")
            assert isinstance(app.screen, SessionsScreen), f"after {key}: {app.screen}"
    assert app.return_code in {None, 0}


SCREENS: tuple[Callable[[], AvoScreen], ...] = (
    lambda: screens.SessionsScreen(),
    lambda: screens.RunScreen(),
    lambda: screens.AttemptsScreen(),
    lambda: screens.CompareScreen(0, 1),
    lambda: screens.KernelScreen("v1", "0" * 64, 1),
    lambda: screens.TranscriptScreen(1),
    lambda: screens.LogScreen("log", tuple),
    lambda: screens.MemoryScreen(),
    lambda: screens.KnowledgeScreen(),
    lambda: screens.PageScreen("start"),
    lambda: screens.SupervisorScreen(),
    lambda: screens.DevicesScreen(),
    lambda: screens.SearchScreen(),
    lambda: screens.CampaignScreen(Path("/nowhere/.campaign-none")),
)


@pytest.mark.parametrize("made", SCREENS)
def test_actions_have_help_and_distinct_keys(made: Callable[[], AvoScreen]) -> None:
    screen = made()
    actions = list(screen.ACTIONS)
    keys = [key for action in actions for key in action.key.split(",") if key]
    assert len(keys) == len(set(keys)), sorted(k for k in keys if keys.count(k) > 1)
    bound = {binding.id for binding in type(screen).BINDINGS if isinstance(binding, Binding)}
    for action in actions:
        assert action.help.endswith(".") and action.label
        assert not action.key or action.id in bound, f"{action.id} has a key that is not bound"


def test_every_screen_is_tried() -> None:
    for module in walk_packages(screens.__path__, f"{screens.__name__}."):
        import_module(module.name)
    bases = {AvoScreen, DetailScreen, ListScreen}
    every = {one for base in bases for one in base.__subclasses__()}
    assert {type(made()) for made in SCREENS} == every - bases


VERBS = (
    "goes|opens|sends|shows|zooms|leaves|stops|starts|approves|rejects|sets|copies|writes"
    "|inspects|sorts|triggers|ends|searches|unfolds|finds"
)
TOLD = re.compile(rf"(?<![\w'’\"“.-])([A-Za-z?/]|esc|enter|space|tab) (?=(?:{VERBS})\b)")
"""A key and what it does, as sentences on the screen and in messages tell it."""


def test_every_key_that_a_text_names_is_there() -> None:
    """On the screen of the text's own module; panes, dialogs and messages are of the run screen."""
    for module in walk_packages(screens.__path__, f"{screens.__name__}."):
        import_module(module.name)
    keys: dict[str, set[str]] = {}
    for screen in every_kind(AvoScreen):
        bound = [action.key for action in screen.ACTIONS]
        bound += [binding.key for binding in screen.BINDINGS if isinstance(binding, Binding)]
        names = {key_name(key) for several in bound for key in several.split(",") if key}
        keys.setdefault(screen.__module__, set()).update(names)
    told = {
        (module, key)
        for folder in ("ui", "notify")
        for path in Path(avo_tui.__path__[0], folder).rglob("*.py")
        for module in [f"avo_tui.{'.'.join(path.relative_to(*avo_tui.__path__).parts)[:-3]}"]
        for text in texts_of(path, "…")
        for key in TOLD.findall(text)
    }
    assert len(told) > 30
    assert not {(m, key) for m, key in told if key not in keys.get(m, keys[RunScreen.__module__])}


def every_kind(kind: type[AvoScreen]) -> Iterator[type[AvoScreen]]:
    for one in kind.__subclasses__():
        yield one
        yield from every_kind(one)
