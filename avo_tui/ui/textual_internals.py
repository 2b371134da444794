"""All uses of Textual's private interface in one place, each with its reason.

Textual may change names that begin with an underscore at any time. `tests/ui/test_textual.py`
fails, and says which one, when a release of Textual has changed one of them.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys
import termios
import threading
from codecs import IncrementalDecoder, getincrementaldecoder
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from time import monotonic, sleep
from typing import Any, Protocol, TypeVar

from rich.console import Console
from rich.segment import Segments
from textual import constants, events
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.app import App
from textual.await_complete import AwaitComplete
from textual.command import CommandList, CommandPalette
from textual.css.query import NoMatches
from textual.dom import DOMNode
from textual.driver import Driver
from textual.drivers import linux_driver
from textual.drivers.linux_driver import LinuxDriver
from textual.errors import NoWidget
from textual.filter import Monochrome, NoColor
from textual.geometry import Region, Size
from textual.message import Message
from textual.notifications import Notify
from textual.screen import ModalScreen, Screen
from textual.scroll_view import ScrollView
from textual.timer import Timer
from textual.widget import Widget
from textual.worker import WorkerFailed

from avo_tui.ui.terminal import ascii
from avo_tui.ui.terminal.images import Drawing, Images
from avo_tui.ui.terminal.send_window import QUESTION, SendWindow
from avo_tui.ui.terminal.sent_screen import Piece, SentScreen
from avo_tui.ui.terminal.writer import Writer

W = TypeVar("W", bound=Widget)


class EndOfInput(threading.Event):
    """Tells the thread that reads keys to end: when it is set, or when the terminal is gone.

    Reading from a terminal that was closed returns at once, for ever: a thread that goes on until
    the app has ended takes a whole core meanwhile, and the app may be waiting for a disk.
    """

    def __init__(self, fileno: int) -> None:
        super().__init__()
        self._terminal = fileno if os.isatty(fileno) else None

    def is_set(self) -> bool:
        gone = self._terminal is not None and not os.isatty(self._terminal)
        return gone or super().is_set()


class Terminal(LinuxDriver):
    """Textual's driver with a writer that does not block, and a measured way to the terminal.

    Private: `_writer_thread` and `_file`, because Textual's own writer blocks the app after thirty
    writes that a stalled terminal does not take; `_app`, to take an answer out of the input;
    `_key_thread`, which must not keep a process alive whose app has ended; the module's decoder,
    which ends the app at a byte that is not UTF-8, as of a key with Alt or of a paste, and from
    which answers about images are taken that Textual would take for keys.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.writer: Writer | None = None
        self._keys: threading.Thread | None = None
        self.window = SendWindow()
        self.sent_screen = SentScreen(fills=not os.environ.get("TERM", "").startswith("screen"))
        self._plain = ascii.wanted(os.environ)
        super().__init__(*arguments, **options)
        app = self._app
        self.images = app.images if isinstance(app, OpenedApp) else Images("cells", {})
        linux_driver.getincrementaldecoder = self._decoder  # type: ignore[assignment, attr-defined]
        self.exit_event = EndOfInput(self.fileno)
        self.on_answer: Callable[[float], object] | None = None
        """Called in the app's loop with the time in seconds that the terminal took to answer."""

    @property
    def _writer_thread(self) -> Any:
        return self.writer

    @_writer_thread.setter
    def _writer_thread(self, theirs: Any) -> None:
        """Replaces the writer that Textual sets with the non-blocking one."""
        assert self._file is not None
        self.writer = None if theirs is None else Writer(self._file.fileno())

    @property
    def _key_thread(self) -> threading.Thread | None:
        return self._keys

    @_key_thread.setter
    def _key_thread(self, theirs: threading.Thread | None) -> None:
        """Makes the thread one that ends with the process, whichever way the app ends."""
        self._keys = theirs
        if theirs is not None:
            theirs.daemon = True

    def start_application_mode(self) -> None:
        """Take the terminal, at the start or after another program had it."""
        self.sent_screen.begin()
        super().start_application_mode()  # type: ignore[no-untyped-call]
        self.write(self.images.ask())

    def stop_application_mode(self) -> None:
        """Give the terminal back, without an image of ours."""
        self.write(self.images.remove())
        super().stop_application_mode()

    def write(self, data: str) -> None:
        data = data.translate(ascii.TABLE) if self._plain else data
        self.window.sent(len(data))
        super().write(data)

    def ask(self) -> None:
        """Ask the terminal for its cursor position: the answer follows all that was sent before."""
        self.write(QUESTION)
        self.window.asked()

    def disable_input(self) -> None:
        """Stop reading, once the terminal has answered what it was asked.

        A later answer would be typed into the program that has the terminal next: the shell, or an
        editor, which takes it for commands.
        """
        until = monotonic() + self.window.leaving_seconds
        while (self.window.waits or self.images.waits) and self.is_taken and monotonic() < until:
            sleep(0.01)
        super().disable_input()

    @property
    def is_taken(self) -> bool:
        return self.writer is not None and not self.writer.stuck

    def process_message(self, message: Message) -> None:
        """Remove the answers to `ask` from the input."""
        if isinstance(message, events.CursorPosition):
            seconds = self.window.answered()
            if seconds is not None and self.on_answer is not None:
                self._app.call_later(self.on_answer, seconds)
            return
        super().process_message(message)

    @property
    def cell_size(self) -> tuple[int, int] | None:
        """Width and height of a cell in pixels, where the kernel knows them."""
        try:
            size = fcntl.ioctl(self.fileno, termios.TIOCGWINSZ, bytes(8))
        except OSError:  # the terminal is gone: its signal ends the app
            return None
        rows, columns, width, height = struct.unpack("HHHH", size)
        return (width // columns, height // rows) if 0 < columns <= width else None

    def show_image(self, drawing: Drawing | None, written: bool) -> None:
        """Make `drawing` the image on the terminal; `written`: cells below it were written."""
        if sequences := self.images.show(drawing, self.cell_size, written):
            self.write(sequences)

    def _decoder(self, encoding: str) -> Callable[[], IncrementalDecoder]:
        """A decoder that replaces what it cannot decode, and keeps answers about images back."""
        terminal, lenient = self, getincrementaldecoder(encoding)

        class Decoder(lenient):  # type: ignore[valid-type, misc]
            def decode(self, data: bytes, final: bool = False) -> str:
                known = terminal.images.protocol
                text = terminal.images.take(super().decode(data, final))
                if terminal.images.protocol != known and isinstance(terminal._app, OpenedApp):
                    terminal._app.call_later(terminal._app.paint_all)
                return text

        return partial(Decoder, "replace")


def driver_class() -> type[Driver] | None:
    """Our driver on a terminal of Linux or macOS, unless the environment asks for another."""
    return Terminal if constants.DRIVER is None and sys.platform != "win32" else None


OPENING_SECONDS = 0.5
"""Seconds for which typed keys wait until a dialog that is opening has a focused field."""
ROUNDS = 2
"""Rounds through the queues of the focused widget and those above it that follow a key."""
ANSWER_SECONDS = 1.0
"""Seconds after which a key counts as handled even if its widget did not report that."""


class TypeAhead:
    """Passes keys and pasted text to an app one at a time, each when the previous one is handled.

    Textual sends a key to the widget that has the focus when the key arrives. On a slow connection
    several keys arrive at once: if a person types `h` and a hint, all letters would go to the run
    screen before `h` has opened the dialog, and be lost or act as commands.
    """

    def __init__(self, app: App[Any], send: Callable[[events.Event], Awaitable[None]]) -> None:
        self._app, self._send = app, send
        self._waiting: deque[events.Event] = deque()
        self._sent_at: float | None = None
        """When the key being handled was sent; None if no key is being handled."""
        self._number = 0
        self._timer: Timer | None = None
        self._opening: tuple[Screen[Any] | None, float] = (None, 0.0)
        """(top screen that had no focus when last checked, time since when)."""

    @property
    def waiting(self) -> bool:
        return bool(self._waiting)

    async def take(self, event: events.Event) -> None:
        self._waiting.append(event)
        await self._go_on()

    async def _go_on(self) -> None:
        """Send the next waiting key if possible; otherwise check again soon."""
        if not self._waiting:
            return
        busy = self._sent_at is not None and monotonic() - self._sent_at < ANSWER_SECONDS
        if busy or self._is_opening():
            self._look_again()
            return
        event = self._waiting.popleft()
        self._number += 1
        self._sent_at = monotonic()
        target = self._app.focused or self._app.screen
        await self._send(event)
        self._pass(target, partial(self._through, self._number))

    def _look_again(self) -> None:
        if self._timer is None:
            self._timer = self._app.set_timer(0.02, self._timed)

    async def _timed(self) -> None:
        self._timer = None
        await self._go_on()

    def _is_opening(self) -> bool:
        """Whether the top dialog has no focused field yet; only for a short time."""
        screen = self._app.screen
        if not isinstance(screen, ModalScreen) or screen.focused is not None:
            self._opening = (None, 0.0)
            return False
        if self._opening[0] is not screen:
            self._opening = (screen, monotonic())
        return monotonic() - self._opening[1] < OPENING_SECONDS

    def _pass(self, node: DOMNode | None, then: Callable[[], object]) -> None:
        """Follow the key through the queues from a widget up to the app."""
        while isinstance(node, Widget) and not node.call_later(self._pass, node.parent, then):
            node = node.parent
        if not isinstance(node, Widget):
            self._app.call_later(then)

    def _through(
        self, number: int, before: Screen[Any] | None = None, rounds: int = ROUNDS
    ) -> None:
        """The key has passed all widgets; next, what it caused is awaited.

        That is a change of the focus, and what a screen does with the result of a dialog that the
        key has closed: both come with later messages, hence the rounds through the queue of the top
        screen, which begin again when another one is on top.
        """
        screen = self._app.screen if self._app.screen_stack else None
        if screen is not before:
            rounds = ROUNDS
        if screen is None or not rounds:
            self._app.call_later(self._handled, number)
        else:
            again = partial(self._through, number, screen, rounds - 1)
            self._pass(screen.focused or screen, again)

    async def _handled(self, number: int) -> None:
        """Everything that the key caused is done, so the next one may be sent."""
        if number == self._number:
            self._sent_at = None
            await self._go_on()


class ChangesUpdate(CompositorUpdate):
    """A screen update that sends only the cells which the terminal does not show already.

    Private: `LayoutUpdate` and `ChopsUpdate` with their attributes.
    """

    def __init__(self, theirs: LayoutUpdate | ChopsUpdate, sent: SentScreen) -> None:
        self._theirs, self._sent = theirs, sent

    def render_segments(self, console: Console) -> str:
        return self._sent.changes(self._pieces(), console)

    def _pieces(self) -> Iterator[Piece]:
        theirs = self._theirs
        if isinstance(theirs, LayoutUpdate):
            for y, strips in enumerate(theirs.strips, theirs.region.y):
                x = theirs.region.x
                for strip in strips:
                    yield x, y, strip
                    x += strip.cell_length
            return
        for y, first, last in theirs.spans:
            for end, (x, chop) in zip(theirs.chop_ends[y], theirs.chops[y].items(), strict=False):
                left, right = max(x, first), min(end, last)
                if chop is not None and left < right:
                    yield left, y, chop.crop(left - x, right - x)


class PictureGate(Protocol):
    """Decides whether the terminal gets a picture now, and how much of it."""

    @property
    def saves(self) -> bool:
        """Whether only changed cells are sent, which costs the app time and saves the line."""

    def takes_pictures(self) -> bool:
        """Whether a picture may be sent now; if not, the gate has one painted later."""

    @property
    def takes_images(self) -> bool:
        """Whether the line is fast enough for images."""

    def painted(self) -> None:
        """Called when a picture was handed to the terminal."""


class OpenedApp(App[None]):
    """An app in which some private methods of Textual become public ones to override."""

    pictures: PictureGate | None = None
    """What may hold pictures back; without it every picture is sent whole."""
    images = Images("cells", {})
    """How images are shown, and which one is."""

    def drawing(self) -> Drawing | None:
        """The image that the top screen should have now."""
        return None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.typed = TypeAhead(self, super().on_event)

    async def on_event(self, event: events.Event) -> None:
        """Keys and pasted text one after another; everything else at once."""
        terminal = self.terminal
        if isinstance(event, events.Resize) and terminal is not None:
            if event.time > terminal.sent_screen.since:  # the first come late, after a picture
                terminal.sent_screen.forget()
            self.images.forget()
            self.call_later(self.paint_all)
        if isinstance(event, events.Paste):  # half a surrogate pair: no command may hold one
            event.text = event.text.encode(errors="replace").decode()
        if isinstance(event, events.Key | events.Paste) and not event.is_forwarded:
            await self.typed.take(event)
        elif isinstance(event, events.MouseEvent) and self._is_on_what_has_gone(event):
            return
        else:
            await super().on_event(event)

    def _is_on_what_has_gone(self, event: events.MouseEvent) -> bool:
        """Whether the mouse is on a widget, such as a notice, that was taken off the screen since
        the last picture; Textual's selection of text fails on one (`SelectState`)."""
        if not self.screen_stack:
            return True
        screen = self.screen
        state = screen._select_state
        if state is not None and not state.is_attached_to_dom():
            screen.clear_selection()
        try:
            widget, _ = screen.get_widget_at(event.x, event.y)
        except NoWidget:
            return False
        return widget is not screen and not widget.is_attached

    def action_command_palette(self) -> None:
        if self.use_command_palette and not any(
            isinstance(screen, CommandPalette) for screen in self.screen_stack
        ):
            self.push_screen(PaletteOfActions(id="--command-palette"))

    def paint_all(self) -> None:
        """Paint the whole top screen as it is now, as one picture."""
        screen = self.screen
        if screen.is_running and screen.size:
            self._display(
                screen,
                screen._compositor.render_update(full=True, screen_stack=self._background_screens),
            )

    def _on_notify(self, event: Notify) -> None:
        """Let a new notice replace those before it, so that they do not pile up over a pane.

        Textual's own handler runs after this one. Errors stay for their time.
        """
        for notice in list(self._notifications):
            if notice.severity != "error" or notice.message == event.notification.message:
                self._unnotify(notice, refresh=False)

    def crashed(self) -> None:
        """Called when the app ends by an error, before its traceback is kept for printing."""

    @property
    def terminal(self) -> Terminal | None:
        """The driver, where it is ours; None in tests and in a browser."""
        return self._driver if isinstance(self._driver, Terminal) else None

    def to_terminal(self, text: str) -> None:
        """Write a control sequence to the terminal, where there is one."""
        if self._driver is not None and not self.is_headless:
            self._driver.write(text)

    def _display(self, screen: Screen[Any], renderable: Any) -> None:
        """Paints; overridden because it is the only place where a picture can be held back."""
        gate = self.pictures
        if renderable is None or (gate is not None and not gate.takes_pictures()):
            return
        terminal = self.terminal
        shows = terminal is not None and self.images.protocol is not None
        may = shows and gate is not None and gate.takes_images
        drawing = self.drawing() if may else None
        if terminal is not None and self.images.leaves(drawing):
            terminal.sent_screen.forget()
            renderable = screen._compositor.render_update(
                full=True, screen_stack=self._background_screens
            )
        written = drawing is not None and _writes(renderable, drawing)
        ours = isinstance(renderable, LayoutUpdate | ChopsUpdate)
        if ours and terminal is not None and gate is not None and gate.saves:
            renderable = ChangesUpdate(renderable, terminal.sent_screen)
        super()._display(screen, renderable)
        if terminal is not None and shows:
            terminal.show_image(drawing, written)
        if gate is not None:
            gate.painted()

    def _handle_exception(self, error: Exception) -> None:
        """Ignore what is no crash: the error of a screen that is opened while the app ends, and of
        the palette's search, which goes on for a moment when the palette was left."""
        cause = error.error if isinstance(error, WorkerFailed) else error
        if isinstance(cause, NoMatches) and (self._exit or cause is not error):
            self.log(f"a screen was still opening, or had gone: {cause}")
            return
        super()._handle_exception(error)

    def _fatal_error(self) -> None:
        """Prevent Textual from printing the local variables of a crash, which may hold a secret."""
        from rich.traceback import Traceback  # with what it needs, 5% of a start without a crash

        self.crashed()
        self.bell()
        traceback = Traceback(show_locals=False, width=100, max_frames=12)
        self._exit_renderables.append(
            Segments(self.console.render(traceback, self.console.options))
        )
        self._close_messages_no_wait()


def _writes(renderable: Any, drawing: Drawing) -> bool:
    """Whether an update writes cells below an image."""
    area = Region(drawing.x, drawing.y, drawing.columns, drawing.rows)
    if isinstance(renderable, ChopsUpdate):
        return any(
            area.overlaps(Region(left, y, right - left, 1)) for y, left, right in renderable.spans
        )
    return not isinstance(renderable, LayoutUpdate) or area.overlaps(renderable.region)


def uncovered(screen: Screen[Any], kind: type[W]) -> Iterator[W]:
    """The widgets of a kind that are on the screen as a whole, and below nothing else."""
    above: list[Region] = []
    for widget, (region, clip) in screen._compositor.visible_widgets.items():  # from the top down
        if (
            isinstance(widget, kind)
            and clip.contains_region(region)
            and not any(region.overlaps(other) for other in above)
        ):
            yield widget
        above.append(region.intersection(clip))


def may_close(screen: Screen[Any]) -> bool:
    """Whether a screen is still there to be closed; closes those above it.

    Textual's `dismiss` closes the topmost screen, whichever asks for it: a dialog that is left
    twice, by escape and a click in one moment, would take the run screen with it.
    """
    if screen not in screen.app.screen_stack:
        return False
    while screen.app.screen is not screen:
        screen.app.pop_screen()
    return True


class PaletteOfActions(CommandPalette):
    """Textual's command palette, which closes once, and whose list may be empty.

    Private: `_action_command_list`, where a page down fails in a list without a row.
    """

    def _action_command_list(self, action: str) -> None:
        commands = self.query_one(CommandList)
        if commands.option_count and commands.scrollable_content_region:
            super()._action_command_list(action)

    def dismiss(self, result: None = None) -> AwaitComplete:
        return super().dismiss(result) if may_close(self) else AwaitComplete()


def begin_with_theme(app: App[Any], name: str) -> None:
    """Set a theme before the style sheet is read, so that the style sheet is applied only once."""
    app.set_reactive(App.theme, name)
    if app.no_color:  # `NO_COLOR`: the terminal's own two colours, bold and reverse
        app.set_reactive(App.theme, "ansi-dark" if app.current_theme.dark else "ansi-light")
        app._filters = [NoColor() if isinstance(f, Monochrome) else f for f in app._filters]
    theme = app.current_theme
    app.set_class(theme.dark, "-dark-mode", update=False)
    app.set_class(not theme.dark, "-light-mode", update=False)
    app.set_class(theme.ansi, "-ansi", update=False)
    app.stylesheet.set_variables(app.get_css_variables())
    app._refresh_truecolor_filter(app.ansi_theme)


def resize_below(screen: Screen[Any], size: Size) -> None:
    """Lay out a screen that is visible behind a dialog; Textual tells only the top one of a
    resize."""
    screen._screen_resized(size)


def set_virtual_size(view: ScrollView, size: Size) -> None:
    """Change the size of a scrolled text without laying out the whole screen.

    Setting `virtual_size` causes a new layout, which would make an additional line in a pane ten
    times as expensive as painting it.
    """
    view.set_reactive(Widget.virtual_size, size)
    view._scroll_update(size)
