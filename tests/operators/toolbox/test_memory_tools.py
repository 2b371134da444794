"""The tools of the memory: notes written, condensed, named by a version."""

from avo_tui.domain.base import now
from avo_tui.domain.events import (
    NoteRemoved,
    NoteWritten,
)
from avo_tui.domain.records import Note
from avo_tui.operators.toolbox import Toolbox, Workspace
from tests.operators.fake_workbench import FakeWorkbench
from tests.operators.toolbox.calls import bad, ok


async def test_the_memory(box: Toolbox) -> None:
    answer = await ok(box, "remember", category="failed", text="tile 7 spills")
    identity = answer.split()[3].rstrip(";")
    assert "already" in await ok(box, "remember", category="failed", text="tile 7 spills")
    assert "tile 7 spills" in await ok(box, "recall", containing="TILE")
    assert "No notes" in await ok(box, "recall", category="idea")
    for n in range(2):
        await ok(box, "remember", category="fact", text=f"{n}" * 790)
    refusal = await bad(box, "remember", category="fact", text="z" * 700)
    assert "2000 characters" in refusal and "`condense`" in refusal and "790 characters" in refusal
    assert "Forgotten" in await ok(box, "forget", note=identity)
    assert "recall shows the ids" in await bad(box, "forget", note=identity)


async def test_a_full_memory_is_condensed_in_the_middle_of_a_step(
    box: Toolbox, bench: FakeWorkbench
) -> None:
    facts = [f"fact {n}: " + f"{n}" * 600 for n in range(3)]
    for text in facts:
        await ok(box, "remember", category="fact", text=text)
    assert "condense what belongs together" in await ok(
        box, "remember", category="failed", text="tile 7 spills"
    )
    held = bench.reading.notes()
    await bad(box, "remember", category="worked", text="w" * 700)
    assert bench.reading.notes() == held, "a note that does not fit costs no other"
    ids = [n.id for n in held[:3]]
    answer = await ok(box, "condense", notes=ids, category="fact", text="facts 0, 1 and 2: known")
    assert all(identity in answer for identity in ids)
    await ok(box, "remember", category="worked", text="w" * 700)
    assert [n.text[:5] for n in bench.reading.notes()] == ["tile ", "facts", "wwwww"]
    # what was condensed stays on record, and was removed only after the note that stands for it
    changes = [e for e in bench.journal if isinstance(e, NoteWritten | NoteRemoved)]
    assert [type(e) for e in changes[-5:]] == [NoteWritten, *[NoteRemoved] * 3, NoteWritten]
    assert {e.note.text for e in changes if isinstance(e, NoteWritten)} >= set(facts)
    assert Workspace.restore(bench).forgotten == set(ids) == box.workspace.forgotten


async def test_condensing_keeps_to_the_limit_and_to_what_is_there(
    box: Toolbox, bench: FakeWorkbench
) -> None:
    for n in range(2):
        await ok(box, "remember", category="fact", text=f"{n}" * 700)
    first = bench.reading.notes()[0].id
    held = bench.reading.notes()
    assert "Nothing was written" in await bad(
        box, "condense", notes=[first], category="fact", text="x" * 1500
    )
    assert "no note gone" in await bad(
        box, "condense", notes=[first, "gone"], category="fact", text="short"
    )
    assert bench.reading.notes() == held


async def test_notes_of_the_person_stay(box: Toolbox, bench: FakeWorkbench) -> None:
    mine = Note(id="mine", category="fact", text="the machine is shared", at=now(), author="person")
    bench.recording.record(NoteWritten(note=mine))
    assert "the person" in await bad(box, "forget", note="mine")
    assert "the person" in await bad(
        box, "condense", notes=["mine"], category="fact", text="something else"
    )
    assert bench.reading.notes() == [mine]


async def test_a_version_names_the_notes_that_it_was_built_on(
    box: Toolbox, bench: FakeWorkbench
) -> None:
    for text in ("packing K pays 4%", "tile 7 spills", "threads are pinned"):
        await ok(box, "remember", category="fact", text=text)
    pays, spills, _ = bench.reading.notes()
    await ok(box, "replace_text", old="speed = 1.00", new="speed = 1.50")
    await ok(box, "evaluate", title="pack K")
    assert "no note 12345678" in await bad(
        box, "submit", summary="K is packed, which pays", built_on=["12345678"]
    )
    await ok(box, "submit", summary="K is packed, which pays", built_on=[pays.id, f"[{spills.id}]"])
    assert bench.reading.versions()[1].built_on == (pays, spills)
    assert "v1 built on it" in await ok(box, "recall", containing="packing")
    assert "built on it" not in await ok(box, "recall", containing="pinned")
    # what the version owes is kept as it read then, whatever becomes of the note
    await ok(box, "forget", note=pays.id)
    assert "packing K pays 4%" in await ok(box, "read_version", version=1, part="plan")
