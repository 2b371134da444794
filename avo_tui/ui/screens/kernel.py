"""The whole source of a version or an attempt: read, search, copy, export."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from textual.notifications import SeverityLevel

from avo_tui.domain.candidate import Candidate
from avo_tui.ui import formats
from avo_tui.ui.actions import Action, Actions, Reason
from avo_tui.ui.dialogs.questions import ExportDialog, Wish
from avo_tui.ui.loader import Failed, in_thread
from avo_tui.ui.panes.base import teach
from avo_tui.ui.screens.detail import DetailScreen, but
from avo_tui.ui.syntax import Highlighter
from avo_tui.ui.text import BLANK, Line, clean, line, one_line
from avo_tui.ui.widgets.pane import Pane


class KernelScreen(DetailScreen):
    """All files of one candidate, with the numbers of their lines."""

    act = Actions["KernelScreen"]("look")

    MAIN = "#kernel-view"
    ABOUT = (
        "The whole source as it was evaluated. / finds in all of it; y copies it without the "
        "numbers of the lines; x writes the session or this version to a folder."
    )
    PANES = {"kernel": ("Kernel", "The files of the candidate.")}  # noqa: RUF012

    def __init__(self, name: str, candidate: str, version: int | None = None) -> None:
        super().__init__()
        self._title, self._candidate, self.version = name, candidate, version
        self.shown: Candidate | None = None

    def on_mount(self) -> None:
        self.query_one(Pane).set_heading(f"Kernel of {self._title}")
        self.main.add_class("-wide")  # long lines are scrolled to, not cut

    def repaint(self) -> None:
        source, highlighter = self.host.session.source, self.host.highlighter
        if source is None or self.shown is not None:
            return

        def read() -> Candidate:
            candidate = source.candidate(self._candidate)
            for name, text in candidate.files.items():
                highlighter(text, name)  # in this thread: it is slow
            return candidate

        given = self.loader.get(self._candidate, read)
        if isinstance(given, Failed):
            reason = given.reason
            self.main.show(lambda width: teach("The source cannot be read.", reason))
        elif given is None:
            self.main.show(lambda width: teach("reading the source …"))
        else:
            self.shown = given
            rows = source_lines(given, highlighter)
            self.main.show(lambda width: rows)
            size = sum(len(text.encode()) for text in given.files.values())
            told = f"{formats.many(len(given.files), 'file')} · {formats.size(size)}"
            self.query_one("#kernel", Pane).set_info([(told, "dim")])

    @act("y", "Copy the whole source.", footer=1)
    def copy(self) -> None:
        """Copy the source itself, tabs and all."""
        if self.shown is None:
            return
        text = copied(self.shown)
        self.app.copy_to_clipboard(text)
        self.app.notify(f"copied {formats.many(text.count(chr(10)) + 1, 'line')}", timeout=2)

    def why_no_export(self) -> Reason:
        """Requires a stored source, and a service that can export it."""
        if self.host.services.export is None:
            return "this app was started without exports: use avo export"
        if self.snapshot is None or self.snapshot.replay is not None:
            return "this is a replay: avo export writes the session itself"
        return None

    @act("x", "Write the kernel, the lineage or a report to a folder.", why_no_export, footer=2)
    def export(self) -> None:
        """Ask for form and folder, then write in a thread."""
        services, source = self.host.services, self.host.session.source
        write, host = services.export, self.host
        if write is None or source is None:
            return
        folder = source.folder

        def told(text: str, severity: SeverityLevel = "information") -> None:
            text = one_line(text)
            host.notify(text, title="Export", severity=severity, timeout=12, markup=False)

        def wished(wish: Wish) -> None:
            in_thread(
                self,
                lambda: write(folder, wish.form, wish.version, Path(wish.to)),
                told,
                partial(told, severity="error"),
                group="export",
            )

        repository = bool(source.state.session.task.tree)
        choices = [form for form in services.exports if form.repository in {None, repository}]
        host.ask(ExportDialog(choices, source.name, self.version), wished)

    ACTIONS: ClassVar[Sequence[Action[Any]]] = (*act, *but("copy"))


def source_lines(candidate: Candidate, highlighter: Highlighter) -> list[Line]:
    """The files one below the other, with the numbers of their lines."""
    out: list[Line] = []
    for name, text in candidate.files.items():
        if out:
            out.append(BLANK)
        if len(candidate.files) > 1:
            out.append(line((one_line(name), "file")))
        out += _numbered(highlighter(text, name))
    return out


def _numbered(rows: Sequence[Sequence[tuple[str, str]]]) -> list[Line]:
    width = len(str(len(rows)))
    return [
        line(
            (f"{number:>{width}}  ", "gutter"),
            *((clean(text), role) for text, role in spans),
            gutter=width + 2,
        )
        for number, spans in enumerate(rows, 1)
    ]


def copied(candidate: Candidate) -> str:
    """The source as text; of several files each with its name above it."""
    if len(candidate.files) == 1:
        return next(iter(candidate.files.values()))
    return "\n".join(f"// ---- {name}\n{text}" for name, text in candidate.files.items())
