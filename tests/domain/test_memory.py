from datetime import UTC, datetime

import pytest

from avo_tui.domain import memory
from avo_tui.domain.gate_rules import GateDecision
from avo_tui.domain.records import Attempt, Note, NoteCategory, Version
from avo_tui.domain.score import Score

AT = datetime(2026, 1, 1, tzinfo=UTC)


def note(identity: str, text: str = "text") -> Note:
    return Note(id=identity, text=text, at=AT)


def version(number: int, *built_on: Note) -> Version:
    return Version(
        number=number,
        parent=None,
        step=number,
        candidate="0" * 64,
        score=Score(unit="GFLOP/s", reference_baseline="torch", configurations=()),
        gate=GateDecision(gate="strict", accepted=True, reason="better"),
        author="agent",
        created=AT,
        built_on=built_on,
    )


def test_who_owes_what_to_a_note() -> None:
    a, b = note("a"), note("b")
    owing = memory.owing([version(3, a), version(1, b, a), version(2)])
    assert owing == {"a": (1, 3), "b": (1,)}
    assert memory.owed_text(owing["a"]) == "v1, v3 built on it"
    assert memory.owed_text(()) == ""
    assert memory.owed_text(range(10)) == "…, v4, v5, v6, v7, v8, v9 built on it"


def test_ids_are_the_same_for_the_same_words_and_never_taken() -> None:
    first = memory.new_id("fact", "loads are the limit", {})
    assert first == memory.new_id("fact", "loads are the limit", {"other": 1})
    again = memory.new_id("fact", "loads are the limit", {first: 1})
    assert again != first != memory.new_id("idea", "loads are the limit", {})


def test_a_memory_is_crowded_before_it_is_full() -> None:
    notes = [note(str(n), "x" * 100) for n in range(8)]
    assert memory.size(notes) == 800
    assert memory.crowded(800, 1000) and not memory.crowded(700, 1000)


@pytest.mark.parametrize(
    ("category", "text", "doubts"),
    [
        ("failed", "6.17 was wrong", {17}),
        ("failed", "v4, v5, 6.12-6.14 have it too", {12, 13, 14}),
        ("failed", "as 6.12 – 6.13, and 5.20", {12, 13}),
        ("failed", "cost 6.14% and -6.15, in 16.16 s", set()),
        ("worked", "6.17 paid", set()),
    ],
)
def test_a_note_of_a_failure_doubts_the_attempts_that_it_names(
    category: NoteCategory, text: str, doubts: set[int]
) -> None:
    notes = [note("a", text).replaced(category=category)]
    numbers = range(10, 21)
    made = [Attempt(step=6, number=n, parent=0, candidate="0" * 64, at=AT) for n in numbers]
    assert {a.number for a in made if memory.doubt(a, notes)} == doubts
