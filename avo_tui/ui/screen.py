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
from avo_tui.ui import formats
from avo_tui.ui.actions import Action, Actions, Reason, bindings, shown_key
from avo_tui.ui.host import ONLY_LOOKS, Host
from avo_tui.ui.session.feed import Snapshot
from avo_tui.ui.status import status_line
from avo_tui.ui.textual_internals import may_close, resize_below
from avo_tui.ui.widgets.bars import ActionBar, StatusLine
from avo_tui.ui.widgets.fields import FindBar
from avo_tui.ui.widgets.lines import LinesView


class OnSession(Protocol):
    """What actions and their conditions receive: a screen, or what the run screen looks at."""

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
        start = "R" if on.host.services.start_engine else "avo run --resume"
        return f"the engine is not there: {start} starts it again"
    return None if state in LIVE_STATES else f"the run is {state}: R goes on with it"


def takes_commands(on: OnSession) -> Reason:
    """Requires an engine; for a run that has ended, a short-lived one can be started."""
    snapshot, reason = on.snapshot, engine_alive(on)
    ended = snapshot is not None and snapshot.run_state not in {*LIVE_STATES, "lost"}
    return changeable(on) if ended and on.host.services.take_inbox is not None else reason


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
    running = on.snapshot is not None and on.snapshot.live.ended is None
    return engine_alive(on) or (None if running else "no step is running just now")


def wants_approval(on: OnSession) -> Reason:
    """Requires an attempt that waits for approval."""
    waits = on.snapshot is not None and on.snapshot.pending_approval is not None
    return engine_alive(on) or (None if waits else "nothing waits for approval")


def two_versions(on: OnSession) -> Reason:
    enough = on.snapshot is not None and len(on.snapshot.versions) >= 2
    return None if enough else "there are not two versions yet"


def replaying(on: OnSession) -> Reason:
    playing = on.snapshot is not None and on.snapshot.replay is not None
    return None if playing else "this is not a replay"


class AvoScreen(Screen[Any]):
    """A screen with actions; their keys are bound with the class."""

    ACTIONS: ClassVar[Sequence[Action[Any]]] = ()

    ABOUT: ClassVar[str] = ""
    """A paragraph for the help."""
    PANES: ClassVar[dict[str, tuple[str, str]]] = {}
    """Pane's id → (title, what it shows), for the help."""
    MAIN: ClassVar[str] = "#main"
    """Selects the view that is searched and copied, and has the focus at first."""
    FIND: ClassVar[str] = "/ find"
    """The label of the row in which a text is typed."""
    snapshot: Snapshot | None = None
    searching = False
    """True while a search or a filter is active; escape ends it first."""
    _up = False

    def __init_subclass__(cls, **options: Any) -> None:
        if "ACTIONS" in cls.__dict__:
            cls.BINDINGS = [*cls.__dict__.get("BINDINGS", ()), *bindings(cls.ACTIONS)]
        super().__init_subclass__(**options)

    @property
    def context(self) -> Any:
        """What the actions receive."""
        return self

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
        action = next((action for action in self.ACTIONS if action.id == name), None)
        if action is None:
            return
        reason = action.why_not(self.context)
        if reason is None:
            action.run(self.context)
            self.refresh_footer()
        elif not action.quiet:
            self.app.notify(reason, severity="warning", timeout=4, markup=False)

    def action_of(self, key: str) -> Action[Any] | None:
        """The action that a key runs on this screen."""
        keymap = self.host.keys
        return next((a for a in self.ACTIONS if key in keymap.get(a.id, a.key).split(",")), None)

    def footer(self) -> list[tuple[str, str, str]]:
        """(id, key, label) of the actions in the footer that can run now, by rank."""
        on = self.context
        ranked = sorted((a for a in self.ACTIONS if a.footer), key=lambda a: a.footer)
        return [
            (a.id, shown_key(a, self.host.keys), a.label_now(on) if a.label_now else a.label)
            for a in ranked
            if a.why_not(on) is None
        ]

    def pane_of_focus(self) -> str | None:
        node: Widget | None = self.focused
        while node is not None:
            if node.id in self.PANES:
                return node.id
            node = node.parent if isinstance(node.parent, Widget) else None
        return None

    def refresh_footer(self) -> None:
        if self.ready:
            self.query_one(ActionBar).show_actions(self.footer())

    @on(ActionBar.Pressed)
    def _pressed(self, event: ActionBar.Pressed) -> None:
        self.tapped(event.action)

    def tapped(self, name: str) -> None:
        """Run the action that was clicked in the last row."""
        self.action_act(name)

    def find(self, text: str, done: bool) -> str:
        """Find a text, or filter by it; empty ends that. Returns what is told beside it.

        `done` is true when enter was pressed.
        """
        return ""

    def searched(self) -> Widget:
        return self.query_one(self.MAIN)

    @on(FindBar.Changed)
    def _find_changed(self, event: FindBar.Changed) -> None:
        self.searching = bool(event.text)
        self.query_one(FindBar).set_count(self.find(event.text, event.done))
        if event.done:
            self.searched().focus()
            self.refresh_footer()

    @on(FindBar.Closed)
    def end_find(self) -> None:
        self.searching = False
        self.find("", True)
        self.searched().focus()

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


def search_text(view: LinesView, text: str) -> str:
    """Find a text in a view; returns how often it is there."""
    count = view.search(text)
    return f"{formats.many(count, 'hit')} · n next" if text else ""


def to_next_hit(view: Widget | None) -> None:
    if isinstance(view, LinesView):
        number, count = view.next_hit(1)
        told = f"{number} of {count}" if count else "nothing to go to: / finds text"
        view.app.notify(told, timeout=2)


def copy_text(view: Widget | None, host: Host) -> None:
    if not isinstance(view, LinesView):
        host.notify("there is no text in this pane", timeout=2)
        return
    rows = view.plain_rows()
    host.copy_to_clipboard("\n".join(rows))
    host.notify(f"copied {formats.many(len(rows), 'line')}", timeout=2)


general = Actions[OnSession]("general")
"""Actions of every screen."""


@general("question_mark,f1", "What this screen and pane show, and every key.", footer=90, id="help")
def show_help(on: OnSession) -> None:
    on.host.show_help()


@general("ctrl+p", "Every action by name.", footer=91)
def palette(on: OnSession) -> None:
    on.host.action_command_palette()


@general("T", "Dark, light, or the terminal's own sixteen colours.")
def theme(on: OnSession) -> None:
    on.host.themes.next()


@general(
    "ctrl+b",
    "Fewer repaints and no colour gradients, for slow connections.",
    label="low bandwidth",
)
def slow_link(on: OnSession) -> None:
    on.host.connection.toggle()


COMMON: tuple[Action[Any], ...] = tuple(general)


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
