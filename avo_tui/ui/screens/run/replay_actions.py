"""Actions of a replay: play, speed, jumps."""

from __future__ import annotations

from collections.abc import Callable

from avo_tui.ui.actions import Action
from avo_tui.ui.screen import replaying
from avo_tui.ui.screens.run.parts import RunParts
from avo_tui.ui.session.replay import ReplaySource


def _does(change: Callable[[ReplaySource], None]) -> Callable[[RunParts], None]:
    def run_it(run: RunParts) -> None:
        feed = run.host.session.feed
        if feed is not None and isinstance(feed.source, ReplaySource):
            change(feed.source)
            feed.wake()

    return run_it


def _play_label(run: RunParts) -> str:
    replay = None if run.snapshot is None else run.snapshot.replay
    if replay is None:
        return "play / stop"
    return "stop" if replay.playing else "play"


PLAY = Action(
    "play",
    "space",
    "play / stop",
    "Replay: play or stand still.",
    "replay",
    run=_does(ReplaySource.toggle),
    why_not=replaying,
    footer=1,
    label_now=_play_label,
)
FASTER = Action(
    "faster",
    "right_square_bracket",
    "faster",
    "Replay: twice as fast.",
    "replay",
    run=_does(ReplaySource.faster),
    why_not=replaying,
    footer=2,
)
SLOWER = Action(
    "slower",
    "left_square_bracket",
    "slower",
    "Replay: half as fast.",
    "replay",
    run=_does(ReplaySource.slower),
    why_not=replaying,
    footer=3,
)
AHEAD = Action(
    "ahead",
    "full_stop",
    "next step",
    "Replay: to the start of the next step.",
    "replay",
    run=_does(ReplaySource.next_step),
    why_not=replaying,
    footer=4,
)
BACK = Action(
    "back",
    "comma",
    "previous step",
    "Replay: to the start of the step before.",
    "replay",
    run=_does(ReplaySource.previous_step),
    why_not=replaying,
    footer=5,
)
