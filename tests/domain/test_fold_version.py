"""The number `FOLD` names what the fold makes of a journal: another result, another number."""

import hashlib
import json

from avo_tui.domain import events as ev
from avo_tui.domain.budget import Budget, Caps, Spend
from avo_tui.domain.evidence import Comparison
from avo_tui.domain.records import (
    Audit,
    Direction,
    Hint,
    Intervention,
    Note,
    Occupant,
    Profile,
    Remeasurement,
)
from avo_tui.domain.state import SessionState
from avo_tui.domain.tables import FOLD
from avo_tui.store.database import TABLES, table_of
from tests.session_life import (
    AT,
    attempt,
    gate,
    identity,
    life,
    report,
    score,
    session_record,
    version,
)

DIGESTS = {1: "89599c1c1923da83"}
"""FOLD → digest of what it makes of `HISTORY`. Add a line with each new number."""

HISTORY: tuple[ev.Event, ...] = (
    *life(4),
    ev.StepStarted(step=5, parent=2),
    ev.MessageRecorded(role="request", ref=identity(8), awaits_answer=True),
    ev.AgentText(block="b", text="an answer"),
    ev.SeatTaken(occupant=Occupant(name="an agent", way="mcp", since=AT)),
    ev.SeatLeft(why="it left"),
    ev.ModelStatusChanged(degraded=("cache",), cause="refused"),
    ev.TroubleNoted(where="the model", message="no answer"),
    ev.AttemptStarted(attempt=attempt(5, 1)),
    ev.AttemptFinished(attempt=1, report=report(True, 1.5)),
    ev.CandidateProfiled(
        profile=Profile(
            id="p", candidate=identity(5001), configuration="c0", report=identity(9), step=5, at=AT
        )
    ),
    ev.PairMeasured(
        attempt=1,
        comparison=Comparison(number=1, candidate=identity(5001), against=identity(2), error=0.01),
    ),
    ev.ApprovalRequested(attempt=1, decision=gate()),
    ev.ApprovalGiven(attempt=1, approved=True),
    ev.VersionCommitted(version=version(3, 5, 1, 1.5)),
    ev.VersionRemeasured(number=3, measurement=Remeasurement(at=AT, score=score(1.4))),
    ev.VersionAudited(number=3, audit=Audit(at=AT, outcome="fails", reason="no faster"), head=1),
    ev.VersionAnnotated(number=2, bookmark="good", note="look again"),
    ev.Rewound(origin=1, target=2),
    ev.HintQueued(hint=Hint(id="h", text="TILE_K=32", queued_at=AT)),
    ev.HintClosed(hint="h", state="cleared"),
    ev.BudgetChanged(budget=Budget(run=Caps(evaluations=7))),
    ev.OptionsChanged(options={"agent.effort": "high"}),
    ev.NoteWritten(note=Note(id="n", text="a note", at=AT)),
    ev.SupervisorIntervened(
        intervention=Intervention(
            id="i",
            at=AT,
            step=5,
            level="redirect",
            trigger="8 attempts since the last commit (limit 8)",
            directions=(Direction(text="another layout"),),
        )
    ),
    ev.InterventionChanged(intervention="i", state="dismissed"),
    ev.CommandTaken(id="c", command="pause", summary="pause"),
    ev.Spent(spend=Spend(usd=0.25, requests=1)),
    ev.StepFinished(outcome="committed", version=3),
    ev.EngineStopped(state="stopped", reason="asked to"),
)


def test_every_kind_of_event_that_changes_a_table_is_in_the_history() -> None:
    kinds = {kind for kind in ev.EventBase.__subclasses__() if "apply" in vars(kind)}
    assert kinds and {type(event) for event in HISTORY} >= kinds


def test_the_fold_of_this_number_gives_these_tables() -> None:
    """Where this fails, old sessions get other tables than they have on disk: raise FOLD, so that
    these are made anew, and add the digest."""
    state = SessionState.begin(ev.SessionCreated(seq=1, at=AT, session=session_record()))
    for seq, event in enumerate(HISTORY, 2):
        step = event.step if isinstance(event, ev.StepStarted) else state.session.step
        state.apply(event.model_copy(update={"seq": seq, "at": AT, "step": step}))
    rows = {
        t.name: [record.model_dump(mode="json", exclude_defaults=True) for record in
                 table_of(state, t.name).values()]
        for t in TABLES
    }  # fmt: skip
    rows["session"] = [state.session.model_dump(mode="json", exclude_defaults=True)]
    assert all(rows.values()), "each table has a record"
    text = json.dumps(rows, sort_keys=True)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == DIGESTS[FOLD]
