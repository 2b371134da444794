"""Conditions of actions: each returns None if the action can run, or a sentence why not."""

from __future__ import annotations

from typing import Protocol

from avo_tui.domain.records import LIVE_STATES
from avo_tui.ui.actions import Reason
from avo_tui.ui.host import ONLY_LOOKS, Host
from avo_tui.ui.session.feed import Snapshot


class OnSession(Protocol):
    """The object a condition checks: a screen, or the parts of one."""

    @property
    def snapshot(self) -> Snapshot | None: ...
    @property
    def host(self) -> Host: ...


def changeable(on: OnSession) -> Reason:
    """Requires a session that is not a replay."""
    if on.snapshot is None:
        return "the session is still being read"
    if on.host.read_only:
        return ONLY_LOOKS
    if on.snapshot.replay is not None:
        return "this is a replay: nothing can be changed in it"
    return None


def engine_alive(on: OnSession) -> Reason:
    """Requires a running engine, which accepts commands."""
    snapshot, reason = on.snapshot, changeable(on)
    if snapshot is None or reason is not None:
        return reason
    state = snapshot.run_state
    if state == "lost":
        if on.host.services.start_engine is None:
            return "the engine is not there: avo run --resume starts it again"
        return "the engine is not there: R starts it again"
    if state not in LIVE_STATES:
        return f"the run is {state}: R goes on with it"
    return None


def takes_commands(on: OnSession) -> Reason:
    """Requires an engine; for a run that has ended, a short-lived one can be started."""
    snapshot, reason = on.snapshot, changeable(on)
    if snapshot is None or reason is not None:
        return reason
    ended = snapshot.run_state not in {*LIVE_STATES, "lost"}
    if ended and on.host.services.take_inbox is not None:
        return None
    return engine_alive(on)


def engine_gone(on: OnSession) -> Reason:
    """Requires a session without an engine, and a way to start one."""
    snapshot, reason = on.snapshot, changeable(on)
    if snapshot is None or reason is not None:
        return reason
    if snapshot.run_state in LIVE_STATES:
        return "the engine is running"
    if on.host.services.start_engine is None:
        return "this app was started without an engine: use avo run --resume"
    return None


def in_step(on: OnSession) -> Reason:
    """Requires a running step."""
    snapshot, reason = on.snapshot, engine_alive(on)
    if snapshot is None or reason is not None:
        return reason
    return None if snapshot.live.ended is None else "no step is running just now"


def wants_approval(on: OnSession) -> Reason:
    """Requires an attempt that waits for approval."""
    snapshot, reason = on.snapshot, engine_alive(on)
    if snapshot is None or reason is not None:
        return reason
    return None if snapshot.pending_approval is not None else "nothing waits for approval"


def two_versions(on: OnSession) -> Reason:
    """Requires two versions to compare."""
    if on.snapshot is None or len(on.snapshot.versions) < 2:
        return "there are not two versions yet"
    return None


def replaying(on: OnSession) -> Reason:
    """Requires a replay."""
    if on.snapshot is not None and on.snapshot.replay is not None:
        return None
    return "this is not a replay"
