"""The colours of the app: two themes of our own, the terminal's own, and the way between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from textual.app import App
from textual.theme import Theme

from avo_tui.ui.textual_internals import begin_with_theme

DARK = Theme(
    name="avo-dark",
    primary="#6cb6ff",
    secondary="#8d9db3",
    accent="#6cb6ff",
    foreground="#d5dae3",
    background="#121212",
    surface="#1b1d21",
    panel="#25292f",
    success="#7cc48f",
    warning="#e2b35c",
    error="#e88078",
    dark=True,
    variables={
        "avo-rule": "#3a414d",
        "avo-dim": "#99a3b5",
        "avo-faint": "#8b95a8",
        "avo-hint": "#c39ae8",
        "avo-best": "#f0c869",
        "avo-lane": "#6cb6ff",
        "avo-lane-dead": "#5f697b",
        "avo-curve": "#6cb6ff",
        "avo-area": "#3f6f9f",
        "avo-on-area": "#f2f5fa",
        "avo-baseline": "#99a3b5",
        "avo-add": "#16301f",
        "avo-del": "#3a1d20",
        "avo-add-word": "#256b3b",
        "avo-del-word": "#7d2f33",
        "avo-hunk": "#1a2330",
        "avo-cursor": "#1b304c",
        "avo-cursor-blur": "#1f2937",
        "avo-loud": "#121212",
        "sx-keyword": "#c39ae8",
        "sx-type": "#6cc7d1",
        "sx-string": "#a5cf8a",
        "sx-comment": "#8993a6",
        "sx-number": "#e6a86c",
        "sx-function": "#82b7ff",
        "sx-preproc": "#d98bb4",
        "block-cursor-text-style": "none",
        "footer-key-foreground": "#6cb6ff",
        "scrollbar": "#3a414d",
        "scrollbar-hover": "#43506a",
        "scrollbar-active": "#6cb6ff",
        "scrollbar-background": "#121212",
        "scrollbar-background-hover": "#121212",
        "scrollbar-background-active": "#121212",
        "scrollbar-corner-color": "#121212",
    },
)

LIGHT = Theme(
    name="avo-light",
    primary="#0b5fbf",
    secondary="#55606e",
    accent="#0b5fbf",
    foreground="#1d232c",
    background="#fbfbf9",
    surface="#f3f3f0",
    panel="#e9e9e4",
    success="#176e36",
    warning="#875300",
    error="#b3261e",
    dark=False,
    variables={
        "avo-rule": "#c9ccd1",
        "avo-dim": "#4f5967",
        "avo-faint": "#606875",
        "avo-hint": "#7a3db8",
        "avo-best": "#835700",
        "avo-lane": "#0b5fbf",
        "avo-lane-dead": "#7f8895",
        "avo-curve": "#0b5fbf",
        "avo-area": "#5f8dc5",
        "avo-on-area": "#10141a",
        "avo-baseline": "#5a6370",
        "avo-add": "#e2f4e6",
        "avo-del": "#fbe7e5",
        "avo-add-word": "#a8dfb5",
        "avo-del-word": "#f2b8b3",
        "avo-hunk": "#e8eef7",
        "avo-cursor": "#cfe2fa",
        "avo-cursor-blur": "#e6ebf2",
        "avo-loud": "#fbfbf9",
        "sx-keyword": "#7a3db8",
        "sx-type": "#0a6673",
        "sx-string": "#356a17",
        "sx-comment": "#5f6773",
        "sx-number": "#984707",
        "sx-function": "#0b55ab",
        "sx-preproc": "#a8326f",
        "block-cursor-text-style": "none",
        "footer-key-foreground": "#0b5fbf",
        "scrollbar": "#c9ccd1",
        "scrollbar-hover": "#a6adb8",
        "scrollbar-active": "#0b5fbf",
        "scrollbar-background": "#fbfbf9",
        "scrollbar-background-hover": "#fbfbf9",
        "scrollbar-background-active": "#fbfbf9",
        "scrollbar-corner-color": "#fbfbf9",
    },
)

OWN = (DARK, LIGHT)

ANSI_VARIABLES = {
    "avo-rule": "ansi_bright_black",
    "avo-dim": "ansi_default",
    "avo-faint": "ansi_bright_black",
    "avo-hint": "ansi_magenta",
    "avo-best": "ansi_yellow",
    "avo-lane": "ansi_blue",
    "avo-lane-dead": "ansi_bright_black",
    "avo-curve": "ansi_blue",
    "avo-area": "ansi_blue",
    "avo-on-area": "ansi_default",
    "avo-baseline": "ansi_bright_black",
    "avo-add": "ansi_default",
    "avo-del": "ansi_default",
    "avo-add-word": "ansi_default",
    "avo-del-word": "ansi_default",
    "avo-hunk": "ansi_default",
    "avo-cursor": "ansi_default",
    "avo-cursor-blur": "ansi_default",
    "avo-loud": "ansi_black",
    "sx-keyword": "ansi_magenta",
    "sx-type": "ansi_cyan",
    "sx-string": "ansi_green",
    "sx-comment": "ansi_bright_black",
    "sx-number": "ansi_yellow",
    "sx-function": "ansi_blue",
    "sx-preproc": "ansi_magenta",
}

OTHER_VARIABLES = {
    "avo-rule": "$panel",
    "avo-dim": "$text-muted",
    "avo-faint": "$text-disabled",
    "avo-hint": "$text-secondary",
    "avo-best": "$text-warning",
    "avo-lane": "$primary",
    "avo-lane-dead": "$text-disabled",
    "avo-curve": "$primary",
    "avo-area": "$primary-muted",
    "avo-on-area": "$foreground",
    "avo-baseline": "$text-muted",
    "avo-add": "$success-muted",
    "avo-del": "$error-muted",
    "avo-add-word": "$success 50%",
    "avo-del-word": "$error 50%",
    "avo-hunk": "$panel",
    "avo-cursor": "$primary-muted",
    "avo-cursor-blur": "$panel",
    "avo-loud": "$background",
    "sx-keyword": "$text-accent",
    "sx-type": "$text-secondary",
    "sx-string": "$text-success",
    "sx-comment": "$text-disabled",
    "sx-number": "$text-warning",
    "sx-function": "$text-primary",
    "sx-preproc": "$text-error",
}


def fallback_variables(ansi: bool) -> dict[str, str]:
    """Our variables for themes that are not ours."""
    return ANSI_VARIABLES if ansi else OTHER_VARIABLES


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
