"""Actions that look: replay, cursor, filter, panes, chart, other screens, what happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import cast

from avo_tui.domain.records import LIVE_STATES, Attempt
from avo_tui.ui import dialogs, screens
from avo_tui.ui.actions import Action, Actions, Reason
from avo_tui.ui.loader import in_thread
from avo_tui.ui.panes.base import pair_to_compare
from avo_tui.ui.panes.graph import Key, key_of_version
from avo_tui.ui.screen import avo_screens, copy_text, replaying, to_next_hit, two_versions
from avo_tui.ui.screens.run.digest import Happenings, current_alerts, digest_lines, spans
from avo_tui.ui.screens.run.run import PANES, Run
from avo_tui.ui.session.feed import Snapshot
from avo_tui.ui.session.replay import ReplaySource
from avo_tui.ui.text import one_line
from avo_tui.ui.widgets.long import of_file, of_growing

replay = Actions[Run]("replay")
look = Actions[Run]("look")
lineage = Actions[Run]("lineage")
leaving = Actions[Run]("general")

# -- a replay


def _play_label(run: Run) -> str:
    status = None if run.snapshot is None else run.snapshot.replay
    if status is None:
        return "play / stop"
    return "stop" if status.playing else "play"


def _change(run: Run, change: Callable[[ReplaySource], None]) -> None:
    feed = run.host.session.feed
    if feed is not None and isinstance(feed.source, ReplaySource):
        change(feed.source)
        feed.wake()


@replay(
    "space",
    "Replay: play or stand still.",
    replaying,
    footer=1,
    label="play / stop",
    label_now=_play_label,
)
def play(run: Run) -> None:
    _change(run, ReplaySource.toggle)


@replay("right_square_bracket", "Replay: twice as fast.", replaying, footer=2)
def faster(run: Run) -> None:
    _change(run, ReplaySource.faster)


@replay("left_square_bracket", "Replay: half as fast.", replaying, footer=3)
def slower(run: Run) -> None:
    _change(run, ReplaySource.slower)


@replay(
    "full_stop", "Replay: to the start of the next step.", replaying, footer=4, label="next step"
)
def ahead(run: Run) -> None:
    _change(run, ReplaySource.next_step)


@replay(
    "comma", "Replay: to the start of the step before.", replaying, footer=5, label="previous step"
)
def back(run: Run) -> None:
    _change(run, ReplaySource.previous_step)


# -- what is looked at


def _inspecting(run: Run) -> Reason:
    if run.cursor is not None or run.panes.zoomed or run.filtered:
        return None
    return "the run is followed already"


@look(
    "l,escape",
    "Leave what is inspected and follow the run again.",
    _inspecting,
    footer=6,
    quiet=True,
)
def live(run: Run) -> None:
    run.live()


@look("c", "Two versions side by side: source, score, resources.", two_versions, footer=18)
def compare(run: Run) -> None:
    """Compare the marked versions, or the one in hand with its parent."""
    hand = run.version_in_hand
    pair = pair_to_compare(run.known, run.lineage.marked, hand.number if hand else None)
    if pair is not None:
        run.host.push_screen(screens.CompareScreen(*pair))


def _source_label(run: Run) -> str:
    return "source" if run.snapshot is not None and run.known.session.task.tree else "kernel"


@look(
    "V",
    "The whole source of what is under the cursor: search, copy, export.",
    footer=19,
    label_now=_source_label,
)
def kernel(run: Run) -> None:
    """The source of what is under the cursor; of the running attempt, or of the head."""
    known, subject = run.known, run.subject
    version, attempt = subject.version, subject.attempt
    if subject.live:
        view = known.live.attempt
        attempt = None if view is None or known.live.ended is not None else view.attempt
        version = known.head if attempt is None else None
    if version is not None:
        run.host.push_screen(
            screens.KernelScreen(f"v{version.number}", version.candidate, version.number)
        )
    elif attempt is not None:
        run.host.push_screen(
            screens.KernelScreen(f"{attempt.step}.{attempt.number}", attempt.candidate)
        )
    else:
        run.host.notify("there is no source here: move to a version or an attempt", timeout=4)


@look("O", "The compiler's log on the whole screen.", label="whole log")
def log(run: Run) -> None:
    """What the compiler wrote about what is looked at."""
    snapshot, source, subject = run.known, run.host.session.source, run.subject
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
        text = report.feedback.log if report is not None else ""
        yield (text or "the compiler said nothing").encode("utf-8", "replace")

    run.host.push_screen(screens.LogScreen(f"Log of {subject.name}", chunks))


def _log_of_running(run: Run, attempt: Attempt) -> None:
    """The log of the attempt in hand, for as long as it is evaluated."""
    last = ""

    def text() -> tuple[str, bool]:
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
    run.host.push_screen(screens.LogScreen(name, lambda: of_growing(text), grows=True))


@look("E", "What the engine itself has to say.", label="engine's log")
def engine_log(run: Run) -> None:
    source = run.host.session.source
    if source is not None:
        path = source.folder / "engine.log"
        run.host.push_screen(
            screens.LogScreen("The engine's log", lambda: of_file(path, follow=True), grows=True)
        )


@look("t", "The whole conversation of the step.", footer=20)
def transcript(run: Run) -> None:
    step = run.subject.step
    run.host.push_screen(
        screens.TranscriptScreen(step_to_read(run.known) if step is None else step)
    )


def step_to_read(snapshot: Snapshot) -> int:
    """The newest step; of a run at rest the one before, if the newest was broken off at once."""
    newest = snapshot.live
    at_work = snapshot.run_state in LIVE_STATES
    empty = not newest.title and all(entry.kind == "control" for entry in newest.stream)
    return newest.number - 1 if empty and not at_work and newest.number > 0 else newest.number


@look("slash", "Filter the lineage, or find text in another pane.", footer=22, id="filter")
def find(run: Run) -> None:
    run.open_find()


@look("z", "The focused pane alone on the screen, and back.", footer=24)
def zoom(run: Run) -> None:
    run.panes.toggle_zoom()


@look("L", "The lineage alone on the screen, and back.", footer=30, id="lineage")
def whole_lineage(run: Run) -> None:
    if not run.panes.zoomed or run.panes.active == "lineage":
        run.panes.toggle_zoom()
    run.panes.show("lineage")


@look("F", "All attempts as rows, with what became of each and why.", footer=21)
def attempts(run: Run) -> None:
    run.host.ask(screens.AttemptsScreen(), run.inspect_row)


@look("ctrl+f", "One search over all: attempts, plans, conversations, notes, sources, logs.")
def search(run: Run) -> None:
    run.host.ask(screens.SearchScreen(), run.inspect_row)


@look("M", "The agent's notes; they can be edited.")
def memory(run: Run) -> None:
    run.host.push_screen(screens.MemoryScreen())


@look("K", "Search and read the knowledge base: what the agent can look up.")
def knowledge(run: Run) -> None:
    run.host.push_screen(screens.KnowledgeScreen())


# -- what happened

ABSENCE = timedelta(minutes=5)
"""Shorter absences are not summarised unasked, because the screen shows what happened."""


def greet(run: Run) -> None:
    """Show what happened since this person last looked, if that was a while ago."""
    marks, source = run.host.session.marks, run.host.session.source
    if marks is None or source is None or run.snapshot is None or run.snapshot.replay is not None:
        return
    seen = marks.get(source.folder)
    if 0 < seen < run.snapshot.session.applied:
        _tell(run, "1", seen, greeting=True)


@look("D", "What happened: since you last looked, in the last hour, since yesterday.")
def digest(run: Run) -> None:
    marks, source = run.host.session.marks, run.host.session.source
    if source is None or run.known.replay is not None:
        run.host.notify("there is nothing to tell of a replay", timeout=4)
        return
    seen = marks.get(source.folder) if marks is not None else 0
    _tell(run, "1" if seen else "5", seen, greeting=False)


def _open(run: Run, place: object) -> None:
    """Go where a row of the digest leads: an action, a step to read, a row of the lineage."""
    if isinstance(place, str):
        run.screen.action_act(place)
    elif isinstance(place, int):
        run.host.push_screen(screens.TranscriptScreen(place))
    else:
        run.inspect_row(cast(Key, place))


def _tell(run: Run, choice: str, seen: int, *, greeting: bool) -> None:
    """Read the events of a span in a thread, then show what happened; other spans on request."""
    host, source, known = run.host, run.host.session.source, run.known
    if source is None:
        return
    now = host.clock()
    asked = spans(known, seen, now, run.version_in_hand)
    viewer: dialogs.TextViewer | None = None

    def read(key: str) -> None:
        span = asked[key]

        def told_of(told: Happenings) -> None:
            recent = told.first is not None and now - told.first < ABSENCE
            if viewer is not None or not greeting or (told.anything and not recent):
                show(key, told)

        events = partial(source.events, after=span.after)
        in_thread(
            run.screen, lambda: current_alerts(events(), span, known.hints), told_of, group="digest"
        )

    def show(key: str, told: Happenings) -> None:
        nonlocal viewer
        rows = partial(digest_lines, told, asked[key], known.progress, now)
        if viewer is not None:
            viewer.show(f"What happened {asked[key].name}", rows, key)
            return
        if greeting and host.screen is not run.screen:
            return  # the person is at something else already, such as writing a hint
        heading = "While you were away" if greeting else f"What happened {asked[key].name}"
        names = [(name, one.name) for name, one in asked.items()]
        viewer = dialogs.TextViewer(
            heading, rows, names, key, read, unasked=greeting, opened=partial(_open, run)
        )
        host.push_screen(viewer)

    read(choice)


@look("U", "The GPUs and processors: clock, power, temperature, what holds them back.")
def devices(run: Run) -> None:
    run.host.push_screen(screens.DevicesScreen())


# -- panes


@look("n", "The next row that was found; the next file of a difference.", label="next hit")
def next_hit(run: Run) -> None:
    view = run.diff.view
    if run.focused_view is not view or view.searched or not run.diff.next_file():
        to_next_hit(run.focused_view)


@look("d", "The difference unified, or side by side.", label="side by side")
def sides(run: Run) -> None:
    run.diff.toggle_sides()
    run.repaint()


@look(
    "a", "The chart over versions, time, evaluations or cost, or the roofline.", label="chart axis"
)
def chart_axis(run: Run) -> None:
    run.score.next_axis(run.known)
    run.repaint()


@look("Y", "The chart from zero, or the range of the newer versions alone.", label="chart range")
def chart_range(run: Run) -> None:
    run.score.toggle_range()
    run.repaint()


@look("o", "The chart of the aggregate, or of one configuration.", label="chart of")
def chart_what(run: Run) -> None:
    run.score.next_curve(run.known)
    run.repaint()


@look(
    "W",
    "The chart of the last hour, since yesterday, since the version in hand, or of all.",
    label="chart since",
)
def chart_span(run: Run) -> None:
    version = run.subject.version
    run.score.next_span(run.known, None if version is None else version.number)
    run.repaint()


@look("y", "Copy what the focused pane shows, without gutters.")
def copy(run: Run) -> None:
    copy_text(run.focused_view, run.host)


_PANES = ("lineage", "plan", "difference", "output", "score chart")
PANE_ACTIONS = tuple(
    Action(
        f"pane{number}",
        str(number),
        pane,
        f"To the {name}.",
        "panes",
        lambda run, pane=pane: run.panes.show(pane),  # type: ignore[misc]
    )
    for number, (pane, name) in enumerate(zip(PANES, _PANES, strict=True), 1)
)

# -- the cursor


@lineage("B", "To the best version.")
def best(run: Run) -> None:
    run.inspect(None if run.known.best is None else run.known.best.number)


@lineage("H", "To the head.")
def head(run: Run) -> None:
    run.inspect(run.known.session.head)


@lineage("u", "To the parent of what is under the cursor.")
def parent(run: Run) -> None:
    """To the head while the run is followed."""
    run.inspect(run.known.session.head if run.subject.live else run.subject.parent)


@lineage("apostrophe", "To the next bookmark.", label="next bookmark")
def next_mark(run: Run) -> None:
    """From the newest to the oldest, round and round."""
    marked = sorted((n for n, v in run.known.versions.items() if v.bookmark), reverse=True)
    if not marked:
        run.host.notify("no version has a bookmark: m sets one", timeout=3)
        return
    hand = run.version_in_hand if run.cursor is not None else None
    older = (number for number in marked if hand is not None and number < hand.number)
    run.inspect(next(older, marked[0]))


@lineage("v", "Mark a version for a comparison.")
def mark(run: Run) -> None:
    if run.version_in_hand is not None:
        run.lineage.mark(run.version_in_hand.number)


@lineage("colon", "To any version or attempt by its name.")
def go_to(run: Run) -> None:
    def given(text: str) -> None:
        key = row_named(run.known, text)
        if key is not None:
            run.inspect_row(key)
        elif text:
            notice = f"there is no version or attempt {one_line(text, 20)!r}"
            run.host.notify(notice, severity="warning", timeout=4, markup=False)

    question = "A version (v12, best, head) or an attempt (25.3: the third of step 25)."
    run.host.ask(dialogs.TextDialog("Go to", question, "go", single=True), given)


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


@leaving("q", "Leave the screen; the run goes on.", footer=32)
def leave(run: Run) -> None:
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
