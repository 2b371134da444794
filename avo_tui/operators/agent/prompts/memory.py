"""The memory as the agent reads it: in the opening of a step, and when the person changes it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence

from avo_tui.domain import memory
from avo_tui.domain.records import Note
from avo_tui.operators.agent.prompts import material
from avo_tui.operators.ports import Workbench

TITLES = {
    "worked": "What worked",
    "failed": "What failed",
    "fact": "Facts",
    "idea": "Open ideas",
}


def memory_text(bench: Workbench, limit: int) -> str:
    """The notes as the opening shows them, and a word where there is little room left."""
    notes = bench.reading.notes()
    held = memory.size(notes)
    text = notes_text(notes, limit, memory.owing(bench.reading.versions()))
    if memory.crowded(held, bench.reading.memory_limit):
        text += (
            f"\n\nThe memory holds {held} of {bench.reading.memory_limit} characters. Make room in"
            " this step, before it is needed: `condense` notes that belong together, `forget` those"
            " that no longer help. Notes that versions were built on have shown their worth."
        )
    return text


def notes_text(
    notes: Sequence[Note], limit: int, owing: Mapping[str, Sequence[int]] | None = None
) -> str:
    """The notes by category, newest first within each; whole notes, the
    person's and the newest as far as they fit.

    `owing` names the versions that were built on a note.
    """
    if not notes:
        return "Empty so far."
    shown = _newest(notes, limit)
    parts: list[str] = []
    for category, title in TITLES.items():
        chosen = [n for n in shown if n.category == category]
        if chosen:
            parts.append(f"{title}:")
            parts.extend(_line(n, (owing or {}).get(n.id, ())) for n in reversed(chosen))
    if len(shown) < len(notes):
        parts.append(f"({len(notes) - len(shown)} other notes: recall)")
    return "\n".join(parts)


def _newest(notes: Sequence[Note], limit: int) -> list[Note]:
    """As many notes as fit, in their order: the person's before others, then the newest."""
    room, kept = limit, set[str]()
    persons = [note for note in notes if note.author == "person"]
    others = [note for note in notes if note.author != "person"]
    for note in (*reversed(persons), *reversed(others)):
        room -= len(note.text)
        if room < 0:
            break
        kept.add(note.id)
    return [note for note in notes if note.id in kept]


def _line(note: Note, versions: Sequence[int]) -> str:
    about: list[str] = [] if note.author == "agent" else [note.author]
    if owed := memory.owed_text(versions):
        about.append(owed)
    return f"- [{note.id}] {note.text}" + (f" ({'; '.join(about)})" if about else "")


def note_key(note: Note) -> str:
    """Changes with what the note says, so that the agent is told of an edit."""
    digest = hashlib.sha256(f"{note.category}:{note.text}".encode()).hexdigest()[:12]
    return f"note:{note.id}:{digest}"


def persons_changes(
    notes: Sequence[Note], told: Collection[str], own: Collection[str]
) -> tuple[str, list[str]]:
    """(what the person did to the memory since the agent was told, keys of it); "" for nothing.

    `told` are the keys of what the agent knows, `own` the notes it removed itself.
    """
    here = {note.id for note in notes}
    known = {key.split(":")[1] for key in told if key.startswith("note:")}
    gone = sorted(known - here - set(own) - {k.split(":")[1] for k in told if k.endswith(":gone")})
    written = [n for n in notes if n.author == "person" and note_key(n) not in told]
    lines = [
        f"- {'changed' if n.id in known else 'added'} [{n.id}] {n.category}: {n.text}"
        for n in written
    ]
    lines += [f"- removed [{identity}]: no longer go by it" for identity in gone]
    if not lines:
        return "", []
    body = material("\n".join(lines))
    text = f"<operator_message>\nThe person edited the memory:\n{body}\n</operator_message>"
    return text, [*(note_key(n) for n in written), *(f"note:{g}:gone" for g in gone)]
