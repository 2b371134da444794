"""The diff pane: the working candidate, or a version, against what it was made from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from avo_tui.domain.candidate import Candidate
from avo_tui.ui import diffs
from avo_tui.ui.feed import Snapshot, Source
from avo_tui.ui.loader import Failed, Loader
from avo_tui.ui.screens.run_base import RunBase
from avo_tui.ui.screens.run_content import Subject, edit_info, teach
from avo_tui.ui.screens.run_pane import PanePainter
from avo_tui.ui.text import Line
from avo_tui.ui.views.diff import SIDE_BY_SIDE, diff_lines
from avo_tui.ui.widgets.lines import LinesView

Found = tuple[diffs.DiffDoc | Failed | None, str]
"""The difference, if it is there yet, and between what it is."""


class DiffPainter(PanePainter):
    """A difference, unified or side by side."""

    NAME = "diff"

    def __init__(self, screen: RunBase, loader: Loader) -> None:
        super().__init__(screen, loader)
        self.view = screen.query_one("#diff-view", LinesView)
        self._sides: bool | None = None
        """None: by the width."""

    def toggle_sides(self) -> None:
        """Unified where it is side by side, and the other way round."""
        beside = self.view.size.width >= SIDE_BY_SIDE if self._sides is None else self._sides
        self._sides = not beside

    def paint(self, snapshot: Snapshot, subject: Subject, changed: bool) -> None:
        """The difference, or why there is none."""
        doc, name = self._find(snapshot, subject)
        if isinstance(doc, diffs.DiffDoc):
            self.pane.set_info(edit_info(doc.added, doc.removed, name))
        else:
            self.pane.set_info([(name, "dim")] if name else [])
        known = id(doc) if isinstance(doc, diffs.DiffDoc) else doc
        if not self.differs((known, name, self._sides, subject.name)):
            return
        if isinstance(doc, Failed):
            said = teach("The difference cannot be shown.", doc.reason)
        elif doc is None:
            said = self._nothing(subject, name)
        elif not doc.files:
            said = teach("The sources are the same.")
        else:
            sides, highlight = self._sides, self.avo.highlighter
            self.view.show(lambda width: diff_lines(doc, width, highlight, sides), reset=changed)
            return
        self.view.show(lambda width: said, reset=changed or doc is not None)

    @staticmethod
    def _nothing(subject: Subject, name: str) -> Sequence[Line]:
        if subject.live and not name:
            return teach(
                "The working candidate is the same as its parent.",
                "What the operator changes appears here, as it edits.",
                "e opens the kernel in your editor.",
            )
        return teach("reading the sources …")

    def _find(self, snapshot: Snapshot, subject: Subject) -> Found:
        feed = self.avo.feed
        if feed is None:
            return None, ""
        if subject.live:
            return self._working(snapshot, feed.source)
        record = subject.version or subject.attempt
        assert record is not None
        if subject.parent is None:
            seed = record.candidate
            doc = self.loader.get(
                ("diff", None, seed), lambda: diffs.compare(None, feed.source.candidate(seed))
            )
            return doc, "the seed"
        name = f"v{subject.parent} → {subject.name}"
        return self._load(snapshot, feed.source, subject.parent, record.candidate, ""), name

    def _working(self, snapshot: Snapshot, source: Source) -> Found:
        edit, attempt = snapshot.live.edit, snapshot.live.attempt
        if edit is not None:
            identity, parent, text = edit.candidate, edit.parent, edit.diff
        elif attempt is not None:
            identity, parent, text = attempt.attempt.candidate, attempt.attempt.parent, ""
        else:
            return None, ""
        doc = self._load(snapshot, source, parent, identity, text)
        return doc, f"v{parent} → working copy"

    def _load(
        self, snapshot: Snapshot, source: Source, parent: int, identity: str, text: str
    ) -> diffs.DiffDoc | Failed | None:
        """The difference of stored sources; of `text` where they are not stored yet."""
        base, highlight = snapshot.versions.get(parent), self.avo.highlighter

        def compute() -> diffs.DiffDoc:
            try:
                old = source.candidate(base.candidate) if base is not None else None
                new = source.candidate(identity)
            except KeyError:
                if text:
                    return diffs.parse(text)
                raise ValueError("the source is not stored any more") from None
            warm(old, new, highlight)
            return diffs.compare(old, new)

        return self.loader.get(("diff", parent, identity), compute)


def warm(old: Candidate | None, new: Candidate, highlight: Callable[[str, str], object]) -> None:
    """Highlight the files that differ, here in the thread, so that the screen finds them done."""
    before = old.files if old is not None else {}
    for name, text in new.files.items():
        if before.get(name) != text:
            highlight(text, name)
            if name in before:
                highlight(before[name], name)
