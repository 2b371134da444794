"""A session that is written and read."""

import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings

from avo_tui.domain import events as ev
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.commands import Pause
from avo_tui.domain.records import Note
from avo_tui.domain.report import EvaluationReport
from avo_tui.domain.verdict import Feedback, Verdict
from avo_tui.store import (
    SessionExists,
    SessionNotFound,
    SessionReader,
    SessionWriter,
    StoreError,
)
from avo_tui.store.database import read_tables
from avo_tui.store.doctor import differences
from avo_tui.store.layout import Layout
from avo_tui.store.loading import fold_journal
from tests.session_life import AT, attempt, identity, life, lives, session_record, version


def modes(folder: Path) -> dict[str, int]:
    found = {".": stat.S_IMODE(folder.stat().st_mode)}
    for path in folder.rglob("*"):
        found[str(path.relative_to(folder))] = stat.S_IMODE(path.stat().st_mode)
    return found


def test_events_are_numbered_without_gaps_and_carry_their_step(writer: SessionWriter) -> None:
    recorded = [writer.record(event) for event in life(2)]
    assert [e.seq for e in recorded] == list(range(2, len(recorded) + 2))
    assert all(e.at.utcoffset() is not None for e in recorded)
    step = 0
    for event in recorded:
        step = event.step if isinstance(event, ev.StepStarted) else step
        assert event.step == step
    assert writer.state.session.applied == recorded[-1].seq
    assert sorted(p.name for p in (writer.folder / "journal").iterdir()) == [
        "000000.jsonl",
        "000001.jsonl",
        "000002.jsonl",
    ]


def test_a_reader_sees_what_the_writer_recorded(writer: SessionWriter) -> None:
    reader = SessionReader.open(writer.folder)
    recorded = []
    seen: list[ev.Event] = []
    for event in life(3):
        recorded.append(writer.record(event))
        if len(recorded) % 3 == 0:
            seen += reader.poll(limit=2)
    while events := reader.poll(limit=7):  # ends: a record has an end
        assert len(events) <= 7
        seen += events
    assert seen == recorded
    assert reader.state == writer.state
    assert not reader.problems
    assert (
        list(reader.events()) == [*SessionReader.open(writer.folder).events(step=0)][:1] + recorded
    )


def test_a_session_opens_as_it_was_closed(lived: Path) -> None:
    reader = SessionReader.open(lived)
    assert reader.state.session.applied > 50
    with SessionWriter.open(lived) as again:
        assert again.recovered == ()
        assert again.state == reader.state
        assert list(again.state.attempts) == list(reader.state.attempts)
        assert list(again.state.hints) == list(reader.state.hints)
        recorded = again.record(ev.AgentText(block="b", text="on"))
        assert recorded.seq == reader.state.session.applied + 1


@settings(max_examples=30)
@given(events=lives())
def test_any_life_is_the_same_after_reopening(
    events: list[ev.Event], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("any") / "one"
    writer = SessionWriter.create(folder, session_record())
    half = len(events) // 2
    for event in events[:half]:
        writer.record(event)
    writer.flush()
    writer.close()
    writer = SessionWriter.open(folder)
    for event in events[half:]:
        writer.record(event)
    state = writer.state
    writer.close()
    reader = SessionReader.open(folder)
    assert not list(differences(reader.state, state))
    assert not list(differences(fold_journal(Layout(folder)), state))
    for name in ("hints", "memory", "versions", "attempts", "commands", "supervision"):
        assert list(getattr(reader.state, name)) == list(getattr(state, name))


def test_the_tables_are_tinydb_tables(lived: Path) -> None:
    from tinydb import TinyDB, where

    with TinyDB(lived / "session.json", access_mode="r") as database:
        assert database.tables() >= {"session", "versions", "steps", "hints", "attempts"}
        found = database.table("versions").search(where("number") == 1)
        assert found[0]["plan"] == "Tile the keys."
        assert len(database.table("steps")) == 2, "the older ones are in records.pages"
        assert database.table("attempts").all()[-1]["step"] == 3


def test_everything_is_private(writer: SessionWriter) -> None:
    old = os.umask(0)
    try:
        for event in life(2):
            writer.record(event)
        writer.put("secret")
        writer.flush()
        SessionReader.open(writer.folder).send(Pause())
    finally:
        os.umask(old)
    for name, mode in modes(writer.folder).items():
        assert mode & 0o077 == 0, name
    assert modes(writer.folder)["."] == 0o700


def test_a_name_that_is_taken_is_refused_and_untouched(lived: Path) -> None:
    before = {p: p.read_bytes() for p in lived.rglob("*") if p.is_file()}
    with pytest.raises(SessionExists, match="choose another name"):
        SessionWriter.create(lived, session_record())
    assert {p: p.read_bytes() for p in lived.rglob("*") if p.is_file()} == before


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError) as caught:
        SessionWriter.create(tmp_path / "file" / "one", session_record())
    assert "\n" not in str(caught.value) and "file/one" in str(caught.value)


@pytest.mark.parametrize("kind", [SessionWriter, SessionReader])
def test_what_is_no_session_is_not_found(
    tmp_path: Path, kind: type[SessionWriter | SessionReader]
) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(SessionNotFound):
            kind.open(path)
    assert list(tmp_path.iterdir()) == []


def test_an_event_that_cannot_be_folded_is_refused_and_not_written(writer: SessionWriter) -> None:
    for event in life(1):
        writer.record(event)
    before = list(SessionReader.open(writer.folder).events())
    for bad in (
        ev.Rewound(origin=0, target=99),
        ev.StepFinished(step=99, outcome="nothing"),
        ev.VersionCommitted(version=version(0, 0, 1, 0.5)),
    ):
        with pytest.raises(StoreError, match=f"cannot record {bad.kind}"):
            writer.record(bad)
    assert list(SessionReader.open(writer.folder).events()) == before
    assert writer.record(ev.AgentText(block="b", text="on")).seq == len(before) + 1


def test_a_step_that_is_given_is_kept_zero_included(writer: SessionWriter) -> None:
    for event in life(2):
        writer.record(event)
    assert writer.record(ev.AgentText(block="b", text="x", step=0)).step == 0
    assert writer.record(ev.AgentText(block="b", text="x")).step == 2


def test_hostile_text_is_kept_verbatim(writer: SessionWriter) -> None:
    hostile = "\x1b]0;pwned\x07 [bold red]x[/] \x00 \u202e \r\n\u2028 \N{PILE OF POO} </script>"
    writer.record(ev.AgentText(block="b", text=hostile))
    writer.record(ev.ToolCalled(call="1", tool=hostile, arguments={hostile: [hostile, None]}))
    events = SessionReader.open(writer.folder).poll() or list(
        SessionReader.open(writer.folder).events(after=1)
    )
    assert isinstance(events[0], ev.AgentText) and events[0].text == hostile
    assert isinstance(events[1], ev.ToolCalled) and events[1].arguments == {
        hostile: [hostile, None]
    }
    for line in (writer.folder / "journal" / "000000.jsonl").read_bytes().splitlines():
        assert b"\x1b" not in line and b"\x00" not in line


def test_half_a_surrogate_pair_does_not_stop_the_record(writer: SessionWriter) -> None:
    event = writer.record(ev.ToolCalled(call="1", tool="t", arguments={"a": "x\ud800y"}))
    assert event.seq == 2
    read = list(SessionReader.open(writer.folder).events(after=1))
    assert isinstance(read[0], ev.ToolCalled) and read[0].arguments == {"a": "x?y"}
    assert writer.get(writer.put("x\ud800y"))


def test_a_candidate_and_a_report_come_back(writer: SessionWriter) -> None:
    candidate = Candidate(files={"kernel.cpp": "int main() {}\r\n\u2028é"})
    assert writer.put(candidate.canonical()) == candidate.id
    report = EvaluationReport(
        task="t",
        candidate=candidate.id,
        verdict=Verdict.CRASH,
        feedback=Feedback(summary="SIGSEGV"),
    )
    ref = writer.put(report.model_dump_json())
    reader = SessionReader.open(writer.folder)
    assert reader.candidate(candidate.id) == candidate
    assert reader.text(candidate.id) == candidate.canonical().decode()
    one = attempt(0, 1)
    assert reader.report(one) is None
    assert reader.report(one.model_copy(update={"report": ref})) == report
    with pytest.raises(KeyError):
        reader.candidate(identity(5))


def test_the_tables_follow_by_themselves(writer: SessionWriter) -> None:
    for event in life(1):
        writer.record(event)
    reached = threading.Event()

    def wait() -> None:
        while not reached.wait(0.02):  # ends: with the process
            tables = read_tables(writer.folder / "session.json")
            if tables["session"]["1"]["applied"] == writer.state.session.applied:
                reached.set()

    watcher = threading.Thread(target=wait, daemon=True)
    watcher.start()
    assert reached.wait(120), "session.json was not brought up to date in the background"
    watcher.join()


def test_the_run_is_lost_when_its_engine_is(
    folder: Path, abandon: Callable[[SessionWriter], None]
) -> None:
    writer = SessionWriter.create(folder, session_record())
    reader = SessionReader.open(folder)
    writer.record(ev.StateChanged(state="running"))
    reader.poll()
    assert reader.run_state() == "running"
    assert reader.engine().alive and reader.engine().pid == os.getpid()
    abandon(writer)
    assert reader.run_state() == "lost"
    assert not reader.engine().alive and reader.engine().pid == os.getpid()
    with SessionWriter.open(folder) as again:
        assert any("ended without closing" in note for note in again.recovered)
        again.record(ev.EngineStopped(state="stopped"))
    reader.poll()
    assert reader.run_state() == "stopped"


def test_an_idle_poll_reads_nothing(lived: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = SessionReader.open(lived)
    reader.poll()

    def no_reading(*_: object, **__: object) -> None:
        raise AssertionError("an idle poll opened a file")

    monkeypatch.setattr(Path, "open", no_reading)
    monkeypatch.setattr("builtins.open", no_reading)
    for _ in range(3):
        assert reader.poll() == []


def test_events_can_be_asked_for_by_step_and_number(lived: Path) -> None:
    reader = SessionReader.open(lived)
    everything = list(reader.events())
    assert [e.seq for e in everything] == list(range(1, len(everything) + 1))
    for step in range(4):
        assert list(reader.events(step)) == [e for e in everything if e.step == step]
    for after in (0, 1, 5, len(everything) // 2, len(everything) - 1, len(everything), 10**6):
        assert list(reader.events(after=after)) == everything[after:]
    assert list(reader.events(99)) == []


def test_closing_twice_is_once(writer: SessionWriter) -> None:
    writer.close()
    writer.close()
    SessionWriter.open(writer.folder).close()


def test_a_note_that_was_taken_out_and_put_in_again_keeps_its_new_place(
    writer: SessionWriter,
) -> None:
    def note(name: str) -> ev.NoteWritten:
        return ev.NoteWritten(note=Note(id=name, text=name, at=AT))

    for name in "abc":
        writer.record(note(name))
    writer.flush()
    for event in (ev.NoteRemoved(note="a"), note("a"), note("d"), ev.NoteRemoved(note="b")):
        writer.record(event)
    writer.flush()
    assert list(SessionReader.open(writer.folder).state.memory) == ["c", "a", "d"]
    writer.close()
    with SessionWriter.open(writer.folder) as again:
        again.record(ev.NoteRemoved(note="c"))
        again.record(note("c"))
    assert list(SessionReader.open(writer.folder).state.memory) == ["a", "d", "c"]
