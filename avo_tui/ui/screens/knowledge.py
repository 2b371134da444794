"""K: its documents, a search, and a reader."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal

from avo_tui.ui import formats
from avo_tui.ui.actions import Action, Actions
from avo_tui.ui.loader import Failed
from avo_tui.ui.markdown import markdown_lines
from avo_tui.ui.panes.base import teach
from avo_tui.ui.screens.detail import DetailScreen, but
from avo_tui.ui.text import BLANK, Line, cut, line, one_line, prose
from avo_tui.ui.widgets.fields import FindBar
from avo_tui.ui.widgets.lines import LinesView
from avo_tui.ui.widgets.lists import PickList
from avo_tui.ui.widgets.pane import Pane


class KnowledgeScreen(DetailScreen):
    """List at the left, text at the right; one of them where it is narrow."""

    act = Actions["KnowledgeScreen"]("knowledge")

    MAIN = "#knowledge-list"
    ABOUT = "K, what the agent can look up: documents on kernels, hardware and the evaluation."
    PANES = {  # noqa: RUF012
        "knowledge": ("Knowledge", "Documents, or what a search has found."),
        "reader": ("Text", "The section or document under the cursor."),
    }

    def __init__(self) -> None:
        super().__init__()
        self.query_text = ""

    def body(self) -> ComposeResult:
        with Horizontal(classes="two"):
            with Pane(key="", title="Knowledge", id="knowledge"):
                yield PickList(id="knowledge-list")
            with Pane(key="", title="Text", id="reader"):
                yield LinesView(id="reader-view")

    def on_resize(self) -> None:
        """The reader below the list where it is narrow."""
        self.query_one("#knowledge").styles.width = "38%" if self.size.width >= 90 else "34%"

    @act("slash", "Search K.", footer=1, id="search")
    def open_search(self) -> None:
        self.query_one(FindBar).open("/ search K")

    @act("enter", "Read it beside the list, from its start.", footer=2)
    def read(self) -> None:
        self.query_one("#reader-view").focus()

    def _hits(self) -> Any:
        services = self.host.services
        text = self.query_text
        if text and services.search_knowledge is not None:
            search = services.search_knowledge
            return self.loader.get(("search", text), lambda: tuple(search(text)))
        if services.documents is not None:
            documents = services.documents
            return self.loader.get(("documents",), lambda: tuple(documents()))
        return ()

    def repaint(self) -> None:
        hits = self._hits()
        pane, view = self.query_one("#knowledge", Pane), self.query_one(PickList)
        count = f"{len(hits)}" if isinstance(hits, tuple) else ""
        told = formats.many(len(hits), "document") if count else ""
        if self.query_text:
            told = f"“{one_line(self.query_text)}” {count}"
        pane.set_info([(told, "dim")])

        def build(width: int) -> Sequence[Line]:
            if self.host.services.documents is None:
                return teach("K cannot be read from here.", "avo knowledge search QUERY reads it.")
            if isinstance(hits, Failed):
                return teach("K cannot be read.", hits.reason)
            if hits is None:
                return teach("looking …")
            if not hits:
                return teach(
                    "Nothing was found.", "Other words may find it; esc shows all documents."
                )
            out: list[Line] = []
            for item in hits:
                if isinstance(item, tuple):
                    out.append(line(cut(one_line(item[1]), width), meta=item[0]))
                else:
                    rows = [
                        line((cut(one_line(item.section), width), "strong")),
                        line((cut(one_line(item.document), width), "faint")),
                        *prose(one_line(item.snippet), width, "dim")[:2],
                    ]
                    out += [*(row._replace(meta=item.id) for row in rows), BLANK]
            return out

        view.show(build)
        self._read()

    def _read(self) -> None:
        key, read = self.query_one(PickList).key, self.host.services.read_knowledge
        view = self.query_one("#reader-view", LinesView)
        if key is None or read is None:
            view.show(lambda width: [])
            return
        identity, width, highlight = str(key), view.room, self.host.highlighter
        text = self.loader.get(  # in a thread: it takes some milliseconds a page
            ("read", identity, width), lambda: markdown_lines(read(identity), width, highlight)
        )
        if text is None:
            rows = teach("reading …")
        else:
            rows = teach("It cannot be read.", text.reason) if isinstance(text, Failed) else text
        view.show(lambda width: rows)

    @on(PickList.Moved)
    def _moved(self) -> None:
        self._read()
        self.query_one("#reader-view", LinesView).action_scroll_home()

    def find(self, text: str, done: bool) -> str:
        if done:
            self.query_text = text.strip()
            self.searching = bool(self.query_text)
            self.paint_again()
        return ""

    ACTIONS: ClassVar[Sequence[Action[Any]]] = (*act, *but("filter", "next_hit"))
