"""What the person does to versions: names, notes, another measurement, a change of their own."""

from __future__ import annotations

from avo_tui.domain.commands import Annotate, Remeasure, SetBookmark, Submit
from avo_tui.ui.screens.dialogs import TextDialog
from avo_tui.ui.screens.editing import edit_candidate
from avo_tui.ui.screens.run_base import RunBase


class RunByHand(RunBase):
    """Bookmark, note, measure again, edit."""

    def do_bookmark(self) -> None:
        """Name a version."""
        version = self.version_in_hand
        assert version is not None

        def named(text: str | None) -> None:
            if text is not None:
                self.avo.send(
                    SetBookmark(version=version.number, label=text or None),
                    f"v{version.number} is ⚑ {text}" if text else "bookmark removed",
                )

        said = f"A name for v{version.number}; empty removes it."
        self.app.push_screen(
            TextDialog("Bookmark", said, "set", text=version.bookmark or "", single=True), named
        )

    def do_note(self) -> None:
        """Write a note."""
        version = self.version_in_hand
        assert version is not None

        def written(text: str | None) -> None:
            if text is not None:
                self.avo.send(
                    Annotate(version=version.number, text=text), f"note on v{version.number} kept"
                )

        said = f"Your note on v{version.number}, for yourself and others who look at it."
        self.app.push_screen(TextDialog("Note", said, "keep", text=version.note), written)

    def do_remeasure(self) -> None:
        """Measure again."""
        version = self.version_in_hand
        assert version is not None
        self.avo.send(
            Remeasure(version=version.number),
            f"v{version.number} will be measured again between two tools",
        )

    def do_edit(self) -> None:
        """Edit the kernel in the person's editor; submit what changed."""
        version, feed = self.version_in_hand, self.avo.feed
        if version is None or feed is None:
            return
        try:
            candidate = feed.source.candidate(version.candidate)
            edited = edit_candidate(candidate, self.app, f"v{version.number}")
        except Exception as error:  # an editor that is not there, a source that is gone
            self.app.notify(str(error), severity="error", timeout=8, markup=False)
            return
        if edited is None or edited.id == candidate.id:
            self.app.notify("nothing was changed, nothing is submitted", timeout=4)
            return

        def plan(text: str | None) -> None:
            if text is not None:
                self.avo.send(
                    Submit(candidate=edited, plan=text, parent=version.number),
                    "submitted: it is evaluated between two tools of the operator",
                )

        said = (
            f"Your change to v{version.number} goes through f and the gate like any "
            "other. What does it do?"
        )
        self.app.push_screen(TextDialog("Submit", said, "submit"), plan)
