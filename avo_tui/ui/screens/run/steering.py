"""Actions that steer the run: pause, hint, rewind, stop, budget, approval, a change by hand."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from textual.app import App

from avo_tui.domain.budget import Budget
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.commands import (
    AbortStep,
    Annotate,
    Approve,
    ClearHint,
    Pause,
    Reject,
    Remeasure,
    Resume,
    Rewind,
    SendHint,
    SetBookmark,
    SetBudget,
    SetOptions,
    Stop,
    Submit,
    why_no_bookmark,
)
from avo_tui.store import StoreError
from avo_tui.ui import dialogs, formats, screens
from avo_tui.ui.actions import Actions, Reason
from avo_tui.ui.screen import (
    changeable,
    engine_alive,
    engine_gone,
    in_step,
    takes_commands,
    wants_approval,
)
from avo_tui.ui.screens.run.run import Run
from avo_tui.ui.text import Line, line, one_line

if TYPE_CHECKING:
    from avo_tui.ui.dialogs.options import Changes


control = Actions[Run]("control")
by_hand = Actions[Run]("by hand")


def on_version_commanded(run: Run) -> Reason:
    """A version, and an engine that takes the command."""
    reason = takes_commands(run)
    if reason is not None:
        return reason
    if run.version_in_hand is not None:
        return None
    filtered = bool(run.lineage.needle)
    return "no row passes the filter: esc ends it" if filtered else "there is no version yet"


def ask_approval(run: Run) -> None:
    assert run.known.pending_approval is not None
    attempt, decision = run.known.pending_approval
    run.host.notify(
        f"attempt {attempt} waits for you: {decision.reason}. A approves, X rejects",
        title="Approval",
        timeout=30,
        markup=False,
    )


@control("A", "Let the waiting attempt become a version.", wants_approval, footer=7)
def approve(run: Run) -> None:
    run.host.send(Approve(), "approved")


@control("X", "Turn the waiting attempt down, with a reason.", wants_approval, footer=8)
def reject(run: Run) -> None:
    question = "The attempt does not become a version. Why? The operator is told."
    run.host.ask(
        dialogs.TextDialog("Reject", question, "reject"),
        lambda text: run.host.send(Reject(reason=text), "rejected"),
    )


def _start_label(run: Run) -> str:
    if run.snapshot is not None and not run.snapshot.own:
        return "go on …"
    lost = run.snapshot is not None and run.snapshot.run_state == "lost"
    return "restart the engine" if lost else "go on"


@control(
    "R",
    "Start the engine and go on with the run.",
    engine_gone,
    footer=9,
    label="go on",
    label_now=_start_label,
)
def start(run: Run) -> None:
    host, feed = run.host, run.host.session.feed
    if feed is not None:
        host.start_engine(feed.source.folder, "starting the engine …", feed.wake)


PAUSED = {"paused": "resume", "pausing": "go on", "parked": "go on now"}
"""Run states that the key `p` ends, with the label of the action."""


def _pause_label(run: Run) -> str:
    return "pause" if run.snapshot is None else PAUSED.get(run.snapshot.run_state, "pause")


@control(
    "p",
    "Pause after this tool; pressed again, go on.",
    engine_alive,
    footer=10,
    label_now=_pause_label,
)
def pause(run: Run) -> None:
    if run.known.run_state in PAUSED:
        run.host.send(Resume(), "going on")
    else:
        run.host.send(Pause(mode="after_tool"), "pausing after this tool; p goes on")


@control("h", "Tell the operator something, now or at its next tool.", takes_commands, footer=12)
def hint(run: Run) -> None:
    traits = run.known.session.settings.operator_traits

    def written(hint: SendHint) -> None:
        run.host.send(hint, f"hint sent: delivered {dialogs.moments(traits)[hint.delivery]}")

    def clear(hint: str) -> None:
        run.host.send(ClearHint(hint=hint), "hint cleared")

    run.host.ask(dialogs.HintDialog(list(run.known.hints.values()), traits, clear), written)


@control(
    "w",
    "Make any version the head, such as an older one; what came after becomes a branch.",
    on_version_commanded,
    footer=14,
)
def rewind(run: Run) -> None:
    number = run.version.number

    def reason(text: str) -> None:
        run.host.send(Rewind(version=number, reason=text), f"rewinding to v{number}")
        run.live()

    run.host.ask(dialogs.RewindDialog(run.known, number), reason)


@control("S", "End the run, after a confirmation.", engine_alive, footer=26)
def stop(run: Run) -> None:
    question = (
        f"The engine of {run.known.session.name} ends its step and stops. Nothing is lost; R goes "
        "on with it later. To leave the screen while the run goes on, press q instead."
    )
    run.host.ask(
        dialogs.Confirm("Stop the run?", question, "stop the run", _kept(run)),
        lambda _: run.host.send(Stop(), "stopping the run"),
    )


def _kept(run: Run) -> list[Line]:
    snapshot, rows = run.known, [line("")]
    if snapshot.best is not None:
        number, star = snapshot.best.number, snapshot.best.star
        value = formats.ratio(snapshot.aggregates.get(number, 0.0))
        reference = one_line(snapshot.session.task.reference_baseline)
        rows.append(line((f"{star} v{number}", "best"), f"  {value} ", (f"of {reference}", "dim")))
    counts = f"{len(snapshot.versions)} versions, {len(snapshot.attempts)} attempts are kept"
    return [*rows, line((counts, "dim"))]


@control("P", "Pause after this tool, after this step, or now.", engine_alive, label="pause how")
def pause_menu(run: Run) -> None:
    def chosen(mode: str) -> None:
        run.host.send(Pause(mode=mode), f"pausing {mode.replace('_', ' this ')}; p goes on")

    run.host.ask(dialogs.PauseMenu(), chosen)


@control("x", "End this step and go on with the next.", in_step, label="abort step")
def abort(run: Run) -> None:
    step = run.known.live.number
    question = (
        f"Step {step} ends without a version and the next one begins. Why? (may be left empty)"
    )
    run.host.ask(
        dialogs.TextDialog("Abort the step", question, "abort"),
        lambda text: run.host.send(AbortStep(reason=text), f"ending step {step}"),
    )


@control("b", "Change what the run may spend.", takes_commands, footer=28)
def budget(run: Run) -> None:
    def given(budget: Budget) -> None:
        run.host.send(SetBudget(budget=budget), f"caps: {dialogs.budget_text(budget)}")

    run.host.ask(dialogs.BudgetDialog(run.known), given)


@control(
    "s",
    "Change the agent's model or effort, and other settings of this run.",
    takes_commands,
    label="settings",
)
def options(run: Run) -> None:
    services, settings = run.host.services, run.known.session.settings
    if services.options is None or services.check_options is None:
        run.host.notify("the settings cannot be changed from here: use avo set", markup=False)
        return
    try:
        options = services.options(settings)
    except ValueError as error:  # the operator is not installed here
        run.host.notify(str(error), severity="error", markup=False)
        return

    def given(changes: Changes) -> None:
        run.host.send(SetOptions(options=changes), f"set {', '.join(changes)}")

    run.host.ask(dialogs.OptionsDialog(settings, options, services.check_options), given)


@control(
    "i",
    "The supervisor: what it did, and trigger, edit or dismiss an intervention.",
    changeable,
    label="intervene",
)
def supervise(run: Run) -> None:
    run.host.push_screen(screens.SupervisorScreen())


class EditorError(ValueError):
    """The editor ended with an error; `saved` is what it had saved by then."""

    def __init__(self, status: int, saved: Candidate) -> None:
        super().__init__(f"the editor ended with status {status}: nothing is submitted")
        self.saved = saved


def edit_candidate(candidate: Candidate, app: App[None], name: str) -> Candidate:
    """Open the candidate's files in $VISUAL or $EDITOR, with the app suspended.

    Raises ValueError, with a sentence, if there is no editor or the result is not a candidate, and
    EditorError if the editor ended with an error.
    """
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not editor:
        raise ValueError("no editor is known: set $EDITOR, for example EDITOR=vim")
    with tempfile.TemporaryDirectory(prefix=f"avo-{name}-") as folder:
        paths: list[Path] = []
        for file, text in candidate.files.items():
            path = Path(folder) / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            paths.append(path)
        with app.suspend():
            try:
                status = subprocess.call([*shlex.split(editor), *map(str, paths)])
            except OSError as error:
                raise ValueError(
                    f"the editor {editor!r} cannot be started: {error.strerror}"
                ) from error
        saved = Candidate(
            files={file: (Path(folder) / file).read_text() for file in candidate.files}
        )
    if status != 0:
        raise EditorError(status, saved)
    return saved


@by_hand(
    "e", "Edit the kernel in $EDITOR and submit it to the gate.", on_version_commanded, footer=16
)
def edit(run: Run) -> None:
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


def _keep_draft(run: Run, number: int, candidate: Candidate, edited: Candidate) -> None:
    """Keep what the editor saved, before anything else can go wrong."""
    source = run.host.session.source
    if source is None or edited.id == candidate.id:
        return
    try:
        run.host.drafts.put(source.folder, number, edited)
    except (StoreError, OSError) as error:
        text = f"your edit could not be kept as a draft: {error}"
        run.host.notify(text, severity="error", timeout=12, markup=False)


@by_hand("m", "Name a version, to find it again.", on_version_commanded)
def bookmark(run: Run) -> None:
    version = run.version

    def named(text: str) -> None:
        command = SetBookmark(version=version.number, label=text or None)
        notice = f"v{version.number} is ⚑ {one_line(text)}" if text else "bookmark removed"
        run.host.send(command, notice)

    question, name = f"A name for v{version.number}; empty removes it.", version.bookmark or ""
    dialog = dialogs.TextDialog(
        "Bookmark", question, "set", text=name, single=True, check=why_no_bookmark
    )
    run.host.ask(dialog, named)


@by_hand("N", "Write a note on a version.", on_version_commanded)
def note(run: Run) -> None:
    version = run.version

    def written(text: str) -> None:
        command = Annotate(version=version.number, text=text)
        run.host.send(command, f"note on v{version.number} kept")

    question = f"Your note on v{version.number}, for yourself and others who look at it."
    run.host.ask(dialogs.TextDialog("Note", question, "keep", text=version.note), written)


@by_hand(
    "r",
    "Measure a version again; the score at the gate is kept.",
    on_version_commanded,
    label="measure again",
)
def remeasure(run: Run) -> None:
    number = run.version.number
    notice = f"v{number} will be measured again between two tools"
    run.host.send(Remeasure(version=number), notice)
