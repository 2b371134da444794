"""What the digest counts."""

from __future__ import annotations

from avo_tui.domain import events as ev
from avo_tui.domain.attempts import was_rejected
from avo_tui.ui.screens.run.digest import Span, current_alerts
from tests.ui.make_session import MemorySource


def test_what_failed_counts_as_rejected_like_what_the_gate_turned_down() -> None:
    source = MemorySource(steps=12)
    told = current_alerts(source.journal, Span("since the start"))
    rejected = [a for a in source.state.attempts.values() if was_rejected(a)]
    verdicts = {a.verdict for a in rejected}
    assert len(verdicts) > 1, "the session has failures and rejections of the gate"
    assert len(told.rejected) == len(rejected)
    assert told.attempts == sum(isinstance(e, ev.AttemptFinished) for e in source.journal)
