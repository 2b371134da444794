"""The fold over the events: what every screen, replay and recovery relies on."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avo_tui.domain import events as ev
from avo_tui.domain.budget import Spend
from avo_tui.domain.records import Hint
from avo_tui.domain.state import SessionState
from tests.session_life import AT, attempt, gate, life, lives, session_record, version


def numbered(events: list[ev.Event]) -> list[ev.Event]:
    """As the writer numbers them, SessionCreated first."""
    result: list[ev.Event] = [ev.SessionCreated(seq=1, at=AT, session=session_record())]
    step = 0
    for event in events:
        if isinstance(event, ev.StepStarted):
            step = event.step
        seq = len(result) + 1
        result.append(event.model_copy(update={"seq": seq, "step": step, "at": AT}))
    return result


def folded(events: list[ev.Event]) -> SessionState:
    first = events[0]
    assert isinstance(first, ev.SessionCreated)
    state = SessionState.begin(first)
    for event in events[1:]:
        state.apply(event)
    return state


@settings(max_examples=50)
@given(lives())
def test_replaying_again_changes_nothing(events: list[ev.Event]) -> None:
    journal = numbered(events)
    state = folded(journal)
    before = copy.deepcopy(state)
    for event in journal[1:]:
        state.apply(event)
    assert state == before
    assert state.session.applied == len(journal)


@settings(max_examples=50)
@given(lives(), st.data())
def test_any_prefix_and_the_rest_give_the_whole(
    events: list[ev.Event], data: st.DataObject
) -> None:
    journal = numbered(events)
    cut = data.draw(st.integers(1, len(journal)))
    overlap = data.draw(st.integers(1, cut))
    state = folded(journal[:cut])
    for event in journal[overlap:]:
        state.apply(event)
    assert state == folded(journal)


@settings(max_examples=50)
@given(lives())
def test_events_survive_json(events: list[ev.Event]) -> None:
    journal = numbered(events)
    read = [ev.parse_event(event.model_dump_json()) for event in journal]
    assert read == journal
    assert folded(read) == folded(journal)


@settings(max_examples=50)
@given(lives())
def test_check_changes_nothing_and_agrees_with_apply(events: list[ev.Event]) -> None:
    journal = numbered(events)
    state = folded(journal[:1])
    for event in journal[1:]:
        before = copy.copy(state.__dict__) | {
            k: dict(v) for k, v in state.__dict__.items() if isinstance(v, dict)
        }
        state.trial().admit(event)
        assert state.__dict__ == before
        state.apply(event)


@settings(max_examples=50)
@given(lives())
def test_the_lineage_only_grows_and_spend_is_additive(events: list[ev.Event]) -> None:
    journal = numbered(events)
    state = folded(journal[:1])
    known: set[int] = set()
    for event in journal[1:]:
        state.apply(event)
        assert known <= set(state.versions)
        known = set(state.versions)
        assert state.session.head is None or state.session.head in state.versions
    spent = sum((e.spend for e in journal if isinstance(e, ev.Spent)), Spend())
    assert state.session.spend.usd == pytest.approx(spent.usd)
    assert state.session.spend.requests == spent.requests
    assert state.session.spend.steps == sum(isinstance(e, ev.StepFinished) for e in journal)


def test_a_whole_life_folds_into_its_tables() -> None:
    state = folded(numbered(list(life(4, attempts=3, commit_every=2))))
    assert sorted(state.versions) == [0, 1, 2]
    assert state.session.head == 2
    assert {s.outcome for s in state.steps.values()} == {"committed", "nothing"}
    assert [state.steps[n].attempts for n in range(5)] == [3] * 5
    assert [state.steps[n].version for n in range(5)] == [0, None, 1, None, 2]
    assert len(state.attempts) == 15
    assert state.attempts[2, 3].version == 1
    assert state.attempts[2, 2].reason == "wrong at c1"
    assert state.attempts[2, 2].stage == "check"
    assert state.session.spend.evaluations == 15
    assert state.hints["h1"].state == "delivered"
    assert state.hints["h1"].where == "step 1"
    assert state.current_step is None
    assert set(state.memory) == {"n4"}
    assert state.best is not None and state.best.number == 2


@pytest.mark.parametrize(
    "event",
    [
        ev.StepFinished(step=7, outcome="nothing"),
        ev.Rewound(origin=0, target=9),
        ev.HintDelivered(hint="none", where=""),
        ev.HintClosed(hint="none", state="cleared"),
        ev.VersionAnnotated(number=5),
        ev.InterventionChanged(intervention="none", state="done"),
        ev.VersionCommitted(version=version(3, 0, 1, 0.5)),
    ],
    ids=lambda event: event.kind,
)
def test_check_refuses_what_is_not_there(event: ev.Event) -> None:
    state = folded(numbered([]))
    before = copy.deepcopy(state)
    with pytest.raises(KeyError):
        state.trial().admit(event)
    assert state == before


def test_check_refuses_a_version_that_would_replace_one() -> None:
    state = folded(numbered(list(life(0))))
    with pytest.raises(ValueError, match="v0 is in the lineage already"):
        state.trial().admit(ev.VersionCommitted(version=version(0, 0, 1, 0.9)))


@settings(max_examples=50)
@given(lives(), st.sampled_from(["version", "hint", "step"]))
def test_an_event_that_cannot_be_folded_changes_nothing(events: list[ev.Event], what: str) -> None:
    """So a reader of a broken journal can skip it and still be right about all else."""
    state = folded(numbered(events))
    before = copy.deepcopy(state)
    bad: dict[str, ev.Event] = {
        "version": ev.Rewound(origin=0, target=999),
        "hint": ev.HintDelivered(hint="none", where=""),
        "step": ev.StepFinished(step=999, outcome="nothing"),
    }
    event = bad[what].model_copy(update={"seq": state.session.applied + 1})
    with pytest.raises(KeyError):
        state.apply(event)
    assert state == before
    state.skip(event)
    assert state.session.applied == event.seq


def test_an_unknown_event_is_counted_and_changes_nothing_else() -> None:
    state = folded(numbered(list(life(1))))
    before = copy.deepcopy(state)
    seq = state.session.applied + 1
    line = f'{{"seq":{seq},"at":"2026-01-02T03:04:05Z","step":1,"kind":"from_the_future","x":[1]}}'
    event = ev.parse_event(line)
    assert isinstance(event, ev.Unrecognised)
    assert event.kind == "from_the_future"
    state.apply(event)
    assert state.session.applied == seq
    assert state.versions == before.versions and state.attempts == before.attempts


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[]", b"null", b'{"kind":"spent"}', b'{"seq":1}', b"\xff\xfe"]
)
def test_a_line_that_is_no_event_is_a_value_error(line: bytes) -> None:
    with pytest.raises(ValueError):
        ev.parse_event(line)


def test_a_hint_for_the_step_expires_with_it() -> None:
    events: list[ev.Event] = [ev.StepStarted(step=0, parent=0)]
    for scope in ("once", "step", "until_cleared"):
        hint = Hint(id=scope, text="x", queued_at=AT, scope=scope)
        events += [ev.HintQueued(hint=hint), ev.HintDelivered(hint=scope, where="w")]
    queued = Hint(id="queued", text="x", queued_at=AT, scope="step")
    events += [ev.HintQueued(hint=queued), ev.StepFinished(outcome="nothing")]
    state = folded(numbered(events))
    assert {h.id: h.state for h in state.hints.values()} == {
        "once": "delivered",
        "step": "expired",
        "until_cleared": "delivered",
        "queued": "queued",
    }
    assert [h.id for h in state.live_hints] == ["until_cleared", "queued"]


def test_a_rejection_or_an_answer_ends_the_wait_for_approval() -> None:
    asked: list[ev.Event] = [
        ev.StepStarted(step=0, parent=0),
        ev.AttemptStarted(attempt=attempt(0, 1)),
        ev.ApprovalRequested(attempt=1, decision=gate()),
    ]
    assert folded(numbered(asked)).pending_approval == (1, gate())
    for answer in (
        ev.ApprovalGiven(attempt=1, approved=True),
        ev.AttemptRejected(attempt=1, reason="no"),
        ev.StepFinished(outcome="aborted"),
    ):
        assert folded(numbered([*asked, answer])).pending_approval is None
