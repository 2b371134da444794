"""What all screens share: actions, their conditions, footer, help, the tick."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Protocol, cast

from textual import on
from textual.app import App
from textual.await_complete import AwaitComplete
from textual.screen import Screen
from textual.widget import Widget

from avo_tui.domain.records import LIVE_STATES
from avo_tui.ui.actions import Action, Actions, ActionSet, BoundAction, Reason, bind, bindings
from avo_tui.ui.host import ONLY_LOOKS, Host
from avo_tui.ui.session.feed import Snapshot
from avo_tui.ui.status import status_line
from avo_tui.ui.textual_internals import may_close, resize_below
from avo_tui.ui.widgets.bars import ActionBar, StatusLine


class OnSession(Protocol):
    """The object a condition checks: a screen, or the parts of one."""

    @property
    def snapshot(self) -> Snapshot | None: ...
    @property
    def host(self) -> Host: ...


def changeable(on: OnSession) -> Reason:
    """Requires a session that is not a replay."""
    if on.snapshot is None:
        return "the session is still being read"
    if on.host.read_only:
        return ONLY_LOOKS
    if on.snapshot.replay is not None:
        return "this is a replay: nothing can be changed in it"
    return None


def engine_alive(on: OnSession) -> Reason:
    """Requires a running engine, which accepts commands."""
    snapshot, reason = on.snapshot, changeable(on)
    if snapshot is None or reason is not None:
        return reason
    state = snapshot.run_state
    if state == "lost":
        if on.host.services.start_engine is None:
            return "the engine is not there: avo run --resume starts it again"
        return "the engine is not there: R starts it again"
    if state not in LIVE_STATES:
        return f"the run is {state}: R goes on with it"
    return None


def takes_commands(on: OnSession) -> Reason:
    """Requires an engine; for a run that has ended, a short-lived one can be started."""
    snapshot, reason = on.snapshot, changeable(on)
    if snapshot is None or reason is not None:
        return reason
    ended = snapshot.run_state not in {*LIVE_STATES, "lost"}
    if ended and on.host.services.take_inbox is not None:
        return None
    return engine_alive(on)


def engine_gone(on: OnSession) -> Reason:
    """Requires a session without an engine, and a way to start one."""
    snapshot, reason = on.snapshot, changeable(on)
    if snapshot is None or reason is not None:
        return reason
    if snapshot.run_state in LIVE_STATES:
        return "the engine is running"
    if on.host.services.start_engine is None:
        return "this app was started without an engine: use avo run --resume"
    return None


def in_step(on: OnSession) -> Reason:
    snapshot, reason = on.snapshot, engine_alive(on)
    if snapshot is None or reason is not None:
        return reason
    return None if snapshot.live.ended is None else "no step is running just now"


def wants_approval(on: OnSession) -> Reason:
    """Requires an attempt that waits for approval."""
    snapshot, reason = on.snapshot, engine_alive(on)
    if snapshot is None or reason is not None:
        return reason
    return None if snapshot.pending_approval is not None else "nothing waits for approval"


def two_versions(on: OnSession) -> Reason:
    if on.snapshot is None or len(on.snapshot.versions) < 2:
        return "there are not two versions yet"
    return None


def replaying(on: OnSession) -> Reason:
    if on.snapshot is not None and on.snapshot.replay is not None:
        return None
    return "this is not a replay"


class AvoScreen(Screen[Any]):
    """A screen with actions; their keys are bound with the class."""

    ACTIONS: ClassVar[Sequence[Action[Any]]] = ()

    ABOUT: ClassVar[str] = ""
    """A paragraph for the help."""
    PANES: ClassVar[dict[str, tuple[str, str]]] = {}
    """Pane's id → (title, what it shows), for the help."""
    _up = False

    def __init_subclass__(cls, **options: Any) -> None:
        if "ACTIONS" in cls.__dict__:
            cls.BINDINGS = [*cls.__dict__.get("BINDINGS", ()), *bindings(cls.ACTIONS)]
        super().__init_subclass__(**options)

    def __init__(self) -> None:
        super().__init__()
        self.actions = self.bind_actions()

    def bind_actions(self) -> ActionSet:
        """The actions with what they work on: the screen, unless a subclass has parts for it."""
        return bind(self.ACTIONS, self)

    @property
    def host(self) -> Host:
        return cast(Host, self.app)

    @property
    def ready(self) -> bool:
        """True while the widgets are there: after composing, before being taken down."""
        return self._up and any(isinstance(child, ActionBar) for child in self.children)

    def on_mount(self) -> None:
        """Comes after the handler of the same name of every subclass."""
        self._up = True
        latest = self.host.latest
        if latest is not None:
            self.show_snapshot(latest)

    def dismiss(self, result: object = None) -> AwaitComplete:
        return super().dismiss(result) if may_close(self) else AwaitComplete()

    def action_act(self, name: str) -> None:
        """Run an action by its id, or say why it cannot run."""
        action = self.actions.get(name)
        if action is None:
            return
        reason = action.why_not()
        if reason is not None and action.quiet:
            return
        if reason is not None:
            self.app.notify(reason, severity="warning", timeout=4, markup=False)
            return
        action.run()
        self.refresh_footer()

    def action_of(self, key: str) -> BoundAction | None:
        """The action that a key runs on this screen."""
        keymap = self.host.keys
        return next(
            (a for a in self.actions if key in keymap.get(a.id, a.key).split(",")),
            None,
        )

    def pane_of_focus(self) -> str | None:
        """Id of the pane that has the focus."""
        node: Widget | None = self.focused
        while node is not None:
            if node.id in self.PANES:
                return node.id
            node = node.parent if isinstance(node.parent, Widget) else None
        return None

    def refresh_footer(self) -> None:
        if self.ready:
            for bar in self.query(ActionBar):
                bar.show_actions(self.actions.in_footer(), self.host.keys)

    @on(ActionBar.Pressed)
    def _pressed(self, event: ActionBar.Pressed) -> None:
        self.action_act(event.action)

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Show a newer snapshot; screens that show a session override this."""

    def show_second(self) -> None:
        """Called once a second: update what changes with the time alone."""

    def fit(self) -> None:
        """Arrange and paint for the present size; Textual does not notify screens below the top
        one."""
        self.refresh_footer()

    def on_screen_resume(self) -> None:
        """Update with what happened while another screen was on top."""
        latest = self.host.latest
        if latest is not None:
            self.show_snapshot(latest)
        self.call_after_refresh(self.fit)

    def on_resize(self) -> None:
        """The footer is as wide as the screen."""
        self.call_after_refresh(self.refresh_footer)


general = Actions[AvoScreen]("general")
"""Actions of every screen."""


@general("question_mark,f1", "What this screen and pane show, and every key.", footer=90, id="help")
def show_help(screen: AvoScreen) -> None:
    screen.host.show_help()


@general("ctrl+p", "Every action by name.", footer=91)
def palette(screen: AvoScreen) -> None:
    screen.app.action_command_palette()


@general("T", "Dark, light, or the terminal's own sixteen colours.")
def theme(screen: AvoScreen) -> None:
    screen.host.themes.next()


@general(
    "ctrl+b",
    "Fewer repaints and no colour gradients, for slow connections.",
    label="low bandwidth",
)
def slow_link(screen: AvoScreen) -> None:
    screen.host.connection.toggle()


COMMON = tuple(general)


def show_status(screen: AvoScreen, snapshot: Snapshot) -> None:
    """The status line of a screen that shows a session."""
    host = screen.host
    can_start = host.services.start_engine is not None
    row = status_line(snapshot, screen.size.width, host.clock(), host.status_keys(), can_start)
    screen.query_one("#status", StatusLine).set_row(row)


def fit_below(app: App[Any]) -> None:
    """Fit the screens that are seen behind a dialog to the size of the app."""
    below = avo_screens(s for s in app.screen_stack[:-1])
    for screen in below:
        if screen.ready:
            screen.fit()
            resize_below(screen, app.size)
            screen.fit()
    if any(screen.ready for screen in below):
        app.screen.refresh()


def avo_screens(screens: Iterable[Screen[Any]]) -> list[AvoScreen]:
    """Those screens that are ours and no dialogs."""
    return [screen for screen in screens if isinstance(screen, AvoScreen)]
