"""What the run screen's actions do: commands, dialogs, other screens."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avo_tui.domain.budget import Budget
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.commands import (
    AbortStep,
    Annotate,
    Approve,
    ClearHint,
    Command,
    Pause,
    Reject,
    Remeasure,
    Resume,
    Rewind,
    SendHint,
    SetBookmark,
    SetBudget,
    Stop,
    Submit,
)
from avo_tui.domain.records import Version
from avo_tui.ui import show
from avo_tui.ui.digest import digest_lines
from avo_tui.ui.feed import Snapshot
from avo_tui.ui.screens.dialogs import (
    BudgetDialog,
    Confirm,
    Digest,
    HintDialog,
    PauseMenu,
    RewindDialog,
    TextDialog,
)
from avo_tui.ui.text import line, one_line

if TYPE_CHECKING:
    from avo_tui.ui.app import AvoApp

    class _Host:
        snapshot: Snapshot | None
        avo: AvoApp
        app: Any
        lineage: Any

        def do_live(self) -> None: ...

        @property
        def version_in_hand(self) -> Version | None: ...
        def run_worker(self, *args: Any, **kwargs: Any) -> Any: ...
else:
    _Host = object


class RunCommands(_Host):
    """Mixed into the run screen."""

    def _send(self, command: Command, said: str) -> None:
        self.avo.send(command, said)

    # -- control

    def do_pause(self) -> None:
        """Pause after this tool, or go on."""
        assert self.snapshot is not None
        if self.snapshot.run_state in {"paused", "pausing", "parked"}:
            self._send(Resume(), "going on")
        else:
            self._send(Pause(mode="after_tool"), "pausing after this tool; p goes on")

    def do_pause_menu(self) -> None:
        """Choose the form of the pause."""
        words = {"after_tool": "after this tool", "after_step": "after this step", "now": "now"}

        def chosen(mode: str | None) -> None:
            if mode is not None:
                self._send(Pause(mode=mode), f"pausing {words[mode]}; p goes on")

        self.app.push_screen(PauseMenu(), chosen)

    def do_hint(self) -> None:
        """Write a hint."""
        assert self.snapshot is not None

        def written(hint: SendHint | None) -> None:
            if hint is not None:
                when = {
                    "next_tool": "at the next tool",
                    "end_of_turn": "at the end of the turn",
                    "now": "now",
                }
                self._send(hint, f"hint sent: delivered {when[hint.delivery]}")

        def clear(hint: str) -> None:
            self._send(ClearHint(hint=hint), "hint cleared")

        operator = self.snapshot.session.settings.operator
        self.app.push_screen(
            HintDialog(list(self.snapshot.hints.values()), operator, clear), written
        )

    def do_rewind(self) -> None:
        """Rewind to the version under the cursor."""
        version = self.version_in_hand
        assert self.snapshot is not None and version is not None
        number = version.number

        def reason(text: str | None) -> None:
            if text is not None:
                self._send(Rewind(version=number, reason=text), f"rewinding to v{number}")
                self.do_live()

        self.app.push_screen(RewindDialog(self.snapshot, number), reason)

    def do_abort(self) -> None:
        """End the step."""
        assert self.snapshot is not None
        step = self.snapshot.live.number

        def reason(text: str | None) -> None:
            if text is not None:
                self._send(AbortStep(reason=text), f"ending step {step}")

        said = (
            f"Step {step} ends without a version and the next one begins. Why? (may be left empty)"
        )
        self.app.push_screen(TextDialog("Abort the step", said, "abort"), reason)

    def do_stop(self) -> None:
        """End the run."""
        assert self.snapshot is not None
        name = self.snapshot.session.name

        def sure(yes: bool | None) -> None:
            if yes:
                self._send(Stop(), "stopping the run")

        best = self.snapshot.best
        rows = [line("")]
        if best is not None:
            value = show.ratio(self.snapshot.aggregates.get(best.number, 0.0))
            rows.append(
                line(
                    ("★ ", "best"),
                    (f"v{best.number}", "best"),
                    f"  {value} ",
                    (f"of {one_line(self.snapshot.session.task.reference_baseline)}", "dim"),
                )
            )
        rows.append(
            line(
                (
                    (
                        f"{len(self.snapshot.versions)} versions, "
                        f"{len(self.snapshot.attempts)} attempts are kept"
                    ),
                    "dim",
                )
            )
        )
        said = (
            f"The engine of {name} ends its step and stops. Nothing is lost; R goes "
            "on with it later. To leave the screen while the run goes on, press q instead."
        )
        self.app.push_screen(Confirm("Stop the run?", said, "stop the run", rows), sure)

    def do_budget(self) -> None:
        """Change the budget."""
        assert self.snapshot is not None

        def given(budget: Budget | None) -> None:
            if budget is not None:
                self._send(SetBudget(budget=budget), "budget changed")

        self.app.push_screen(BudgetDialog(self.snapshot), given)

    def do_approve(self) -> None:
        """Approve the waiting attempt."""
        self._send(Approve(), "approved")

    def do_reject(self) -> None:
        """Reject the waiting attempt."""

        def reason(text: str | None) -> None:
            if text is not None:
                self._send(Reject(reason=text), "rejected")

        said = "The attempt does not become a version. Why? The operator is told."
        self.app.push_screen(TextDialog("Reject", said, "reject"), reason)

    def ask_approval(self) -> None:
        """Tell that an attempt waits."""
        assert self.snapshot is not None and self.snapshot.pending_approval is not None
        attempt, decision = self.snapshot.pending_approval
        self.app.notify(
            f"attempt {attempt} waits for you: {decision.reason}. A approves, X rejects",
            title="Approval",
            timeout=30,
            markup=False,
        )

    def do_start(self) -> None:
        """Start the engine."""
        start, feed = self.avo.services.start_engine, self.avo.feed
        if start is None or feed is None:
            return
        self.app.notify("starting the engine …", timeout=3)
        folder = feed.source.folder

        def work() -> None:
            try:
                start(folder)
            except Exception as error:  # its sentence is for the person
                said = str(error) or type(error).__name__
                self.app.call_from_thread(
                    self.app.notify, said, severity="error", timeout=10, markup=False
                )
            else:
                feed.wake()

        self.run_worker(work, thread=True, group="start", exclusive=True, exit_on_error=False)

    # -- by hand

    def do_bookmark(self) -> None:
        """Name a version."""
        version = self.version_in_hand
        assert version is not None

        def named(text: str | None) -> None:
            if text is not None:
                self._send(
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
                self._send(
                    Annotate(version=version.number, text=text), f"note on v{version.number} kept"
                )

        said = f"Your note on v{version.number}, for yourself and others who look at it."
        self.app.push_screen(TextDialog("Note", said, "keep", text=version.note), written)

    def do_remeasure(self) -> None:
        """Measure again."""
        version = self.version_in_hand
        assert version is not None
        self._send(
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
                self._send(
                    Submit(candidate=edited, plan=text, parent=version.number),
                    "submitted: it is evaluated between two tools of the operator",
                )

        said = (
            f"Your change to v{version.number} goes through f and the gate like any "
            "other. What does it do?"
        )
        self.app.push_screen(TextDialog("Submit", said, "submit"), plan)

    # -- other screens

    def do_lineage(self) -> None:
        """The lineage on the whole screen."""
        from avo_tui.ui.screens.lineage import LineageScreen

        self.app.push_screen(LineageScreen(self.lineage.cursor))

    def do_compare(self) -> None:
        """Two versions."""
        from avo_tui.ui.screens.compare import CompareScreen, pair_to_compare

        assert self.snapshot is not None
        hand = self.version_in_hand
        pair = pair_to_compare(self.snapshot, self.lineage.marked, hand.number if hand else None)
        if pair is not None:
            self.app.push_screen(CompareScreen(*pair))

    def do_transcript(self) -> None:
        """The conversation of the step."""
        from avo_tui.ui.screens.run_content import subject_of
        from avo_tui.ui.screens.transcript import TranscriptScreen

        assert self.snapshot is not None
        step = subject_of(self.snapshot, self.lineage.cursor).step
        self.app.push_screen(TranscriptScreen(self.snapshot.live.number if step is None else step))

    def do_memory(self) -> None:
        """The agent's notes."""
        from avo_tui.ui.screens.memory import MemoryScreen

        self.app.push_screen(MemoryScreen())

    def do_knowledge(self) -> None:
        """K."""
        from avo_tui.ui.screens.knowledge import KnowledgeScreen

        self.app.push_screen(KnowledgeScreen())

    def do_supervise(self) -> None:
        """The supervisor."""
        from avo_tui.ui.screens.supervisor import SupervisorScreen

        self.app.push_screen(SupervisorScreen())

    # -- attaching and leaving

    def greet(self) -> None:
        """Say what happened since this person last looked."""
        self._tell("While you were away", always=False)

    def do_digest(self) -> None:
        """The digest on request."""
        self._tell("Since you last looked", always=True)

    def _tell(self, heading: str, *, always: bool) -> None:
        """Read what was not seen in a thread, then show it."""

        def work() -> None:
            rows = self._digest(always=always)
            if rows:
                self.avo.from_thread(lambda: self.app.push_screen(Digest(heading, rows)))

        self.run_worker(work, thread=True, group="digest", exclusive=True, exit_on_error=False)

    def _digest(self, *, always: bool = False) -> list[Any]:
        feed, marks, snapshot = self.avo.feed, self.avo.marks, self.snapshot
        if feed is None or snapshot is None or snapshot.replay is not None:
            return [line(("there is nothing to tell of a replay", "dim"))] if always else []
        if marks is None:
            return [line(("what you have seen is not kept here", "dim"))] if always else []
        seen = marks.get(feed.source.folder)
        if seen <= 0 or seen >= snapshot.session.applied:
            return [line(("nothing: you have seen everything up to now", "dim"))] if always else []
        return digest_lines(feed.source.events(after=seen), self.avo.clock())

    def do_leave(self) -> None:
        """Leave; the run goes on."""
        from avo_tui.ui.screens.sessions import SessionsScreen

        if any(isinstance(s, SessionsScreen) for s in self.app.screen_stack):
            latest = self.avo.latest
            going = latest is not None and latest.replay is None and latest.run_state == "running"
            self.avo.close_session()
            self.app.pop_screen()
            if going:
                self.app.notify("the run goes on", timeout=3)
        else:
            self.avo.leave()

    # -- replay

    def _replay(self, what: str) -> None:
        source = self.avo.feed.source if self.avo.feed is not None else None
        method = getattr(source, what, None)
        if method is not None and self.avo.feed is not None:
            method()
            self.avo.feed.wake()

    def do_play(self) -> None:
        """Play or stand still."""
        self._replay("toggle")

    def do_faster(self) -> None:
        """Twice as fast."""
        self._replay("faster")

    def do_slower(self) -> None:
        """Half as fast."""
        self._replay("slower")

    def do_ahead(self) -> None:
        """To the next step."""
        self._replay("next_step")

    def do_back(self) -> None:
        """To the step before."""
        self._replay("previous_step")


def edit_candidate(candidate: Candidate, app: Any, name: str) -> Candidate | None:
    """Open the candidate's files in $VISUAL or $EDITOR, with the app out of the way.

    Raises ValueError with a sentence where there is no editor, or it failed, or the result is no
    candidate.
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
                code = subprocess.call([*shlex.split(editor), *map(str, paths)])
            except OSError as error:
                raise ValueError(
                    f"the editor {editor!r} cannot be started: {error.strerror}"
                ) from error
        if code != 0:
            raise ValueError(f"the editor ended with status {code}: nothing is submitted")
        return Candidate(
            files={file: (Path(folder) / file).read_text() for file in candidate.files}
        )
