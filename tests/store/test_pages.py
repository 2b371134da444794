"""Packed records are the records: every field, every rule, every screen gives the same."""

import copy
import json
import os
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
from avo_tui.store.doctor import diagnose, differences
from avo_tui.store.layout import Layout
from avo_tui.store.loading import fold_journal
from avo_tui.store.pages import Extent, pack
from avo_tui.store.stored_records import KINDS, Page, whole
from avo_tui.ui.panes.graph import GraphLayout, GraphRow
from tests.session_life import AT, life, lives, session_record, version


def folded(events: list[ev.Event], packed: bool) -> SessionState:
    state = SessionState.begin(ev.SessionCreated(seq=1, at=AT, session=session_record()))
    for seq, event in enumerate(events, 2):
        state.apply(event.model_copy(update={"seq": seq}))
        if packed:
            pack(state)
    return state


def drawn(state: SessionState) -> list[GraphRow]:
    layout = GraphLayout()
    layout.update(state.versions, state.attempts, state.session.head)
    return layout.drawn


def values(record: Value) -> dict[str, Any]:
    """Every field and property of a record."""
    kind = next(kind for kind in KINDS.values() if isinstance(record, kind.record))
    names = {name for name, it in vars(kind.record).items() if isinstance(it, property)}
    return {name: getattr(record, name) for name in {*kind.record.model_fields, *names}}


@settings(max_examples=12, deadline=None)
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
    assert drawn(packed) == drawn(whole)
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
    while follower.poll():  # ends: nobody writes any more
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
    journal = fold_journal(Layout(lived))
    for record in stored:
        kind = next(kind for kind in KINDS.values() if isinstance(record, kind.record))
        key = tuple(getattr(record, name) for name in kind.key)
        twin = getattr(journal, kind.table)[key if len(key) > 1 else key[0]]
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
    header = page.header.model_dump_json().encode()
    again = Page.read(header, page.blob)
    assert whole(again, 0) == state.versions[0]
    for blob in (b"", page.blob[:-3], page.blob[:20]):
        (_, record), *_ = Page.read(header, blob).records()
        with pytest.raises(DamagedSession, match="versions"):
            record.model_dump()
    shorter = header.replace(b'"masks":[', b'"masks":[0,')
    with pytest.raises(ValueError, match="length"):
        Page.read(shorter, page.blob)


def test_a_page_says_on_disk_what_it_says_in_memory() -> None:
    """Pairs, numbers that no array holds, and none of either."""
    versions, attempts = KINDS["versions"], KINDS["attempts"]
    plain = version(1, 1, 1, 1.5)
    some = [plain, plain.replaced(timed_against=(0, 1.25))]
    huge = [Attempt(step=1, number=n, parent=2**70, candidate="1" * 64, at=AT) for n in (1, 2)]
    for kind, records in ((versions, some), (attempts, huge)):
        page = Page.of(kind, records)
        again = Page.read(page.header.model_dump_json().encode(), page.blob)
        assert again.header == page.header
        assert [record for _, record in again.records()] == records


def test_a_page_from_before_a_record_got_a_field_is_read_as_it_was() -> None:
    whole = [version(n, 1, 1, 1.5).replaced(bookmark="mine") for n in (1, 2)]
    page = Page.of(KINDS["versions"], whole)
    header = page.header.model_copy(update={"masks": [m >> 1 for m in page.masks], "fields": ()})
    again = Page.read(header.model_dump_json().encode(), page.blob)
    for (_, record), expected in zip(again.records(), whole, strict=True):
        assert [getattr(record, n) for n in Version.model_fields] == [
            getattr(expected, n) for n in Version.model_fields
        ]


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("attempts", "at", 10**18),
        ("attempts", "at", -(10**18)),
        ("attempts", "step", "1"),
        ("attempts", "step", 1.5),
        ("attempts", "step", None),
        ("attempts", "aggregate", "fast"),
        ("attempts", "aggregate", [1]),
        ("attempts", "verdict", "splendid"),
        ("attempts", "verdict", []),
        ("attempts", "version", "v1"),
        ("attempts", "undecided", 1),
        ("versions", "parent", "0"),
        ("versions", "ratios", [1.0]),
        ("versions", "ratios", {"c0": "1"}),
        ("versions", "holds", None),
        ("versions", "timed_against", [0]),
        ("versions", "timed_against", ["0", 1.0]),
        ("steps", "ended", "today"),
        ("steps", "ended", 2**70),
        ("steps", "outcome", "won"),
        ("steps", "attempts", None),
        ("steps", "seconds", "1"),
    ],
)
def test_a_column_of_other_values_is_no_page(table: str, column: str, value: object) -> None:
    """Said when the file is read, where the journal can help, and not when a screen looks."""
    state = folded(list(life(3)), False)
    page = Page.of(KINDS[table], list(getattr(state, table).values()))
    header = json.loads(page.header.model_dump_json())
    header["columns"][column][0] = value
    with pytest.raises((ValueError, TypeError)):
        Page.read(json.dumps(header).encode(), page.blob)


@pytest.mark.parametrize("masks", [None, [], "0", [-1], [1 << 40], ["0"], [True], [0.0]])
def test_masks_of_other_values_are_no_page(masks: object) -> None:
    state = folded(list(life(3)), False)
    page = Page.of(KINDS["versions"], list(state.versions.values())[:1])
    header = json.loads(page.header.model_dump_json()) | {"masks": masks}
    with pytest.raises((ValueError, TypeError)):
        Page.read(json.dumps(header).encode(), page.blob)


def test_a_candidate_that_is_no_hash_is_no_page() -> None:
    state = folded(list(life(3)), False)
    page = Page.of(KINDS["versions"], list(state.versions.values())[:1])
    for other in ("g" * 64, "é" * 64, "A" * 64, ["0"] * 64):
        header = json.loads(page.header.model_dump_json())
        header["columns"]["candidate"] = other
        with pytest.raises((ValueError, TypeError)):
            Page.read(json.dumps(header).encode(), page.blob)


def _framed(layout: Layout, frames: bytes) -> None:
    """Put `frames` into records.pages, with their right size and checksum in session.json."""
    tables = json.loads(layout.database.read_text())
    tables["session"]["1"]["pages"] = Extent().and_then(frames).model_dump()
    layout.database.write_text(json.dumps(tables))
    layout.pages.write_bytes(frames)


@pytest.mark.parametrize("how", ["longer", "shorter", "negative", "one line", "columns"])
def test_pages_with_a_right_checksum_and_other_lengths(how: str, lived: Path) -> None:
    layout = Layout(lived)
    before = SessionReader.open(lived).state
    first, rest = layout.pages.read_bytes().split(b"\n", 1)
    checksum, header, blob = map(int, first.split())
    _framed(
        layout,
        {
            "longer": b"%d %d %d\n" % (checksum, header, 10**9),
            "shorter": b"%d %d %d\n" % (checksum, header, 5),
            "negative": b"%d %d %d\n" % (checksum, -header, blob),
            "one line": b"%d %d %d" % (checksum, header, blob),
            "columns": first + b"\n" + rest[:header].replace(b'"step":[0', b'"step":[""') + b"\n",
        }[how]
        + (b"" if how == "columns" else rest),
    )
    reader = SessionReader.open(lived)
    assert reader.state == before and "journal" in reader.problems[0]


@pytest.mark.parametrize("value", [None, [], "", {"size": -1}])
def test_session_json_that_does_not_say_which_pages_are_its(value: object, lived: Path) -> None:
    layout = Layout(lived)
    before = SessionReader.open(lived).state
    tables = json.loads(layout.database.read_text())
    if value == "":
        del tables["session"]["1"]["pages"]
    else:
        tables["session"]["1"]["pages"] = value
    layout.database.write_text(json.dumps(tables))
    reader = SessionReader.open(lived)
    assert reader.state.attempts == before.attempts and reader.problems
    assert any(f.level == "fail" for f in diagnose(lived))
    diagnose(lived, repair=True)
    assert SessionReader.open(lived).problems == []
    assert SessionReader.open(lived).state.attempts == before.attempts


def test_what_is_sound_of_tables_pages_and_journal_is_put_together(lived: Path) -> None:
    """The pages are cut and a part of the journal is gone: nothing that one of them has is lost."""
    layout = Layout(lived)
    before = SessionReader.open(lived).state
    layout.part(1).unlink()
    os.truncate(layout.pages, layout.pages.stat().st_size - 3)
    reader = SessionReader.open(lived)
    assert "the journal is damaged too" in reader.problems[0]
    for name in KINDS:
        mine, whole = getattr(reader.state, name), getattr(before, name)
        assert list(mine) == [key for key in whole if key in mine]
        assert all(mine[key] == whole[key] for key in mine)
        in_pages = [key for key in whole if key not in whole.whole]
        assert {*in_pages[:-2], *whole.whole} <= set(mine)
        assert {k for k in whole if (k if isinstance(k, int) else k[0]) > 1} <= set(mine)


def test_a_copied_table_is_a_table_of_its_own() -> None:
    table: RecordTable[int, str] = RecordTable({1: "a"})
    for twin in (copy.copy(table), copy.deepcopy(table), pickle.loads(pickle.dumps(table))):
        twin[2] = "b"
        twin.pack([(1, "packed")])
        assert table == {1: "a"} and list(table.whole) == [1]
        assert twin == {1: "packed", 2: "b"} and list(twin.whole) == [2]


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
