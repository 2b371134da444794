"""Actions on a version: its name, a note, another measurement, a change by hand."""

from __future__ import annotations

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.commands import Annotate, Remeasure, SetBookmark, Submit
from avo_tui.store import StoreError
from avo_tui.ui import dialogs
from avo_tui.ui.actions import Action
from avo_tui.ui.screens.run.control_actions import on_version_commanded
from avo_tui.ui.screens.run.editor import EditorError, edit_candidate
from avo_tui.ui.screens.run.parts import RunParts
from avo_tui.ui.text import one_line


def _bookmark(run: RunParts) -> None:
    version = run.version

    def named(text: str | None) -> None:
        if text is not None:
            run.host.send(
                SetBookmark(version=version.number, label=text or None),
                f"v{version.number} is ⚑ {one_line(text)}" if text else "bookmark removed",
            )

    question = f"A name for v{version.number}; empty removes it."
    dialog = dialogs.TextDialog(
        "Bookmark", question, "set", text=version.bookmark or "", single=True
    )
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
    run.host.push_screen(dialogs.TextDialog("Note", question, "keep", text=version.note), written)


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
    """Open the kernel, or what was saved of it before, in the editor; then ask what was done."""
    version, source, host = run.version, run.host.session.source, run.host
    if source is None:
        return
    drafts, folder, number = host.drafts, source.folder, version.number
    try:
        candidate = source.candidate(version.candidate)
        draft = drafts.get(folder, number)
        edited = edit_candidate(draft or candidate, host, f"v{number}")
    except EditorError as error:
        _keep_draft(run, number, candidate, error.saved)
        host.notify(str(error), severity="error", timeout=8, markup=False)
        return
    except Exception as error:  # an editor that is not there, a source that is gone
        host.notify(str(error), severity="error", timeout=8, markup=False)
        return
    if edited.id == candidate.id:
        drafts.drop(folder, number)
        host.notify("nothing was changed, nothing is submitted", timeout=4)
        return
    _keep_draft(run, number, candidate, edited)

    def plan(text: str | None) -> None:
        if text is None:
            notice = f"not submitted; your edit is kept: e on v{number} goes on with it"
            host.notify(notice, timeout=8)
            return
        notice = "submitted: it is evaluated between two tools of the operator"
        command = Submit(candidate=edited, plan=text, parent=number)
        host.send(command, notice, lambda: drafts.drop(folder, number))

    question = (
        f"Your change to v{number} is compiled, checked, measured and judged by the gate like any "
        "other candidate. What does it do?"
    )
    host.push_screen(dialogs.TextDialog("Submit", question, "submit"), plan)


def _keep_draft(run: RunParts, number: int, candidate: Candidate, edited: Candidate) -> None:
    """Keep what the editor saved, before anything else can go wrong."""
    source = run.host.session.source
    if source is None or edited.id == candidate.id:
        return
    try:
        run.host.drafts.put(source.folder, number, edited)
    except (StoreError, OSError) as error:
        text = f"your edit could not be kept as a draft: {error}"
        run.host.notify(text, severity="error", timeout=12, markup=False)


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
