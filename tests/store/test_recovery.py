"""What survives which fault."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avo_tui.domain import events as ev
from avo_tui.domain.state import SessionState
from avo_tui.store import DamagedSession, NewerFormat, SessionReader, SessionWriter
from avo_tui.store.database import read_tables
from avo_tui.store.doctor import differences
from avo_tui.store.journal_follower import JournalFollower
from avo_tui.store.layout import Layout
from avo_tui.store.loading import load
from tests.session_life import as_an_older_avo_tui_wrote_it, build, life, session_record


def same(one: SessionState, other: SessionState) -> bool:
    return not list(differences(one, other))


@pytest.fixture
def two_generations(folder: Path, abandon: Callable[[SessionWriter], None]) -> SessionState:
    """A session whose engine was killed: both generations lag, each by its own measure."""
    writer = SessionWriter.create(folder, session_record())
    events = list(life(3))
    for i, event in enumerate(events):
        writer.record(event)
        if i in (len(events) // 3, 2 * len(events) // 3):
            writer.flush()
    abandon(writer)
    return writer.state


GARBAGE = {
    "missing": None,
    "empty": b"",
    "torn": b'{"session":{"1":{"name":"one","ta',
    "zeros": b"\0" * 4096,
    "binary": bytes(range(256)) * 10,
    "not tables": b"[1,2,3]",
    "no session": b"{}",
    "odd tables": b'{"session":{"1":{}},"versions":{"1":5}}',
    "bad record": b'{"session":{"1":{"format":1,"name":"one"}}}',
}


@pytest.mark.parametrize("what", sorted(GARBAGE))
@pytest.mark.parametrize("both", [False, True], ids=["current", "both generations"])
def test_a_damaged_database_is_restored(
    folder: Path, two_generations: SessionState, what: str, both: bool
) -> None:
    layout = Layout(folder)
    content = GARBAGE[what]
    for path in (layout.database, layout.previous) if both else (layout.database,):
        path.unlink()
        if content is not None:
            path.write_bytes(content)
    reader = SessionReader.open(folder)
    assert same(reader.state, two_generations)
    assert reader.problems
    with SessionWriter.open(folder) as writer:
        assert same(writer.state, two_generations)
        told = " ".join(writer.recovered)
        assert "session.json" in told
        assert ("built everything from the journal" if both else "session.json.previous") in told
        writer.record(ev.AgentText(block="b", text="on"))
        state = writer.state
    assert same(SessionReader.open(folder).state, state)
    with SessionWriter.open(folder) as again:
        assert again.recovered == ()


def test_the_good_generation_is_not_lost_to_the_damaged_one(
    folder: Path, two_generations: SessionState
) -> None:
    layout = Layout(folder)
    good = layout.previous.read_bytes()
    layout.database.write_bytes(b"\0" * 100)
    SessionWriter.open(folder).close()
    assert layout.previous.read_bytes() == good
    assert (folder / "session.json.damaged").read_bytes() == b"\0" * 100
    json.loads(layout.database.read_bytes())


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest session with a version, a flushed half and an unflushed half."""
    folder = tmp_path_factory.mktemp("small") / "one"
    writer = SessionWriter.create(folder, session_record(configurations=1))
    for i, event in enumerate(life(1, attempts=1, configurations=1, chatter=1)):
        writer.record(event)
        if i == 8:
            writer.flush()
    writer.close()
    return folder


def test_session_json_torn_at_any_byte(small: Path, tmp_path: Path) -> None:
    folder = tmp_path / "one"
    shutil.copytree(small, folder)
    layout = Layout(folder)
    whole = layout.database.read_bytes()
    expected = SessionReader.open(small).state
    layout.database.write_bytes(b"")
    with layout.database.open("r+b") as file:
        # growing the file by one byte at a time visits every way to tear it
        for offset in range(len(whole)):
            torn = offset < len(whole.rstrip())
            if torn:
                with pytest.raises(DamagedSession):
                    read_tables(layout.database)
            if torn and offset % 97 == 0:
                loaded = load(layout)
                assert same(loaded.state, expected), offset
                assert "session.json.previous" in " ".join(loaded.notes)
            file.seek(offset)
            file.write(whole[offset : offset + 1])
            file.flush()
    assert load(layout).notes == []


def test_the_journal_torn_at_any_byte(small: Path, tmp_path: Path) -> None:
    folder, bare = tmp_path / "one", Layout(tmp_path / "bare" / "one")
    shutil.copytree(small, folder)
    layout = Layout(folder)
    layout.pages.unlink(missing_ok=True)
    # the tables as they were when the last part began; `bare` has the journal alone
    shutil.copy(layout.previous, layout.database)
    bare.folder.mkdir(parents=True)
    bare.journal.symlink_to(layout.journal)
    last = layout.part(layout.parts()[-1])
    whole = last.read_bytes()
    everything = list(SessionReader.open(small).events())
    before = [e.seq for e in everything if e.step < layout.parts()[-1]]
    with last.open("r+b") as file:
        file.truncate(0)
        for offset in range(len(whole) + 1):
            expected = before[-1] + whole[:offset].count(b"\n")
            follower = JournalFollower(layout, before[-1], layout.parts()[-1])
            follower.poll(1000)
            assert follower.seq == expected and follower.take_problems() == []
            if offset % 97 == 0:
                for each in (layout, bare):
                    assert load(each).state.session.applied == expected
            file.seek(offset)
            file.write(whole[offset : offset + 1])
            file.flush()
    for each in (layout, bare):
        assert same(load(each).state, SessionReader.open(small).state)


@settings(max_examples=30)
@given(st.data())
def test_the_writer_goes_on_from_any_tear(
    small: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("tear") / "one"
    shutil.copytree(small, folder)
    layout = Layout(folder)
    layout.pages.unlink(missing_ok=True)
    for path in (layout.database, layout.previous):
        choice = data.draw(st.sampled_from(["whole", "torn", "missing"]))
        if choice == "missing":
            path.unlink()
        elif choice == "torn":
            size = data.draw(st.integers(0, path.stat().st_size))
            path.write_bytes(path.read_bytes()[:size])
    last = layout.part(layout.parts()[-1])
    size = data.draw(st.integers(0, last.stat().st_size))
    last.write_bytes(last.read_bytes()[:size] + data.draw(st.sampled_from([b"", b"\0" * 9, b"{"])))
    reader = SessionReader.open(folder)
    with SessionWriter.open(folder) as writer:
        applied = writer.state.session.applied
        assert same(reader.state, writer.state)
        assert writer.record(ev.AgentText(block="b", text="on")).seq == applied + 1
        assert [e.seq for e in reader.poll()] == [applied + 1]
    last_events = [e.seq for e in SessionReader.open(folder).events()]
    assert last_events[-1] == applied + 1
    assert same(SessionReader.open(folder).state, writer.state)


def test_a_torn_tail_is_ignored_by_readers_and_cut_by_the_writer(
    folder: Path, two_generations: SessionState
) -> None:
    last = Layout(folder).part(3)
    whole = last.read_bytes()
    last.write_bytes(whole + b'{"seq":999,"at":"2026-')
    reader = SessionReader.open(folder)
    assert reader.poll() == [] and same(reader.state, two_generations)
    with SessionWriter.open(folder) as writer:
        assert any("cut 22 bytes" in note for note in writer.recovered)
        assert last.read_bytes() == whole
        recorded = writer.record(ev.AgentText(block="b", text="on"))
        assert reader.poll() == [recorded]
    assert not last.with_suffix(".damaged").exists()


@pytest.mark.parametrize("huge", [False, True])
def test_whole_lines_of_garbage_at_the_end_are_kept_aside(
    folder: Path, two_generations: SessionState, huge: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = Layout(folder).part(3)
    whole = last.read_bytes()
    last.write_bytes(whole + b"garbage\n\0\0\n")
    aside, kept = last.with_suffix(".damaged"), b"garbage\n\0\0\n"
    if huge:  # then the part is kept as it was
        monkeypatch.setattr("avo_tui.store.journal_repair.LONGEST_LINE", 5)
        aside, kept = last.with_name(last.name + ".damaged"), last.read_bytes()
    reader = SessionReader.open(folder)
    with SessionWriter.open(folder) as writer:
        recorded = writer.record(ev.AgentText(block="b", text="on"))
        assert reader.poll() == [recorded]
    assert aside.read_bytes() == kept
    assert last.read_bytes().startswith(whole + b'{"seq"')


def test_garbage_in_the_middle_is_named_and_the_rest_stays_usable(
    folder: Path, two_generations: SessionState
) -> None:
    layout = Layout(folder)
    layout.database.unlink()
    layout.previous.unlink()
    middle = layout.part(1)
    lines = middle.read_bytes().splitlines(keepends=True)
    index = next(i for i, line in enumerate(lines) if b'"attempt_finished"' in line)
    seq = json.loads(lines[index])["seq"]
    lines[index] = b"\0" * (len(lines[index]) - 1) + b"\n"
    middle.write_bytes(b"".join(lines))
    reader = SessionReader.open(folder)
    told = " ".join(reader.problems)
    assert "000001.jsonl" in told and f"event {seq} is missing" in told
    assert reader.state.session.applied == two_generations.session.applied
    assert reader.state.versions == two_generations.versions
    changed = [k for k, a in reader.state.attempts.items() if two_generations.attempts[k] != a]
    assert len(changed) == 1 and changed[0][0] == 1


def test_a_missing_part_is_named(folder: Path, two_generations: SessionState) -> None:
    layout = Layout(folder)
    first = json.loads(layout.part(1).read_bytes().splitlines()[0])["seq"]
    after = json.loads(layout.part(2).read_bytes().splitlines()[0])["seq"]
    layout.part(1).unlink()
    # the tables make up for it
    state = SessionReader.open(folder).state
    assert state.versions == two_generations.versions
    assert state.session.applied == two_generations.session.applied
    layout.database.unlink()
    layout.previous.unlink()
    layout.pages.unlink(missing_ok=True)
    reader = SessionReader.open(folder)
    assert f"events {first} to {after - 1} are missing before 000002.jsonl" in " ".join(
        reader.problems
    )
    assert sorted(reader.state.steps) == [0, 2, 3]
    with SessionWriter.open(folder) as writer:
        assert any(f"events {first} to {after - 1}" in note for note in writer.recovered)
        assert writer.record(ev.AgentText(block="b", text="on")).seq == writer.state.session.applied


def test_without_its_beginning_and_tables_a_session_is_damaged_not_empty(lived: Path) -> None:
    layout = Layout(lived)
    layout.part(0).unlink()
    layout.database.write_bytes(b"x")
    layout.previous.unlink()
    for kind in (SessionReader, SessionWriter):
        with pytest.raises(DamagedSession, match=r"session\.json .* journal does not begin"):
            kind.open(lived)


def test_a_lost_journal_does_not_take_the_tables_with_it(lived: Path) -> None:
    state = SessionReader.open(lived).state
    shutil.rmtree(lived / "journal")
    with SessionWriter.open(lived) as writer:
        assert same(writer.state, state)
        assert any("journal" in note for note in writer.recovered)
        assert writer.record(ev.AgentText(block="b", text="on")).seq == state.session.applied + 1
    assert SessionReader.open(lived).state.session.applied == state.session.applied + 1


@pytest.mark.parametrize("lines", ["whole", "gone", "junk"])
def test_an_older_session_is_read_from_its_journal_and_continued(lived: Path, lines: str) -> None:
    state = SessionReader.open(lived).state
    as_an_older_avo_tui_wrote_it(lived)
    path = lived / "attempts.jsonl"
    if lines == "junk":
        path.write_bytes(b"\0\n" * 100)
    elif lines == "gone":
        path.unlink()
    reader = SessionReader.open(lived)
    assert reader.state == state and reader.problems == []
    with SessionWriter.open(lived) as writer:
        assert writer.state == state
        writer.record(ev.AgentText(block="b", text="on"))
    assert SessionReader.open(lived).problems == []
    row = json.loads((lived / "session.json").read_text())["session"]["1"]
    assert "attempts_kept" not in row and row["pages"]["size"] > 0


@pytest.mark.parametrize("how", ["missing", "empty", "garbage", "short", "altered"])
def test_older_records_are_restored_from_the_journal(lived: Path, how: str) -> None:
    state = SessionReader.open(lived).state
    path = lived / "records.pages"
    whole = path.read_bytes()
    middle = len(whole) // 2
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes(
            {
                "empty": b"",
                "garbage": b"\0" * len(whole),
                "short": whole[:-9],
                "altered": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
            }[how]
        )
    reader = SessionReader.open(lived)
    assert reader.state == state
    assert any("records.pages" in problem for problem in reader.problems)
    with SessionWriter.open(lived) as writer:
        assert writer.state == state
        writer.record(ev.AgentText(block="b", text="on"))
    assert SessionReader.open(lived).problems == []
    assert SessionReader.open(lived).state.attempts == state.attempts


def test_sound_pages_are_used_where_the_journal_is_lost_too(lived: Path) -> None:
    state = SessionReader.open(lived).state
    path = lived / "records.pages"
    path.write_bytes(path.read_bytes()[:-9])
    shutil.rmtree(lived / "journal")
    reader = SessionReader.open(lived)
    assert reader.state.versions == state.versions
    assert (
        len(reader.state.attempts) > 0 and reader.state.attempts.items() <= state.attempts.items()
    )
    assert any("journal is damaged too" in problem for problem in reader.problems)


def test_a_newer_format_is_refused_and_left_alone(lived: Path) -> None:
    path = lived / "session.json"
    path.write_text(re.sub('"format":[123]', '"format":4', path.read_text()))
    before = {
        p: p.read_bytes() for p in lived.rglob("*") if p.is_file() and p.name != "engine.lock"
    }
    for kind in (SessionReader, SessionWriter):
        with pytest.raises(NewerFormat, match=r"format 4.*newer avo-tui"):
            kind.open(lived)
    assert {
        p: p.read_bytes() for p in lived.rglob("*") if p.is_file() and p.name != "engine.lock"
    } == before


def test_a_reader_starts_anew_when_the_journal_was_cut(
    folder: Path, abandon: Callable[[SessionWriter], None]
) -> None:
    """What a machine's crash may do to prose that was not yet durable."""
    writer = SessionWriter.create(folder, session_record())
    writer.record(ev.StateChanged(state="running"))
    reader = SessionReader.open(folder)
    size = Layout(folder).part(0).stat().st_size
    writer.record(ev.AgentText(block="b", text="lost"))
    assert len(reader.poll()) == 1
    abandon(writer)
    with Layout(folder).part(0).open("r+b") as file:
        file.truncate(size)
    assert reader.poll() == [] and reader.reloads == 1
    assert reader.state.session.applied == 2
    with SessionWriter.open(folder) as again:
        recorded = again.record(ev.AgentText(block="b", text="instead"))
        assert reader.poll() == [recorded]


def test_temporary_files_of_a_crash_are_removed(lived: Path) -> None:
    for folder in (lived, lived / "journal"):
        (folder / ".tmp-1-abc").write_text("x")
    SessionWriter.open(lived).close()
    assert not list(lived.rglob(".tmp-*"))


def test_a_session_can_be_read_where_nothing_can_be_written(
    lived: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    real = os.open

    def read_only(path: object, flags: int, *rest: int, **named: int) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, flags, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", read_only)
    reader = SessionReader.open(lived)
    assert reader.poll() == [] and reader.problems == []
    assert reader.run_state() in ("lost", "running")


def test_building_a_session_is_what_the_fixtures_say(tmp_path: Path) -> None:
    state = SessionReader.open(build(tmp_path / "x", steps=4)).state
    assert len(state.versions) == 3 and len(state.attempts) == 15
