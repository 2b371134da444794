"""A log of any length on the whole screen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult

from avo_tui.ui import show
from avo_tui.ui.actions import Action, bindings, key_name
from avo_tui.ui.longtext import LongText
from avo_tui.ui.screens.detail import DETAIL, DetailScreen
from avo_tui.ui.text import Span
from avo_tui.ui.views.log import LongRows
from avo_tui.ui.widgets.find import FindBar
from avo_tui.ui.widgets.lines import LinesView
from avo_tui.ui.widgets.long import LongView
from avo_tui.ui.widgets.pane import Pane

CHUNK = 1 << 20


LOG = (
    Action("follow", "end", "last line", "To the last line, and on as the text grows.", "look", 1),
    *DETAIL,
)


class LogScreen(DetailScreen):
    """Reads `chunks()` in a thread and shows what is there already. Closed, it keeps nothing.

    With `grows` the end is followed from the start; an empty chunk then says that there is no more
    for now.
    """

    ACTIONS = LOG
    BINDINGS: ClassVar[list[Any]] = bindings(LOG)
    ABOUT = (
        "A text of any length, read where it is looked at. Of one that is still being written the "
        "end is followed until you scroll up; end follows it again. / finds in all that is there, "
        "however long it is; y copies the first hundred thousand lines. Lines longer than four "
        "kilobytes go on behind ↪."
    )
    PANES = {"log": ("Log", "The text as it was recorded.")}  # noqa: RUF012

    def __init__(
        self, name: str, chunks: Callable[[], Iterable[bytes]], *, grows: bool = False
    ) -> None:
        super().__init__()
        self._title, self._chunks, self._grows = name, chunks, grows
        self.text = LongText()

    def body(self) -> ComposeResult:
        """One pane."""
        with Pane(key="1", title=self._title, id="log"):
            yield LongView(id="main", follow=self._grows)

    def on_mount(self) -> None:
        """Begin to read."""
        self.main.add_class("-wide")
        self.run_worker(
            lambda: self.text.fill(self._chunks()), thread=True, group="fill", exit_on_error=False
        )
        self.main.show(lambda width: LongRows((), self.text), reset=True)

    def on_unmount(self) -> None:
        """Give the temporary file back."""
        self.text.close()

    def do_follow(self) -> None:
        """To the end, and on with it."""
        self.main.action_scroll_end()

    @on(LongView.Grown)
    @on(LinesView.FollowChanged)
    def _tell(self) -> None:
        """How much there is, and whether its end is followed."""
        said = f"{show.many(self.text.rows, 'line')} · {show.size(self.text.size)}"
        self.query_one("#log", Pane).set_info([*self._following(), (said, "dim")])

    def _following(self) -> list[Span]:
        if self.text.done:
            return []
        if not self.text.caught_up:
            return [("reading  ", "warn")]
        if self.main.following:
            return [("following  ", "good")]
        key = key_name(self.avo.keys.get("follow", LOG[0].key))
        more = f"{show.many(self.main.unseen, 'new line')} below  " if self.main.unseen else ""
        return [(more, "warn"), (key, "key"), (" follows  ", "dim")]

    @on(LongView.Searched)
    def _searched(self, event: LongView.Searched) -> None:
        self.query_one(FindBar).set_count(event.said)


def of_file(path: Path, *, follow: bool = False) -> Iterator[bytes]:
    """A file piece by piece; with `follow` also what is written to it from then on, for ever.

    Raises ValueError where it cannot be read.
    """
    try:
        with path.open("rb") as file:
            while (chunk := file.read(CHUNK)) or follow:
                if not chunk and file.tell() > path.stat().st_size:
                    file.seek(0)  # it was begun anew
                yield chunk
    except OSError as error:
        raise ValueError(f"{path.name} cannot be read: {error.strerror}") from error


def of_growing(log: Callable[[], tuple[str, bool]]) -> Iterator[bytes]:
    """A text piece by piece that is asked for again and again: (all of it, whether it is whole).

    Where it is another one than before, that one comes below.
    """
    before, whole = "", False
    while not whole:
        now, whole = log()
        if now.startswith(before):
            more = now[len(before) :]
        else:
            more = now if before.endswith("\n") else f"\n{now}"
        before = now
        if more:
            yield more.encode("utf-8", "replace")
        yield b""
