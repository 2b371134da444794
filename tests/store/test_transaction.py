"""Events that are appended together are all in the journal, or none is."""

import shutil
from pathlib import Path

import pytest

from avo_tui.domain import events as ev
from avo_tui.domain.base import now
from avo_tui.domain.records import Note
from avo_tui.store import SessionReader, SessionWriter, StoreError, diagnose
from tests.session_life import session_record


def note(identity: str) -> ev.NoteWritten:
    return ev.NoteWritten(note=Note(id=identity, text=f"text of {identity}", at=now()))


GROUP = (note("a"), note("b"), ev.CommandTaken(id="c1", command="memory", effect="written"))


def part(folder: Path) -> Path:
    (path,) = (folder / "journal").glob("*.jsonl")
    return path


def held(folder: Path) -> tuple[int, int]:
    """(notes, commands) that a reader sees."""
    state = SessionReader.open(folder).state
    return len(state.memory), len(state.commands)


def test_a_group_cut_at_any_byte_is_none_of_it(tmp_path: Path) -> None:
    with SessionWriter.create(tmp_path / "s", session_record()) as writer:
        writer.record(note("before"))
        alone = part(writer.folder).stat().st_size
        numbered = writer.record_all(GROUP)
        assert {e.group_end for e in numbered} == {numbered[-1].seq}
        whole = part(writer.folder).stat().st_size
        shutil.copytree(writer.folder, tmp_path / "torn")
    for size in range(alone, whole, 23):
        torn = tmp_path / f"torn-{size}"
        shutil.copytree(tmp_path / "torn", torn)
        for table in torn.glob("session.json*"):
            table.unlink()
        with part(torn).open("r+b") as file:
            file.truncate(size)
        assert held(torn) == (1, 0), size
        with SessionWriter.open(torn) as writer:
            assert len(writer.state.memory) == 1
            assert writer.record(note("after")).seq == 3
        assert held(torn) == (2, 0)
        assert all(f.level == "ok" for f in diagnose(torn) if f.what == "journal")
        shutil.rmtree(torn)


def test_a_reader_that_follows_sees_a_group_as_one(tmp_path: Path) -> None:
    with SessionWriter.create(tmp_path / "s", session_record()) as writer:
        path, reader = part(writer.folder), SessionReader.open(writer.folder)
        before = path.stat().st_size
        writer.record_all(GROUP)
        data = path.read_bytes()
        lines = data[before:].splitlines(keepends=True)
        path.write_bytes(data[:before] + b"".join(lines[:-1]))
        assert reader.poll() == []
        path.write_bytes(data)
        assert [e.kind for e in reader.poll()] == [e.kind for e in GROUP]


def test_one_event_that_cannot_be_recorded_keeps_all_out(tmp_path: Path) -> None:
    with SessionWriter.create(tmp_path / "s", session_record()) as writer:
        size = part(writer.folder).stat().st_size
        with pytest.raises(StoreError):
            writer.record_all((note("a"), ev.VersionAnnotated(number=7)))
        assert not writer.state.memory and part(writer.folder).stat().st_size == size
