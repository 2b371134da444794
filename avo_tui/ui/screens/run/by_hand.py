"""Actions on a version: its name, a note, another measurement, a change by hand."""

from __future__ import annotations

from avo_tui.domain.commands import Annotate, Remeasure, SetBookmark, Submit
from avo_tui.ui.actions import Action
from avo_tui.ui.dialogs import TextDialog
from avo_tui.ui.screens.run.control import on_version_commanded
from avo_tui.ui.screens.run.editor import edit_candidate
from avo_tui.ui.screens.run.parts import RunParts


def _bookmark(run: RunParts) -> None:
    version = run.version

    def named(text: str | None) -> None:
        if text is not None:
            run.host.send(
                SetBookmark(version=version.number, label=text or None),
                f"v{version.number} is ⚑ {text}" if text else "bookmark removed",
            )

    question = f"A name for v{version.number}; empty removes it."
    dialog = TextDialog("Bookmark", question, "set", text=version.bookmark or "", single=True)
    run.host.push_screen(dialog, named)


BOOKMARK = Action(
    "bookmark",
    "m",
    "bookmark",
    "Name a version, to find it again.",
    "by hand",
    run=_bookmark,
    why_not=on_version_commanded,
)


def _note(run: RunParts) -> None:
    version = run.version

    def written(text: str | None) -> None:
        if text is not None:
            command = Annotate(version=version.number, text=text)
            run.host.send(command, f"note on v{version.number} kept")

    question = f"Your note on v{version.number}, for yourself and others who look at it."
    run.host.push_screen(TextDialog("Note", question, "keep", text=version.note), written)


NOTE = Action(
    "note",
    "N",
    "note",
    "Write a note on a version.",
    "by hand",
    run=_note,
    why_not=on_version_commanded,
)


def _remeasure(run: RunParts) -> None:
    number = run.version.number
    notice = f"v{number} will be measured again between two tools"
    run.host.send(Remeasure(version=number), notice)


REMEASURE = Action(
    "remeasure",
    "r",
    "measure again",
    "Measure a version again; the score at the gate is kept.",
    "by hand",
    run=_remeasure,
    why_not=on_version_commanded,
)


def _edit(run: RunParts) -> None:
    version, source = run.version, run.host.session.source
    if source is None:
        return
    try:
        candidate = source.candidate(version.candidate)
        edited = edit_candidate(candidate, run.host, f"v{version.number}")
    except Exception as error:  # an editor that is not there, a source that is gone
        run.host.notify(str(error), severity="error", timeout=8, markup=False)
        return
    if edited is None or edited.id == candidate.id:
        run.host.notify("nothing was changed, nothing is submitted", timeout=4)
        return

    def plan(text: str | None) -> None:
        if text is not None:
            run.host.send(
                Submit(candidate=edited, plan=text, parent=version.number),
                "submitted: it is evaluated between two tools of the operator",
            )

    question = (
        f"Your change to v{version.number} goes through f and the gate like any "
        "other. What does it do?"
    )
    run.host.push_screen(TextDialog("Submit", question, "submit"), plan)


EDIT = Action(
    "edit",
    "e",
    "edit",
    "Edit the kernel in $EDITOR and submit it to the gate.",
    "by hand",
    run=_edit,
    why_not=on_version_commanded,
    footer=16,
)
