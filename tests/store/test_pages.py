"""Packed records are the records: every field, every rule, every screen gives the same."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avo_tui.domain import events as ev
from avo_tui.domain import lineage
from avo_tui.domain.attempts import ORDERS, attempt_matches, ordered
from avo_tui.domain.base import Value
from avo_tui.domain.progress import TryCounter, progress
from avo_tui.domain.records import Attempt, Version
from avo_tui.domain.stall_rules import stall
from avo_tui.domain.state import SessionState
from avo_tui.domain.tables import RecordTable
from avo_tui.store import DamagedSession, SessionReader, SessionWriter
from avo_tui.store.doctor import differences
from avo_tui.store.layout import Layout
from avo_tui.store.loading import fold_journal
from avo_tui.store.pages import pack
from avo_tui.store.stored_records import KINDS, Page
from avo_tui.ui.panes.lineage.graph_layout import rows
from tests.session_life import AT, lives, session_record, version


def folded(events: list[ev.Event], packed: bool) -> SessionState:
    state = SessionState.begin(ev.SessionCreated(seq=1, at=AT, session=session_record()))
    for seq, event in enumerate(events, 2):
        state.apply(event.model_copy(update={"seq": seq}))
        if packed:
            pack(state)
    return state


def values(record: Value) -> dict[str, Any]:
    """Every field and property of a record."""
    kind = next(kind for kind in KINDS.values() if isinstance(record, kind.record))
    names = {name for name, it in vars(kind.record).items() if isinstance(it, property)}
    return {name: getattr(record, name) for name in {*kind.record.model_fields, *names}}


@settings(max_examples=25, deadline=None)
@given(lives(60))
def test_any_history_packed_is_the_same(events: list[ev.Event]) -> None:
    whole, packed = folded(events, False), folded(events, True)
    assert not list(differences(packed, whole)) and packed == whole
    for name in KINDS:
        mine, theirs = getattr(packed, name), getattr(whole, name)
        assert list(mine) == list(theirs)
        assert len(mine) - len(mine.whole) == len([r for r in mine.values() if _stored(r)])
        for key, record in mine.items():
            assert values(record) == values(theirs[key])
    for state in (whole, packed):
        assert state.best == lineage.best(whole.versions.values())
    course = [v.number for v in lineage.best_so_far(packed.versions.values())]
    assert course == [v.number for v in lineage.best_so_far(whole.versions.values())]
    assert progress(packed, "running") == progress(whole, "running")
    assert stall(packed) == stall(whole)
    assert rows(packed.versions, packed.attempts.values()) == rows(
        whole.versions, whole.attempts.values()
    )
    for order in ORDERS:
        assert ordered(packed.attempts.values(), order, 3) == ordered(
            whole.attempts.values(), order, 3
        )
    for text in ("", "rejected", "noise", "failed 1", "tile 2"):
        assert [k for k, a in packed.attempts.items() if attempt_matches(a, text, 3)] == [
            k for k, a in whole.attempts.items() if attempt_matches(a, text, 3)
        ]


def _stored(record: Value) -> bool:
    return type(record) in {kind.stored for kind in KINDS.values()}


@settings(max_examples=25, deadline=None)
@given(lives(60), st.data())
def test_a_count_that_goes_on_is_the_count_from_the_start(
    events: list[ev.Event], data: st.DataObject
) -> None:
    state = folded([], True)
    counter = TryCounter()
    for seq, event in enumerate(events, 2):
        state.apply(event.model_copy(update={"seq": seq}))
        pack(state)
        best = data.draw(st.sampled_from([None, state.best]))
        assert counter.since(state.attempts, best) == TryCounter().since(state.attempts, best)


@settings(max_examples=10, deadline=None)
@given(events=lives(60), cut=st.integers(0, 60))
def test_pages_on_disk_are_continued(
    events: list[ev.Event], cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("any") / "one"
    writer = SessionWriter.create(folder, session_record())
    follower = SessionReader.open(folder)
    for number, event in enumerate(events):
        writer.record(event)
        if number == cut:
            writer.flush()
            writer.close()
            writer = SessionWriter.open(folder)
    writer.close()
    while follower.poll():
        pass
    reader, journal = SessionReader.open(folder), fold_journal(Layout(folder))
    for state in (reader.state, follower.state, SessionWriter.open(folder).state):
        assert not list(differences(state, journal))
        for name in KINDS:
            assert list(getattr(state, name)) == list(getattr(journal, name))
    assert reader.problems == []


def test_a_stored_record_is_a_value_like_any_other(lived: Path) -> None:
    class Holder(Value):
        version: Version

    state = SessionReader.open(lived).state
    stored = [r for name in KINDS for r in getattr(state, name).values() if _stored(r)]
    assert len(stored) > 8
    whole = fold_journal(Layout(lived))
    for record in stored:
        kind = next(kind for kind in KINDS.values() if isinstance(record, kind.record))
        twin = getattr(whole, kind.table)[kind.key_of(record)]
        assert record == twin and twin == record
        assert repr(record) == repr(twin) and record.model_dump() == twin.model_dump()
        assert record.model_dump_json() == twin.model_dump_json()
        assert pickle.loads(pickle.dumps(record)) == copy.deepcopy(record) == copy.copy(record)
        changed = record.replaced(step=99) if kind.table != "steps" else record.replaced(parent=99)
        assert not _stored(changed) and changed != record
        if isinstance(record, Version) and isinstance(twin, Version):
            assert (
                Holder(version=record).model_dump_json() == Holder(version=twin).model_dump_json()
            )


def test_a_damaged_page_is_an_error_of_the_session(lived: Path) -> None:
    state = SessionReader.open(lived).state
    page = Page.of(KINDS["versions"], list(state.versions.values()))
    again = Page.read(page.header(), page.blob)
    assert again.whole(0) == state.versions[0]
    for blob in (b"", page.blob[:-3], page.blob[:20]):
        (_, record), *_ = Page.read(page.header(), blob).records()
        with pytest.raises(DamagedSession, match="versions"):
            record.model_dump()
    shorter = page.header().replace(b'"masks":[', b'"masks":[0,')
    with pytest.raises(ValueError, match="lengths"):
        Page.read(shorter, page.blob)


def test_a_page_says_on_disk_what_it_says_in_memory() -> None:
    """Pairs, numbers that no array holds, and none of either."""
    versions, attempts = KINDS["versions"], KINDS["attempts"]
    plain = version(1, 1, 1, 1.5)
    some = [plain, plain.replaced(timed_against=(0, 1.25))]
    huge = [Attempt(step=1, number=n, parent=2**70, candidate="1" * 64, at=AT) for n in (1, 2)]
    for kind, records in ((versions, some), (attempts, huge)):
        page = Page.of(kind, records)
        again = Page.read(page.header(), page.blob)
        assert (again.columns, again.masks) == (page.columns, page.masks)
        assert [record for _, record in again.records()] == records


def test_a_table_knows_what_changed_since_a_copy_of_it() -> None:
    table: RecordTable[int, str] = RecordTable({1: "a"})
    first = table.copy()
    assert table.changed_since(first) == []
    table[2] = "b"
    second = table.copy()
    table[1] = "c"
    assert table.changed_since(first) == [2, 1] and table.changed_since(second) == [1]
    assert second.changed_since(first) == [2]
    assert first == {1: "a"} and second == {1: "a", 2: "b"}
    assert first.changed_since(second) is None, "it is older"
    assert table.changed_since({}) is None and table.changed_since(RecordTable({1: "a"})) is None
    second[3] = "d"
    assert second.changed_since(first) is None and table.changed_since(first) == [2, 1]
    table.pack([(1, "packed")])
    assert table.changed_since(second) is None and list(table.whole) == [2]
