"""The colours of the app: two themes of our own, the terminal's own, and the way between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from textual.app import App
from textual.theme import Theme

from avo_tui.ui.textual_internals import begin_with_theme

VARIABLES = {
    "avo-rule": ("#3a414d", "#c9ccd1", "ansi_bright_black", "$panel"),
    "avo-dim": ("#99a3b5", "#4f5967", "ansi_default", "$text-muted"),
    "avo-faint": ("#8b95a8", "#606875", "ansi_bright_black", "$text-disabled"),
    "avo-hint": ("#c39ae8", "#7a3db8", "ansi_magenta", "$text-secondary"),
    "avo-best": ("#f0c869", "#835700", "ansi_yellow", "$text-warning"),
    "avo-lane": ("#6cb6ff", "#0b5fbf", "ansi_blue", "$primary"),
    "avo-lane-dead": ("#5f697b", "#7f8895", "ansi_bright_black", "$text-disabled"),
    "avo-curve": ("#6cb6ff", "#0b5fbf", "ansi_blue", "$primary"),
    "avo-area": ("#3f6f9f", "#5f8dc5", "ansi_blue", "$primary-muted"),
    "avo-on-area": ("#f2f5fa", "#10141a", "ansi_default", "$foreground"),
    "avo-baseline": ("#99a3b5", "#5a6370", "ansi_bright_black", "$text-muted"),
    "avo-add": ("#16301f", "#e2f4e6", "ansi_default", "$success-muted"),
    "avo-del": ("#3a1d20", "#fbe7e5", "ansi_default", "$error-muted"),
    "avo-add-word": ("#256b3b", "#a8dfb5", "ansi_default", "$success 50%"),
    "avo-del-word": ("#7d2f33", "#f2b8b3", "ansi_default", "$error 50%"),
    "avo-hunk": ("#1a2330", "#e8eef7", "ansi_default", "$panel"),
    "avo-cursor": ("#1b304c", "#cfe2fa", "ansi_default", "$primary-muted"),
    "avo-cursor-blur": ("#1f2937", "#e6ebf2", "ansi_default", "$panel"),
    "avo-loud": ("#121212", "#fbfbf9", "ansi_black", "$background"),
    "sx-keyword": ("#c39ae8", "#7a3db8", "ansi_magenta", "$text-accent"),
    "sx-type": ("#6cc7d1", "#0a6673", "ansi_cyan", "$text-secondary"),
    "sx-string": ("#a5cf8a", "#356a17", "ansi_green", "$text-success"),
    "sx-comment": ("#8993a6", "#5f6773", "ansi_bright_black", "$text-disabled"),
    "sx-number": ("#e6a86c", "#984707", "ansi_yellow", "$text-warning"),
    "sx-function": ("#82b7ff", "#0b55ab", "ansi_blue", "$text-primary"),
    "sx-preproc": ("#d98bb4", "#a8326f", "ansi_magenta", "$text-error"),
}
"""Variable → its colour in the dark theme, in the light one, in the terminal's own sixteen colours,
and in any other theme."""
IN_ANSI, IN_OTHERS = 2, 3


def _own(column: int, *, active: str, rule: str, hover: str, background: str, **rest: Any) -> Theme:
    """One of our own themes; `column` is its place in `VARIABLES`."""
    scrollbar = {
        "scrollbar": rule,
        "scrollbar-hover": hover,
        "scrollbar-active": active,
        "scrollbar-corner-color": background,
        **{f"scrollbar-background{state}": background for state in ("", "-hover", "-active")},
        "footer-key-foreground": active,
        "block-cursor-text-style": "none",
    }
    colours = {name: colours[column] for name, colours in VARIABLES.items()}
    return Theme(primary=active, background=background, variables=colours | scrollbar, **rest)


OWN = (
    _own(
        0,
        name="avo-dark",
        dark=True,
        active="#6cb6ff",
        secondary="#8d9db3",
        foreground="#d5dae3",
        background="#121212",
        surface="#1b1d21",
        panel="#25292f",
        success="#7cc48f",
        warning="#e2b35c",
        error="#e88078",
        rule="#3a414d",
        hover="#43506a",
    ),
    _own(
        1,
        name="avo-light",
        dark=False,
        active="#0b5fbf",
        secondary="#55606e",
        foreground="#1d232c",
        background="#fbfbf9",
        surface="#f3f3f0",
        panel="#e9e9e4",
        success="#176e36",
        warning="#875300",
        error="#b3261e",
        rule="#c9ccd1",
        hover="#a6adb8",
    ),
)

CYCLE = ("avo-dark", "avo-light", "ansi-dark", "ansi-light")


def default_theme(environ: Mapping[str, str]) -> str:
    """The theme for a terminal: its own colours where it has sixteen only, by `TERM` and
    `COLORTERM`; ours would be drawn in the nearest of them, most of which are greys."""
    few = Console(force_terminal=True, _environ=environ).color_system == "standard"
    return "ansi-dark" if few else "avo-dark"


def _shade(theme: Theme) -> str:
    return "dark" if theme.dark else "light"


class ThemeCycle:
    """The theme of an app, from its first picture on, in `few` colours or all."""

    def __init__(self, app: App[Any], first: str, *, few: bool) -> None:
        self._app = app
        for theme in OWN:
            app.register_theme(theme)
        known = app.available_themes
        theme = known.get(first, OWN[0])
        begin_with_theme(app, f"ansi-{_shade(theme)}" if few else theme.name)

    def next(self) -> None:
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
            self._app.theme = f"{'ansi' if few else 'avo'}-{_shade(theme)}"


def with_fallbacks(variables: dict[str, str], ansi: bool) -> dict[str, str]:
    """Textual's style variables and ours, whatever the theme defines; changes its argument."""
    for name, colours in VARIABLES.items():
        value, _, rest = colours[IN_ANSI if ansi else IN_OTHERS].partition(" ")
        if value.startswith("$"):
            value = f"{variables.get(value[1:], 'auto')} {rest}".strip()
        variables.setdefault(name, value)
    return variables
