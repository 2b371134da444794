"""What all screens share: the registry of actions, the footer, help, the tick."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import App
from textual.screen import Screen
from textual.widget import Widget

from avo_tui.ui.actions import Action
from avo_tui.ui.feed import Snapshot
from avo_tui.ui.widgets.bars import ActionBar

if TYPE_CHECKING:
    from avo_tui.ui.app import AvoApp

COMMON = (
    Action(
        "help",
        "question_mark,f1",
        "help",
        "What this screen and pane show, and every key.",
        "general",
        90,
    ),
    Action("palette", "ctrl+p", "palette", "Every action by name.", "general", 91),
    Action("theme", "T", "theme", "Dark, light, or the terminal's own sixteen colours.", "general"),
    Action(
        "slow_link",
        "ctrl+b",
        "low bandwidth",
        "Fewer repaints and no colour gradients, for slow connections.",
        "general",
    ),
)


class AvoScreen(Screen[None]):
    """A screen with actions. `do_<id>` methods carry them out."""

    ACTIONS: ClassVar[tuple[Action, ...]] = ()
    ABOUT: ClassVar[str] = ""
    """A paragraph for the help."""
    PANES: ClassVar[dict[str, tuple[str, str]]] = {}
    """Pane's id → (title, what it shows), for the help."""
    _up = False

    @property
    def avo(self) -> AvoApp:
        """The app, typed."""
        from avo_tui.ui.app import AvoApp

        assert isinstance(self.app, AvoApp)
        return self.app

    @property
    def ready(self) -> bool:
        """True while the widgets are there: after composing, before being taken down."""
        return self._up and any(isinstance(child, ActionBar) for child in self.children)

    def on_mount(self) -> None:
        """Comes after the handler of the same name of every subclass."""
        self._up = True
        latest = self.avo.latest
        if latest is not None:
            self.show_snapshot(latest)

    # -- actions

    def labels(self) -> dict[str, str]:
        """Labels of the footer that depend on the moment, by action."""
        return {}

    def keymap(self) -> dict[str, str]:
        """Keys as the settings have them."""
        return dict(self.avo.keys)

    def why_not(self, action: Action) -> str | None:
        """Why an action cannot run now; None if it can."""
        return action.why_not(self)

    def action_act(self, name: str) -> None:
        """Run an action of the registry, or say why not."""
        action = next((a for a in self.ACTIONS if a.id == name), None)
        if action is None:
            return
        reason = self.why_not(action)
        if reason is not None:
            self.app.notify(reason, severity="warning", timeout=4, markup=False)
            return
        method = getattr(self, f"do_{name}")
        if action.argument:
            method(action.argument)
        else:
            method()
        self.refresh_footer()

    def do_help(self) -> None:
        """Open the help of the focused pane."""
        from avo_tui.ui.screens.help import HelpScreen

        self.app.push_screen(HelpScreen(self, self.pane_of_focus()))

    def do_palette(self) -> None:
        """Open the palette."""
        self.app.action_command_palette()

    def do_theme(self) -> None:
        """The next theme."""
        self.avo.next_theme()

    def do_slow_link(self) -> None:
        """Low bandwidth on or off."""
        self.avo.set_low_bandwidth(not self.avo.low_bandwidth)

    def pane_of_focus(self) -> str | None:
        """Id of the pane that has the focus."""
        node: Widget | None = self.focused
        while node is not None:
            if node.id in self.PANES:
                return node.id
            node = node.parent if isinstance(node.parent, Widget) else None
        return None

    # -- footer

    def footer_actions(self) -> Sequence[Action]:
        """What the footer shows: enabled actions, by rank."""
        ranked = sorted((a for a in self.ACTIONS if a.footer), key=lambda a: a.footer)
        return [a for a in ranked if self.why_not(a) is None]

    def refresh_footer(self) -> None:
        """Show what can be done now."""
        if not self.ready:
            return
        for bar in self.query(ActionBar):
            bar.show_actions(self.footer_actions(), self.keymap(), self.labels())

    @on(ActionBar.Pressed)
    def _pressed(self, event: ActionBar.Pressed) -> None:
        self.action_act(event.action)

    # -- the tick

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Show a newer snapshot; screens that show a session override this."""

    def fit(self) -> None:
        """Arrange and paint for the present size; a screen below another is not told of it."""
        self.refresh_footer()

    def on_screen_resume(self) -> None:
        """Catch up with what happened while another screen was on top."""
        latest = self.avo.latest
        if latest is not None:
            self.show_snapshot(latest)
        self.call_after_refresh(self.fit)

    def on_resize(self) -> None:
        """The footer is as wide as the screen."""
        self.call_after_refresh(self.refresh_footer)


def fit_below(app: App[Any]) -> None:
    """Fit the screens that are seen behind a dialog to the size of the app."""
    below = [s for s in app.screen_stack[:-1] if isinstance(s, AvoScreen) and s.ready]
    for screen in below:
        screen.fit()
        screen._screen_resized(app.size)
        screen.fit()
    if below:
        app.screen.refresh()
