"""A log of any length on the whole screen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult

from avo_tui.ui import show
from avo_tui.ui.actions import bindings
from avo_tui.ui.longtext import LongText
from avo_tui.ui.screens.detail import DETAIL, DetailScreen
from avo_tui.ui.views.log import LongRows
from avo_tui.ui.widgets.find import FindBar
from avo_tui.ui.widgets.long import LongView
from avo_tui.ui.widgets.pane import Pane

CHUNK = 1 << 20


class LogScreen(DetailScreen):
    """Reads `chunks()` in a thread and shows what is there already. Closed, it keeps nothing."""

    ACTIONS = DETAIL
    BINDINGS: ClassVar[list[Any]] = bindings(DETAIL)
    ABOUT = (
        "A text of any length, read where it is looked at. / finds in the whole of it, however "
        "long it is; end goes to its last line; y copies the first hundred thousand lines. Lines "
        "longer than four kilobytes go on behind ↪."
    )
    PANES = {"log": ("Log", "The text as it was recorded.")}  # noqa: RUF012

    def __init__(self, name: str, chunks: Callable[[], Iterable[bytes]]) -> None:
        super().__init__()
        self._title, self._chunks = name, chunks
        self.text = LongText()

    def body(self) -> ComposeResult:
        """One pane."""
        with Pane(key="1", title=self._title, id="log"):
            yield LongView(id="main")

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

    @on(LongView.Grown)
    def _grown(self) -> None:
        size = show.size(self.text.size)
        said = f"{self.text.rows:,} lines · {size}"
        self.query_one("#log", Pane).set_info(
            [(said, "dim")] if self.text.done else [("reading  ", "warn"), (said, "dim")]
        )

    @on(LongView.Searched)
    def _searched(self, event: LongView.Searched) -> None:
        self.query_one(FindBar).set_count(event.said)


def of_file(path: Path) -> Iterator[bytes]:
    """A file piece by piece. Raises ValueError where it cannot be read."""
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk
    except OSError as error:
        raise ValueError(f"{path.name} cannot be read: {error.strerror}") from error
