"""The dialog for options of the run, driven by keys."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from avo_tui.domain.commands import SetOptions
from avo_tui.domain.run_settings import OptionValue, RunSettings
from avo_tui.ui.dialogs import OptionsDialog
from avo_tui.ui.services import Services
from tests.ui.make_session import MemorySource
from tests.ui.pilots import make_app, running


@dataclass(frozen=True)
class One:
    name: str
    default: str
    meaning: str


KNOWN = (
    One("agent.model", "claude-opus-5-5", "The model that is asked."),
    One("agent.effort", "high", "How much it thinks."),
    One("agent.region", "", "The cloud's region."),
)


def check(settings: RunSettings, changes: Mapping[str, OptionValue | None]) -> None:
    if changes.get("agent.effort") == "enormous":
        raise ValueError("option agent.effort: it is low, medium, high, xhigh or max")


def services() -> Services:
    return Services(options=lambda settings: KNOWN, check_options=check)


async def test_a_value_is_checked_and_sent(source: MemorySource) -> None:
    app = make_app(source, services=services())
    async with running(app) as hands:
        await hands.press("s")
        await hands.until(lambda: isinstance(app.screen, OptionsDialog))
        dialog: Any = app.screen
        await hands.press("down", "enter")
        assert "How much it thinks. Default: high." in str(dialog.query_one("#meaning").render())
        await hands.press(*"enormous", "enter")
        await hands.until(lambda: "it is low" in str(dialog.query_one("#problem").render()))
        dialog.query_one("#value").value = "low"
        await hands.press("enter")
        await hands.until(lambda: bool(source.sent))
        assert source.sent[-1].options == {"agent.effort": "low"}  # type: ignore[union-attr]


async def test_several_at_once_and_back_to_the_default(source: MemorySource) -> None:
    app = make_app(source, services=services())
    async with running(app) as hands:
        await hands.press("s")
        await hands.until(lambda: isinstance(app.screen, OptionsDialog))
        dialog: Any = app.screen
        await hands.press("ctrl+s")
        assert "nothing is changed" in str(dialog.query_one("#problem").render())
        held = source.state.session.settings.option("agent.model")
        assert dialog.query_one("#value").value == (held or "")
        dialog.query_one("#value").value = "another"
        await hands.press("end", "enter")
        dialog.query_one("#value").value = "us-east5"
        await hands.press("ctrl+s")
        await hands.until(lambda: bool(source.sent))
        command = source.sent[-1]
        assert isinstance(command, SetOptions)
        assert command.options == {"agent.model": "another", "agent.region": "us-east5"}


async def test_without_services_it_says_so(source: MemorySource) -> None:
    app = make_app(source)
    async with running(app) as hands:
        await hands.press("s")
        assert "avo set" in hands.said[-1]
