"""The diff pane: shows how the working candidate, or a version, differs from its parent."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from avo_tui.domain.candidate import Candidate
from avo_tui.ui.loader import Failed, Loader
from avo_tui.ui.panes.diff import differences
from avo_tui.ui.panes.diff.lines import SIDE_BY_SIDE, diff_lines
from avo_tui.ui.panes.painter import PanePainter
from avo_tui.ui.panes.selection import Selection, teach
from avo_tui.ui.screen import AvoScreen
from avo_tui.ui.session.feed import Snapshot, Source
from avo_tui.ui.text import Line, Span
from avo_tui.ui.widgets.lines import LinesView

Found = tuple[differences.DiffDoc | Failed | None, str]
"""The difference, if it is there yet, and between what it is."""


class DiffPainter(PanePainter):
    """A difference, unified or side by side."""

    NAME = "diff"
    HEAD_AT_REST = True

    def __init__(self, screen: AvoScreen, loader: Loader) -> None:
        super().__init__(screen, loader)
        self.view = screen.query_one("#diff-view", LinesView)
        self._sides: bool | None = None
        """Side by side, unified, or None to decide by the width."""

    def toggle_sides(self) -> None:
        """Switch between unified and side by side."""
        beside = self.view.size.width >= SIDE_BY_SIDE if self._sides is None else self._sides
        self._sides = not beside

    def paint(self, snapshot: Snapshot, subject: Selection, changed: bool) -> None:
        """The difference, or why there is none."""
        doc, name = self._find(snapshot, subject)
        if isinstance(doc, differences.DiffDoc):
            self.pane.set_info(edit_info(doc.added, doc.removed, name))
        else:
            self.pane.set_info([(name, "dim")] if name else [])
        known = id(doc) if isinstance(doc, differences.DiffDoc) else doc
        if not self.differs((known, name, self._sides, subject.name)):
            return
        if isinstance(doc, Failed):
            explanation = teach("The difference cannot be shown.", doc.reason)
        elif doc is None:
            explanation = self._nothing(subject, name)
        elif not doc.files:
            explanation = teach("The sources are the same.")
        else:
            sides, highlight = self._sides, self.host.highlighter
            self.view.show(lambda width: diff_lines(doc, width, highlight, sides), reset=changed)
            return
        self.view.show(lambda width: explanation, reset=changed or doc is not None)

    @staticmethod
    def _nothing(subject: Selection, name: str) -> Sequence[Line]:
        if subject.live and not name:
            return teach(
                "The working candidate is the same as its parent.",
                "What the operator changes appears here, as it edits.",
                "e opens the kernel in your editor.",
            )
        return teach("reading the sources …")

    def _find(self, snapshot: Snapshot, subject: Selection) -> Found:
        source = self.host.session.source
        if source is None:
            return None, ""
        if subject.live:
            return self._working(snapshot, source)
        record = subject.version or subject.attempt
        assert record is not None
        if subject.parent is None:
            seed = record.candidate
            doc = self.loader.get(
                ("diff", None, seed), lambda: differences.compare(None, source.candidate(seed))
            )
            return doc, "the seed"
        name = f"v{subject.parent} → {subject.name}"
        return self._load(snapshot, source, subject.parent, record.candidate, ""), name

    def _working(self, snapshot: Snapshot, source: Source) -> Found:
        edit, attempt = snapshot.live.edit, snapshot.live.attempt
        if edit is not None:
            identity, parent, text = edit.candidate, edit.parent, edit.diff
        elif attempt is not None:
            identity, parent, text = attempt.attempt.candidate, attempt.attempt.parent, ""
        else:
            return None, ""
        doc = self._load(snapshot, source, parent, identity, text)
        return doc, f"v{parent} → working copy" if parent in snapshot.versions else "the seed"

    def _load(
        self, snapshot: Snapshot, source: Source, parent: int, identity: str, text: str
    ) -> differences.DiffDoc | Failed | None:
        """The difference of stored sources; of `text` where they are not stored yet."""
        base, highlight = snapshot.versions.get(parent), self.host.highlighter

        def compute() -> differences.DiffDoc:
            try:
                old = source.candidate(base.candidate) if base is not None else None
                new = source.candidate(identity)
            except KeyError:
                if text:
                    return differences.parse(text)
                raise ValueError("the source is not stored any more") from None
            warm(old, new, highlight)
            return differences.compare(old, new)

        return self.loader.get(("diff", parent, identity), compute)


def warm(old: Candidate | None, new: Candidate, highlight: Callable[[str, str], object]) -> None:
    """Highlight the files that differ; called in a thread, so that painting finds them cached."""
    before = old.files if old is not None else {}
    for name, text in new.files.items():
        if before.get(name) != text:
            highlight(text, name)
            if name in before:
                highlight(before[name], name)


def edit_info(added: int, removed: int, name: str) -> list[Span]:
    """The heading of the diff pane."""
    return [(f"{name}  ", "dim"), (f"+{added}", "add-mark"), (f" −{removed}", "del-mark")]
