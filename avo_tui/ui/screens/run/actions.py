"""The actions of the run screen, in the order in which the help lists them."""

from __future__ import annotations

from avo_tui.ui.actions import Action
from avo_tui.ui.screens.run import by_hand, control, looking, replaying, travel
from avo_tui.ui.screens.run.parts import RunParts

RUN_ACTIONS: tuple[Action[RunParts], ...] = (
    replaying.PLAY,
    replaying.FASTER,
    replaying.SLOWER,
    replaying.AHEAD,
    replaying.BACK,
    looking.LIVE,
    control.APPROVE,
    control.REJECT,
    control.START,
    control.PAUSE,
    control.HINT,
    control.REWIND,
    by_hand.EDIT,
    travel.COMPARE,
    travel.LOG,
    travel.ENGINE_LOG,
    travel.TRANSCRIPT,
    looking.FILTER,
    looking.ZOOM,
    control.STOP,
    control.PAUSE_MENU,
    control.ABORT,
    control.BUDGET,
    control.SUPERVISE,
    by_hand.BOOKMARK,
    by_hand.NOTE,
    by_hand.REMEASURE,
    looking.BEST,
    looking.HEAD,
    looking.PARENT,
    looking.NEXT_BOOKMARK,
    looking.MARK,
    travel.LINEAGE,
    travel.MEMORY,
    travel.KNOWLEDGE,
    travel.DIGEST,
    looking.NEXT_HIT,
    looking.SIDES,
    looking.CHART_AXIS,
    looking.CHART_WHAT,
    looking.COPY,
    *looking.PANE_ACTIONS,
    travel.LEAVE,
)
