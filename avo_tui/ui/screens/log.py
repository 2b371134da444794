"""A log of any length on the whole screen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult

from avo_tui.ui import formats
from avo_tui.ui.actions import Action, Actions, key_name
from avo_tui.ui.screens.detail import DETAIL, DetailScreen
from avo_tui.ui.text import Span
from avo_tui.ui.widgets.fields import FindBar
from avo_tui.ui.widgets.lines import LinesView
from avo_tui.ui.widgets.long import LongRows, LongText, LongView
from avo_tui.ui.widgets.pane import Pane

FOLLOW_KEY = "end"


class LogScreen(DetailScreen):
    """Reads `chunks()` in a thread and shows what has been read so far; keeps nothing when closed.

    With `grows` the end of the text is followed from the start; an empty chunk then means that
    there is no more for now.
    """

    act = Actions["LogScreen"]("look")
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
        with Pane(key="", title=self._title, id="log"):
            yield LongView(id="main", follow=self._grows)

    def on_mount(self) -> None:
        self.main.add_class("-wide")
        self.run_worker(
            lambda: self.text.fill(self._chunks()), thread=True, group="fill", exit_on_error=False
        )
        self.main.show(lambda width: LongRows((), self.text), reset=True)

    def on_unmount(self) -> None:
        self.text.close()

    @act(FOLLOW_KEY, "To the last line, and on as the text grows.", footer=1, label="last line")
    def follow(self) -> None:
        self.main.action_scroll_end()

    ACTIONS: ClassVar[Sequence[Action[Any]]] = (*act, *DETAIL)

    @on(LongView.Grown)
    @on(LinesView.FollowChanged)
    def _tell(self) -> None:
        """How much there is, and whether its end is followed."""
        summary = f"{formats.many(self.text.rows, 'line')} · {formats.size(self.text.size)}"
        if self.text.caught_up and not self.text.size:
            summary = "nothing was written yet"
        self.query_one("#log", Pane).set_info([*self._following(), (summary, "dim")])

    def _following(self) -> list[Span]:
        if self.text.done:
            return []
        if not self.text.caught_up:
            return [("reading  ", "warn")]
        if self.main.following:
            return [("following  ", "good")]
        key = key_name(self.host.keys.get("follow", FOLLOW_KEY))
        more = f"{formats.many(self.main.unseen, 'new line')} below  " if self.main.unseen else ""
        return [(more, "warn"), (key, "key"), (" follows  ", "dim")]

    @on(LongView.Searched)
    def _searched(self, event: LongView.Searched) -> None:
        self.query_one(FindBar).set_count(event.said)
