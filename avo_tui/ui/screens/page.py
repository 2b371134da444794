"""A page of the documentation."""

from avo_tui.ui.loader import in_thread
from avo_tui.ui.markdown import markdown_lines
from avo_tui.ui.screens.detail import DETAIL, DetailScreen
from avo_tui.ui.text import line
from avo_tui.ui.widgets.bars import StatusLine


class PageScreen(DetailScreen):
    ACTIONS = DETAIL
    ABOUT = "A page of the documentation; `avo docs` shows all of them."
    MAIN, FIND = "#page-view", "/ find"
    PANES = {"page": ("Documentation", "The page.")}  # noqa: RUF012

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name_of_page = name

    def on_mount(self) -> None:
        self.main.focus()
        told = line((" avo", "title"), (f"   avo docs {self.name_of_page}", "dim"))
        self.query_one("#status", StatusLine).set_row(told)
        page = self.host.services.page
        in_thread(self, lambda: page(self.name_of_page), self._show, group="page")

    def _show(self, text: str) -> None:
        highlight = self.host.highlighter
        self.main.show(lambda width: markdown_lines(text, width, highlight))
