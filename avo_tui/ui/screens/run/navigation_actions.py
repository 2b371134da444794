"""Actions that open other screens, summarise what happened, or leave."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import partial

from avo_tui.domain.records import LIVE_STATES, Attempt
from avo_tui.ui import dialogs, places
from avo_tui.ui.actions import Action
from avo_tui.ui.panes.base import pair_to_compare
from avo_tui.ui.panes.graph import Key, key_of_version
from avo_tui.ui.screen import avo_screens, two_versions
from avo_tui.ui.screens.run.digest import Happenings, current_alerts, digest_lines, spans
from avo_tui.ui.screens.run.parts import RunParts
from avo_tui.ui.session.feed import Snapshot
from avo_tui.ui.text import one_line
from avo_tui.ui.widgets.long import of_file, of_growing


def _lineage(run: RunParts) -> None:
    def inspect(picked: tuple[Key, frozenset[int]] | None) -> None:
        if picked is not None:
            key, run.scene.lineage.unfolded = picked
            run.scene.repaint()
            run.scene.lineage.pick(key)

    run.host.go(places.Lineage(run.scene.cursor), inspect)


LINEAGE = Action(
    "lineage",
    "L",
    "lineage",
    "The lineage on the whole screen, with every detail.",
    "look",
    run=_lineage,
    footer=30,
)


def _attempts(run: RunParts) -> None:
    def inspect(key: Key | None) -> None:
        if key is not None:
            run.walk.inspect_row(key)

    run.host.go(places.Attempts(), inspect)


ATTEMPTS = Action(
    "attempts",
    "F",
    "attempts",
    "All attempts as rows, with what became of each and why.",
    "look",
    run=_attempts,
    footer=21,
)


def _go_to(run: RunParts) -> None:
    def given(text: str | None) -> None:
        if text:
            key = row_named(run.known, text)
            if key is None:
                notice = f"there is no version or attempt {one_line(text, 20)!r}"
                run.host.notify(notice, severity="warning", timeout=4, markup=False)
            else:
                run.walk.inspect_row(key)

    question = "A version (v12, best, head) or an attempt (25.3: the third of step 25)."
    run.host.push_screen(dialogs.TextDialog("Go to", question, "go", single=True), given)


def row_named(snapshot: Snapshot, text: str) -> Key | None:
    """The row of the lineage that a person names; None where there is none."""
    name = text.strip().lower()
    if name in {"best", "head"}:
        version = snapshot.best if name == "best" else snapshot.head
        return None if version is None else key_of_version(version.number)
    step, dot, number = name.partition(".")
    if dot:
        if not (step.isdigit() and number.isdigit()):
            return None
        attempt = snapshot.attempts.get((int(step), int(number)))
        if attempt is None:
            return None
        if attempt.version is not None:
            return key_of_version(attempt.version)
        return ("a", attempt.step, attempt.number)
    digits = name.removeprefix("v")
    known = digits.isdigit() and int(digits) in snapshot.versions
    return key_of_version(int(digits)) if known else None


GO_TO = Action(
    "go_to",
    "colon",
    "go to",
    "To any version or attempt by its name.",
    "lineage",
    run=_go_to,
)


def _compare(run: RunParts) -> None:
    hand = run.scene.version_in_hand
    marked = run.scene.lineage.marked
    pair = pair_to_compare(run.known, marked, hand.number if hand else None)
    if pair is not None:
        run.host.go(places.Compare(*pair))


COMPARE = Action(
    "compare",
    "c",
    "compare",
    "Two versions side by side: source, score, resources.",
    "look",
    run=_compare,
    why_not=two_versions,
    footer=18,
)


def _kernel(run: RunParts) -> None:
    """The source of what is under the cursor; of the running attempt, or of the head."""
    known, subject = run.known, run.scene.subject
    version, attempt = subject.version, subject.attempt
    if subject.live:
        view = known.live.attempt
        attempt = None if view is None or known.live.ended is not None else view.attempt
        version = known.head if attempt is None else None
    if version is not None:
        run.host.go(places.Kernel(f"v{version.number}", version.candidate, version.number))
    elif attempt is not None:
        run.host.go(places.Kernel(f"{attempt.step}.{attempt.number}", attempt.candidate))
    else:
        run.host.notify("there is no source here: move to a version or an attempt", timeout=4)


KERNEL = Action(
    "kernel",
    "V",
    "kernel",
    "The whole source of what is under the cursor: search, copy, export.",
    "look",
    run=_kernel,
    footer=19,
)


def _transcript(run: RunParts) -> None:
    step = run.scene.subject.step
    run.host.go(places.Transcript(step_to_read(run.known) if step is None else step))


def step_to_read(snapshot: Snapshot) -> int:
    """The newest step; of a run at rest the one before, if the newest was broken off at once."""
    live = snapshot.live
    at_work = snapshot.run_state in LIVE_STATES
    empty = not live.title and all(entry.kind == "control" for entry in live.stream)
    return live.number - 1 if empty and not at_work and live.number > 0 else live.number


TRANSCRIPT = Action(
    "transcript",
    "t",
    "transcript",
    "The whole conversation of the step.",
    "look",
    run=_transcript,
    footer=20,
)


def _log(run: RunParts) -> None:
    """What the compiler wrote about what is looked at."""
    snapshot, source, subject = run.known, run.host.session.source, run.scene.subject
    if source is None:
        return
    running = snapshot.live.attempt
    if subject.live and running is not None:
        _log_of_running(run, running.attempt)
        return
    if subject.live:
        run.host.notify("nothing was compiled in this step yet", timeout=4)
        return
    attempt = subject.attempt
    if subject.version is not None:
        attempt = snapshot.attempts.get((subject.version.step, subject.version.attempt))

    def chunks() -> Iterator[bytes]:
        report = source.report(attempt) if attempt is not None else None
        log = report.feedback.log if report is not None else ""
        yield (log or "the compiler said nothing").encode("utf-8", "replace")

    run.host.go(places.Log(f"Log of {subject.name}", chunks))


def _log_of_running(run: RunParts, attempt: Attempt) -> None:
    """The log of the attempt in hand, for as long as it is evaluated."""
    last = ""

    def log() -> tuple[str, bool]:
        nonlocal last
        latest = run.host.latest
        view = latest.live.attempt if latest is not None else None
        mine = view is not None and view.attempt.number == attempt.number
        if view is None or not mine or view.attempt.step != attempt.step:
            return last or "the compiler said nothing", True
        last = (view.report.feedback.log if view.report is not None else "") or view.log
        whole = view.report is not None
        return last or ("the compiler said nothing" if whole else ""), whole

    name = f"Log of {attempt.step}.{attempt.number}"
    run.host.go(places.Log(name, lambda: of_growing(log), grows=True))


LOG = Action(
    "log",
    "O",
    "whole log",
    "The compiler's log on the whole screen.",
    "look",
    run=_log,
)


def _engine_log(run: RunParts) -> None:
    source = run.host.session.source
    if source is not None:
        path = source.folder / "engine.log"
        run.host.go(places.Log("The engine's log", lambda: of_file(path, follow=True), grows=True))


ENGINE_LOG = Action(
    "engine_log",
    "E",
    "engine's log",
    "What the engine itself has to say.",
    "look",
    run=_engine_log,
)
MEMORY = Action[RunParts](
    "memory",
    "M",
    "memory",
    "The agent's notes; they can be edited.",
    "look",
    run=lambda run: run.host.go(places.Memory()),
)
KNOWLEDGE = Action[RunParts](
    "knowledge",
    "K",
    "knowledge",
    "Search and read the knowledge base: what the agent can look up.",
    "look",
    run=lambda run: run.host.go(places.Knowledge()),
)


DEVICES = Action[RunParts](
    "devices",
    "U",
    "devices",
    "The GPUs and processors: clock, power, temperature, what holds them back.",
    "look",
    run=lambda run: run.host.go(places.Devices()),
)


ABSENCE = timedelta(minutes=5)
"""Shorter absences are not summarised unasked, because the screen shows what happened."""


def greet(run: RunParts) -> None:
    """Show what happened since this person last looked, if that was a while ago."""
    marks, source = run.host.session.marks, run.host.session.source
    if marks is None or source is None or run.snapshot is None or run.snapshot.replay is not None:
        return
    seen = marks.get(source.folder)
    if 0 < seen < run.snapshot.session.applied:
        _tell(run, "1", seen, greeting=True)


def _digest(run: RunParts) -> None:
    marks, source = run.host.session.marks, run.host.session.source
    if source is None or run.known.replay is not None:
        run.host.notify("there is nothing to tell of a replay", timeout=4)
        return
    seen = marks.get(source.folder) if marks is not None else 0
    _tell(run, "1" if seen else "3", seen, greeting=False)


def _tell(run: RunParts, choice: str, seen: int, *, greeting: bool) -> None:
    """Read the events of a span in a thread, then show what happened; other spans on request."""
    host, source, known = run.host, run.host.session.source, run.known
    if source is None:
        return
    now = host.clock()
    asked = spans(known, seen, now, run.scene.version_in_hand)
    viewer: dialogs.TextViewer | None = None

    def read(key: str) -> None:
        span = asked[key]

        def work() -> None:
            told = current_alerts(source.events(after=span.after), span)
            recent = told.first is not None and now - told.first < ABSENCE
            if viewer is not None or not greeting or (told.anything and not recent):
                host.from_thread(show, key, told)

        run.scene.screen.run_worker(
            work, thread=True, group="digest", exclusive=True, exit_on_error=False
        )

    def show(key: str, told: Happenings) -> None:
        nonlocal viewer
        rows = partial(digest_lines, told, asked[key], known.progress, now)
        if viewer is not None:
            viewer.show(f"What happened {asked[key].name}", rows, key)
            return
        heading = "While you were away" if greeting else f"What happened {asked[key].name}"
        names = [(name, one.name) for name, one in asked.items()]
        if greeting and host.screen is not run.scene.screen:
            return  # the person is at something else already, such as writing a hint
        viewer = dialogs.TextViewer(heading, rows, names, key, read, unasked=greeting)
        host.push_screen(viewer)

    read(choice)


DIGEST = Action(
    "digest",
    "D",
    "digest",
    "What happened: since you last looked, in the last hour, since yesterday.",
    "look",
    run=_digest,
)


def _leave(run: RunParts) -> None:
    host = run.host
    if len(avo_screens(host.screen_stack)) < 2:  # there is no list of sessions to return to
        host.departure.leave()
        return
    latest = host.latest
    goes_on = latest is not None and latest.replay is None and latest.run_state == "running"
    host.session.close()
    host.pop_screen()
    if goes_on:
        host.notify("the run goes on", timeout=3)


LEAVE = Action(
    "leave",
    "q",
    "leave",
    "Leave the screen; the run goes on.",
    "general",
    run=_leave,
    footer=32,
)
