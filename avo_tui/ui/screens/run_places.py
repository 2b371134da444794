"""From the run screen to the others, and away; what a replay does."""

from __future__ import annotations

from collections.abc import Iterator

from avo_tui.domain.records import Attempt
from avo_tui.ui.digest import digest_lines
from avo_tui.ui.screens.dialogs import Digest
from avo_tui.ui.screens.run_base import RunBase
from avo_tui.ui.screens.run_content import subject_of
from avo_tui.ui.text import Line, line


class RunPlaces(RunBase):
    """Screens, the digest, leaving, the controls of a replay."""

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
        from avo_tui.ui.screens.transcript import TranscriptScreen

        assert self.snapshot is not None
        step = subject_of(self.snapshot, self.lineage.cursor).step
        self.app.push_screen(TranscriptScreen(self.snapshot.live.number if step is None else step))

    def do_log(self) -> None:
        """What the compiler said to what is looked at."""
        from avo_tui.ui.screens.log import LogScreen

        snapshot, feed = self.snapshot, self.avo.feed
        assert snapshot is not None and feed is not None
        subject, source = subject_of(snapshot, self.lineage.cursor), feed.source
        attempt = subject.attempt
        if subject.version is not None:
            attempt = snapshot.attempts.get((subject.version.step, subject.version.attempt))
        running = snapshot.live.attempt

        if subject.live and running is not None:
            self._log_of_running(running.attempt)
            return

        def chunks() -> Iterator[bytes]:
            report = source.report(attempt) if attempt is not None else None
            log = report.feedback.log if report is not None else ""
            yield (log or "the compiler said nothing").encode("utf-8", "replace")

        self.app.push_screen(LogScreen(f"Log of {subject.name}", chunks))

    def _log_of_running(self, attempt: Attempt) -> None:
        """The log of the attempt in hand, for as long as it is."""
        from avo_tui.ui.screens.log import LogScreen, of_growing

        last = ""

        def log() -> tuple[str, bool]:
            nonlocal last
            latest = self.avo.latest
            view = latest.live.attempt if latest is not None else None
            mine = view is not None and view.attempt.number == attempt.number
            if view is None or not mine or view.attempt.step != attempt.step:
                return last or "the compiler said nothing", True
            last = (view.report.feedback.log if view.report is not None else "") or view.log
            whole = view.report is not None
            return last or ("the compiler said nothing" if whole else ""), whole

        name = f"Log of {attempt.step}.{attempt.number}"
        self.app.push_screen(LogScreen(name, lambda: of_growing(log), grows=True))

    def do_engine_log(self) -> None:
        """What the engine itself wrote, and writes."""
        from avo_tui.ui.screens.log import LogScreen, of_file

        assert self.avo.feed is not None
        path = self.avo.feed.source.folder / "engine.log"
        self.app.push_screen(
            LogScreen("The engine's log", lambda: of_file(path, follow=True), grows=True)
        )

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

    def _digest(self, *, always: bool = False) -> list[Line]:
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
