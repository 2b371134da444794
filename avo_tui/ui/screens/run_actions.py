"""The actions of the run screen."""

from __future__ import annotations

from typing import Any

from avo_tui.domain.records import LIVE_STATES
from avo_tui.ui.actions import Action, Reason
from avo_tui.ui.screens.base import COMMON


def _live(screen: Any) -> Reason:
    snapshot = screen.snapshot
    if snapshot is None:
        return "the session is still being read"
    if snapshot.replay is not None:
        return "this is a replay: nothing can be changed in it"
    return None


def engine_alive(screen: Any) -> Reason:
    """Needs an engine that takes commands."""
    reason = _live(screen)
    if reason is not None:
        return reason
    state = screen.snapshot.run_state
    if state == "lost":
        if screen.avo.services.start_engine is None:
            return "the engine is not there: avo run --resume starts it again"
        return "the engine is not there: R starts it again"
    if state not in LIVE_STATES:
        return f"the run is {state}: R goes on with it"
    return None


def takes_commands(screen: Any) -> Reason:
    """Needs an engine, or a short one that takes what is in the inbox of a run that has ended."""
    reason = _live(screen)
    if reason is not None:
        return reason
    ended = screen.snapshot.run_state not in {*LIVE_STATES, "lost"}
    if ended and screen.avo.services.take_inbox is not None:
        return None
    return engine_alive(screen)


def engine_gone(screen: Any) -> Reason:
    """Needs a session without an engine."""
    reason = _live(screen)
    if reason is not None:
        return reason
    if screen.snapshot.run_state in LIVE_STATES:
        return "the engine is running"
    if screen.avo.services.start_engine is None:
        return "this app was started without an engine: use avo run --resume"
    return None


def in_step(screen: Any) -> Reason:
    """Needs a running step."""
    reason = engine_alive(screen)
    if reason is not None:
        return reason
    return None if screen.snapshot.live.ended is None else "no step is running just now"


def wants_approval(screen: Any) -> Reason:
    """Needs an attempt that waits for approval."""
    reason = engine_alive(screen)
    if reason is not None:
        return reason
    return None if screen.snapshot.pending_approval is not None else "nothing waits for approval"


def on_version(screen: Any) -> Reason:
    """Needs a version under the cursor (or a head)."""
    reason = _live(screen)
    if reason is not None:
        return reason
    return None if screen.version_in_hand is not None else "there is no version yet"


def on_version_commanded(screen: Any) -> Reason:
    """Both: a version, and somebody who takes the command."""
    return takes_commands(screen) or on_version(screen)


def has_versions(screen: Any) -> Reason:
    """Needs two versions."""
    if screen.snapshot is None or len(screen.snapshot.versions) < 2:
        return "there are not two versions yet"
    return None


def inspecting(screen: Any) -> Reason:
    """Needs a cursor that was moved."""
    return None if screen.cursor is not None or screen.zoomed else "the run is followed already"


def replaying(screen: Any) -> Reason:
    """Needs a replay."""
    if screen.snapshot is not None and screen.snapshot.replay is not None:
        return None
    return "this is not a replay"


RUN_ACTIONS: tuple[Action, ...] = (
    Action("play", "space", "play / stop", "Replay: play or stand still.", "replay", 1, replaying),
    Action(
        "faster", "right_square_bracket", "faster", "Replay: twice as fast.", "replay", 2, replaying
    ),
    Action(
        "slower", "left_square_bracket", "slower", "Replay: half as fast.", "replay", 3, replaying
    ),
    Action(
        "ahead",
        "full_stop",
        "next step",
        "Replay: to the start of the next step.",
        "replay",
        4,
        replaying,
    ),
    Action(
        "back",
        "comma",
        "previous step",
        "Replay: to the start of the step before.",
        "replay",
        5,
        replaying,
    ),
    Action(
        "live",
        "l,escape",
        "live",
        "Leave what is inspected and follow the run again.",
        "look",
        6,
        inspecting,
    ),
    Action(
        "approve",
        "A",
        "approve",
        "Let the waiting attempt become a version.",
        "control",
        7,
        wants_approval,
    ),
    Action(
        "reject",
        "X",
        "reject",
        "Turn the waiting attempt down, with a reason.",
        "control",
        8,
        wants_approval,
    ),
    Action(
        "start", "R", "go on", "Start the engine and go on with the run.", "control", 9, engine_gone
    ),
    Action(
        "pause",
        "p",
        "pause",
        "Pause after this tool; pressed again, go on.",
        "control",
        10,
        engine_alive,
    ),
    Action(
        "hint",
        "h",
        "hint",
        "Tell the operator something, now or at its next tool.",
        "control",
        12,
        takes_commands,
    ),
    Action(
        "rewind",
        "w",
        "rewind",
        "Make any version the head; what came after becomes a branch.",
        "control",
        14,
        on_version_commanded,
    ),
    Action(
        "edit",
        "e",
        "edit",
        "Edit the kernel in $EDITOR and submit it to the gate.",
        "by hand",
        16,
        on_version_commanded,
    ),
    Action(
        "compare",
        "c",
        "compare",
        "Two versions side by side: source, score, resources.",
        "look",
        18,
        has_versions,
    ),
    Action("log", "O", "whole log", "The compiler's log on the whole screen.", "look"),
    Action("engine_log", "E", "engine's log", "What the engine itself has to say.", "look"),
    Action("transcript", "t", "transcript", "The whole conversation of the step.", "look", 20),
    Action(
        "filter", "slash", "filter", "Filter the lineage, or find text in another pane.", "look", 22
    ),
    Action("zoom", "z", "zoom", "The focused pane alone on the screen, and back.", "look", 24),
    Action("stop", "S", "stop", "End the run, after a confirmation.", "control", 26, engine_alive),
    Action(
        "pause_menu",
        "P",
        "pause how",
        "Pause after this tool, after this step, or now.",
        "control",
        0,
        engine_alive,
    ),
    Action(
        "abort", "x", "abort step", "End this step and go on with the next.", "control", 0, in_step
    ),
    Action(
        "budget", "b", "budget", "Change what the run may spend.", "control", 28, takes_commands
    ),
    Action(
        "supervise",
        "i",
        "intervene",
        "The supervisor: what it did, and trigger, edit or dismiss an intervention.",
        "control",
        0,
        _live,
    ),
    Action(
        "bookmark",
        "m",
        "bookmark",
        "Name a version, to find it again.",
        "by hand",
        0,
        on_version_commanded,
    ),
    Action("note", "N", "note", "Write a note on a version.", "by hand", 0, on_version_commanded),
    Action(
        "remeasure",
        "r",
        "measure again",
        "Measure a version again; the score at the gate is kept.",
        "by hand",
        0,
        on_version_commanded,
    ),
    Action("best", "B", "best", "To the best version.", "lineage"),
    Action("head", "H", "head", "To the head.", "lineage"),
    Action("parent", "u", "parent", "To the parent of what is under the cursor.", "lineage"),
    Action("next_mark", "apostrophe", "next bookmark", "To the next bookmark.", "lineage"),
    Action("mark", "v", "mark", "Mark a version for a comparison.", "lineage"),
    Action(
        "lineage", "L", "lineage", "The lineage on the whole screen, with every detail.", "look", 30
    ),
    Action("memory", "M", "memory", "The agent's notes; they can be edited.", "look", 0),
    Action("knowledge", "K", "knowledge", "Search and read K.", "look", 0),
    Action("digest", "D", "digest", "What happened since you last looked.", "look"),
    Action("next_hit", "n", "next hit", "The next row that was found.", "look"),
    Action("sides", "d", "side by side", "The difference unified, or side by side.", "look"),
    Action("chart_axis", "a", "chart axis", "The chart over versions, or over time.", "look"),
    Action(
        "chart_what",
        "o",
        "chart of",
        "The chart of the aggregate, or of one configuration.",
        "look",
    ),
    Action("copy", "y", "copy", "Copy what the focused pane shows, without gutters.", "look"),
    Action("pane1", "1", "lineage", "To the lineage.", "panes", argument="lineage"),
    Action("pane2", "2", "plan", "To the plan.", "panes", argument="plan"),
    Action("pane3", "3", "diff", "To the difference.", "panes", argument="diff"),
    Action("pane4", "4", "output", "To the output.", "panes", argument="output"),
    Action("pane5", "5", "score", "To the score chart.", "panes", argument="score"),
    Action("leave", "q", "leave", "Leave the screen; the run goes on.", "general", 32),
    *COMMON,
)
