"""The app's themes: ours, the terminal's own, and none where `NO_COLOR` asks for none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from textual.filter import Monochrome, NoColor

from avo_tui.ui.themes import OWN, fallback_variables
from avo_tui.ui.widgets.paint import Palette

CYCLE = ("avo-dark", "avo-light", "ansi-dark", "ansi-light")


class Themed(Palette):
    """An app that begins with a theme and can go on to the next."""

    def __init__(self, theme: str, **options: Any) -> None:
        super().__init__(**options)
        self._begin_theme(theme)

    def _begin_theme(self, name: str) -> None:
        """Have the theme before the style sheet is read, so that it is read and applied once."""
        for theme in OWN:
            self.register_theme(theme)
        known = name if name in self.available_themes else "avo-dark"
        self.set_reactive(Themed.theme, known)
        if self.no_color:
            self._drop_colours()
        theme = self.current_theme
        self.set_class(theme.dark, "-dark-mode", update=False)
        self.set_class(not theme.dark, "-light-mode", update=False)
        self.set_class(theme.ansi, "-ansi", update=False)
        self.stylesheet.set_variables(self.get_css_variables())
        self._refresh_truecolor_filter(self.ansi_theme)

    def _drop_colours(self) -> None:
        """`NO_COLOR`: the terminal's own two colours, bold and reverse; greys are colours too."""
        bare = "ansi-dark" if self.current_theme.dark else "ansi-light"
        self.set_reactive(Themed.theme, bare)
        self._filters = [NoColor() if isinstance(f, Monochrome) else f for f in self._filters]

    def get_css_variables(self) -> dict[str, str]:
        """Textual's variables and ours, whatever the theme."""
        made = super().get_css_variables()
        theme = self.current_theme
        for name, value in fallback_variables(theme.ansi).items():
            if name not in made:
                made[name] = (
                    made.get(value[1:], "auto")
                    if value.startswith("$") and " " not in value
                    else self._mixed(made, value)
                )
        return made

    @staticmethod
    def _mixed(made: Mapping[str, str], value: str) -> str:
        if not value.startswith("$"):
            return value
        name, _, rest = value[1:].partition(" ")
        return f"{made.get(name, 'auto')} {rest}".strip()

    def next_theme(self) -> None:
        """The next of our themes and the terminal's own."""
        at = CYCLE.index(self.theme) if self.theme in CYCLE else -1
        self.theme = CYCLE[(at + 1) % len(CYCLE)]
        self.notify(f"theme {self.theme}", timeout=2)

    def _watch_theme(self, theme_name: str) -> None:
        super()._watch_theme(theme_name)
        self.set_class(self.current_theme.ansi, "-ansi")
