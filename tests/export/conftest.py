from collections.abc import Iterator
from pathlib import Path

import pytest

from avo_tui.domain import events as ev
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.records import Attempt, Direction, Intervention, Note, Remeasurement, Version
from avo_tui.store import SessionReader, SessionWriter
from tests.session_life import AT, gate, score, session_record

HOSTILE = '<script>alert("x")</script> & \x1b[31m\u202e"quoted" \x00 é'

SOURCES = {
    0: {"kernel.cpp": "int tile = 1;\n", "more/notes.h": "// no newline at the end"},
    1: {"kernel.cpp": "int tile = 2;\r\nint second = 1;\n"},
    2: {"kernel.cpp": f"int tile = 3; // {HOSTILE}\n"},
    3: {"kernel.cpp": "int tile = 4;\n", "README.md": "of the kernel\n", "score.json": "{}"},
    4: {"kernel.cpp": "int tile = 5;\n"},
}
PARENTS = {0: None, 1: 0, 2: 1, 3: 1, 4: 3}
RATIOS = {0: 0.2, 1: 0.4, 2: 0.9, 3: 0.5, 4: 0.6}
NOTE = Note(id="n1", category="worked", text=f"tile 3 pays {HOSTILE}", at=AT)


def life(writer: SessionWriter) -> Iterator[ev.Event]:
    """Five versions; v2 is the best and was left by a rewind; v4 is the head."""
    yield ev.NoteWritten(note=NOTE)
    for number, files in SOURCES.items():
        candidate = Candidate(files=files)
        identity = writer.put(candidate.canonical())
        parent = PARENTS[number]
        if number == 3:
            yield ev.Rewound(origin=2, target=1, reason="the tile is a dead end")
        yield ev.StepStarted(step=number, parent=parent or 0)
        for attempt in (1, 2):
            yield ev.AttemptStarted(
                attempt=Attempt(
                    step=number,
                    number=attempt,
                    parent=parent or 0,
                    candidate=identity,
                    title="a try",
                    at=AT,
                )
            )
        yield ev.VersionCommitted(
            version=Version(
                number=number,
                parent=parent,
                step=number,
                attempt=2,
                candidate=identity,
                score=score(RATIOS[number]),
                gate=gate(),
                plan=f"Plan {number}\n- [x] {HOSTILE}",
                summary=f"Summary {number}: {HOSTILE}\nand more",
                author="agent" if number else "seed",
                device="a CPU",
                created=AT.replace(minute=number),
                built_on=(NOTE,) if number == 2 else (),
            )
        )
        yield ev.StepFinished(outcome="committed")
    yield ev.VersionAnnotated(number=2, bookmark="dead end", note=f"note {HOSTILE}")
    again = Remeasurement(at=AT, score=score(0.88))
    yield ev.VersionRemeasured(number=2, measurement=again)
    yield ev.SupervisorIntervened(
        intervention=Intervention(
            id="i1",
            at=AT,
            step=4,
            level="redirect",
            trigger="8 attempts without a commit",
            review=f"found {HOSTILE}",
            directions=(Direction(text=HOSTILE),),
        )
    )


@pytest.fixture
def reader(tmp_path: Path) -> SessionReader:
    folder = tmp_path / "sessions" / "one"
    folder.parent.mkdir()
    with SessionWriter.create(folder, session_record("one")) as writer:
        for event in life(writer):
            writer.record(event)
    return SessionReader.open(folder)


@pytest.fixture
def empty(tmp_path: Path) -> SessionReader:
    folder = tmp_path / "empty"
    SessionWriter.create(folder, session_record("empty")).close()
    return SessionReader.open(folder)
