"""The themes that a person can switch between: the app's own, and the terminal's sixteen
colours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from textual.app import App

from avo_tui.ui.textual_internals import begin_with_theme
from avo_tui.ui.theme.colours import OWN, fallback_variables

CYCLE = ("avo-dark", "avo-light", "ansi-dark", "ansi-light")


def default_theme(environ: Mapping[str, str]) -> str:
    """The theme for a terminal: its own colours where it has sixteen only, by `TERM` and
    `COLORTERM`; ours would be drawn in the nearest of them, most of which are greys."""
    few = Console(force_terminal=True, _environ=environ).color_system == "standard"
    return "ansi-dark" if few else "avo-dark"


class ThemeCycle:
    """The theme of an app, from its first picture on."""

    def __init__(self, app: App[Any], first: str) -> None:
        self._app = app
        for theme in OWN:
            app.register_theme(theme)
        begin_with_theme(app, first if first in app.available_themes else "avo-dark")

    def next(self) -> None:
        """Go on to the next of `CYCLE`."""
        app = self._app
        index = CYCLE.index(app.theme) if app.theme in CYCLE else -1
        app.theme = CYCLE[(index + 1) % len(CYCLE)]
        app.notify(f"theme {app.theme}", timeout=2)

    def names(self) -> list[str]:
        """The themes that the palette offers."""
        known = self._app.available_themes
        return [name for name in known if name in CYCLE or name.startswith("avo")]

    def prefer_few_colours(self, few: bool) -> None:
        """Switch to the terminal's own colours, which need fewer bytes, or back."""
        theme = self._app.current_theme
        if few != theme.ansi:
            self._app.theme = f"{'ansi' if few else 'avo'}-{'dark' if theme.dark else 'light'}"


def with_fallbacks(variables: dict[str, str], ansi: bool) -> dict[str, str]:
    """Textual's style variables and ours, whatever the theme defines; changes its argument."""
    for name, value in fallback_variables(ansi).items():
        if name not in variables:
            variables[name] = (
                variables.get(value[1:], "auto")
                if value.startswith("$") and " " not in value
                else _mixed(variables, value)
            )
    return variables


def _mixed(variables: Mapping[str, str], value: str) -> str:
    if not value.startswith("$"):
        return value
    name, _, rest = value[1:].partition(" ")
    return f"{variables.get(name, 'auto')} {rest}".strip()
