"""Commands of the run screen: pause, hint, rewind, stop, budget, approval, the engine."""

from __future__ import annotations

from avo_tui.domain.budget import Budget
from avo_tui.domain.commands import (
    AbortStep,
    Approve,
    ClearHint,
    Pause,
    Reject,
    Resume,
    Rewind,
    SendHint,
    SetBudget,
    Stop,
)
from avo_tui.ui import show
from avo_tui.ui.screens.dialogs import (
    BudgetDialog,
    Confirm,
    HintDialog,
    PauseMenu,
    RewindDialog,
    TextDialog,
    moments,
)
from avo_tui.ui.screens.run_base import RunBase
from avo_tui.ui.text import line, one_line


class RunCommands(RunBase):
    """What the person asks of the engine."""

    def do_pause(self) -> None:
        """Pause after this tool, or go on."""
        assert self.snapshot is not None
        if self.snapshot.run_state in {"paused", "pausing", "parked"}:
            self.avo.send(Resume(), "going on")
        else:
            self.avo.send(Pause(mode="after_tool"), "pausing after this tool; p goes on")

    def do_pause_menu(self) -> None:
        """Choose the form of the pause."""
        words = {"after_tool": "after this tool", "after_step": "after this step", "now": "now"}

        def chosen(mode: str | None) -> None:
            if mode is not None:
                self.avo.send(Pause(mode=mode), f"pausing {words[mode]}; p goes on")

        self.app.push_screen(PauseMenu(), chosen)

    def do_hint(self) -> None:
        """Write a hint."""
        assert self.snapshot is not None
        operator = self.snapshot.session.settings.operator

        def written(hint: SendHint | None) -> None:
            if hint is not None:
                self.avo.send(hint, f"hint sent: delivered {moments(operator)[hint.delivery]}")

        def clear(hint: str) -> None:
            self.avo.send(ClearHint(hint=hint), "hint cleared")

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
                self.avo.send(Rewind(version=number, reason=text), f"rewinding to v{number}")
                self.do_live()

        self.app.push_screen(RewindDialog(self.snapshot, number), reason)

    def do_abort(self) -> None:
        """End the step."""
        assert self.snapshot is not None
        step = self.snapshot.live.number

        def reason(text: str | None) -> None:
            if text is not None:
                self.avo.send(AbortStep(reason=text), f"ending step {step}")

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
                self.avo.send(Stop(), "stopping the run")

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
                self.avo.send(SetBudget(budget=budget), "budget changed")

        self.app.push_screen(BudgetDialog(self.snapshot), given)

    def do_approve(self) -> None:
        """Approve the waiting attempt."""
        self.avo.send(Approve(), "approved")

    def do_reject(self) -> None:
        """Reject the waiting attempt."""

        def reason(text: str | None) -> None:
            if text is not None:
                self.avo.send(Reject(reason=text), "rejected")

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
