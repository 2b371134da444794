"""avo doctor NAME: every promise checked, and what can be mended, mended."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from avo_tui.domain import events as ev
from avo_tui.domain.commands import Pause
from avo_tui.store import (
    Finding,
    SessionNotFound,
    SessionReader,
    SessionWriter,
    diagnose,
    doctor,
    known_sessions,
    send_command,
)
from avo_tui.store.database import load_tables, read_tables
from avo_tui.store.doctor import differences
from avo_tui.store.journal_lines import apart
from avo_tui.store.layout import Layout
from avo_tui.store.pages import Extent, PagesFile, read_pages
from tests.session_life import AT, attempt, session_record

LATER = AT + timedelta(days=1)


@pytest.fixture
def sound(folder: Path) -> Path:
    """A session with every object that it speaks of."""
    with SessionWriter.create(folder, session_record()) as writer:
        writer.record(ev.StateChanged(state="running"))
        for step in range(3):
            writer.record(ev.StepStarted(step=step, parent=0))
            identity = writer.put(f"source {step}")
            one = attempt(step, 1).model_copy(update={"candidate": identity})
            writer.record(ev.AttemptStarted(attempt=one))
            ref = writer.put(f"result {step}")
            writer.record(ev.ToolReturned(call="1", tool="t", ok=True, ref=ref))
            writer.record(ev.StepFinished(outcome="nothing"))
        writer.record(ev.EngineStopped(state="stopped"))
    return folder


def bad(found: list[Finding]) -> list[Finding]:
    return [f for f in found if f.level != "ok" and not f.repaired]


def checked(folder: Path, what: str, level: str, part: str) -> Finding:
    (found,) = [f for f in bad(diagnose(folder)) if f.what == what]
    assert found.level == level and part in found.sentence and "\n" not in found.sentence
    return found


def test_a_sound_session_is_found_sound(sound: Path) -> None:
    found = diagnose(sound)
    assert bad(found) == []
    assert {f.what for f in found} == {
        "permissions", "lock", "database", "journal", "replay", "objects",
        "leftovers", "inbox",
    }  # fmt: skip
    assert diagnose(sound, repair=True) == found


def test_looking_changes_nothing(sound: Path) -> None:
    (sound / "session.json").write_bytes(b"x")
    (sound / ".tmp-1-a").write_text("")
    before = {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in sound.rglob("*")}
    assert bad(diagnose(sound))
    assert {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in sound.rglob("*")} == before


def test_a_missing_and_an_altered_object_are_named_with_their_use(sound: Path) -> None:
    reader = SessionReader.open(sound)
    altered = reader.state.attempts[1, 1].candidate
    missing = reader.state.attempts[2, 1].candidate
    reader.objects.path(altered).write_bytes(b"x" * 10)
    reader.objects.path(missing).unlink()
    sentences = [f.sentence for f in bad(diagnose(sound))]
    assert len(sentences) == 2
    assert any(altered[:10] in s and "the source of attempt 1.1" in s for s in sentences)
    assert any(missing[:10] in s and "missing" in s and "attempt 2.1" in s for s in sentences)
    # they cannot be made again; all else stays usable
    assert len(bad(diagnose(sound, repair=True))) == 2
    assert reader.text(reader.state.attempts[0, 1].candidate) == "source 0"


def test_many_lost_objects_are_counted_not_listed(sound: Path) -> None:
    with SessionWriter.open(sound) as writer:
        for number in range(50):
            writer.record(ev.AttemptStarted(attempt=attempt(2, number + 2)))
    found = [f.sentence for f in bad(diagnose(sound))]
    assert len(found) == 11 and "40 more objects are missing" in found[-1]


def test_a_torn_database_is_mended(sound: Path) -> None:
    (sound / "session.json").write_bytes(b'{"session":')
    found = diagnose(sound, repair=True)
    assert any(f.what == "database" and f.repaired for f in found)
    assert bad(found) == []
    assert bad(diagnose(sound)) == []


def test_tables_that_are_not_what_the_journal_gives_are_mended(sound: Path) -> None:
    path = sound / "session.json"
    tables = json.loads(path.read_text())
    tables["steps"]["1"]["outcome"] = "committed"
    path.write_text(json.dumps(tables))
    checked(sound, "replay", "fail", "the table steps differs")
    found = diagnose(sound, repair=True)
    assert bad(found) == []
    assert SessionReader.open(sound).state.steps[1].outcome == "nothing"
    assert (sound / "session.json.damaged").exists()


def test_altered_records_are_mended(lived: Path) -> None:
    """A page that was damaged, and one whose columns say what its records do not."""
    path = lived / "records.pages"
    whole = path.read_bytes()
    state = SessionReader.open(lived).state
    path.write_bytes(whole.replace(b"correct", b"timeout", 1))
    found = diagnose(lived)
    assert any(f.what == "records" and f.level == "fail" for f in found)
    assert SessionReader.open(lived).state == state
    diagnose(lived, repair=True)
    assert [f for f in bad(diagnose(lived)) if f.what != "objects"] == []
    assert SessionReader.open(lived).state == state


def test_a_page_that_contradicts_its_records_is_mended(lived: Path) -> None:
    layout = Layout(lived)
    tables = json.loads(layout.database.read_text())
    stored = load_tables(read_tables(layout.database))
    assert stored.extent is not None
    pages = read_pages(layout.pages, stored.extent)[0]
    page = next(page for page in pages if page.kind.table == "attempts")
    page.masks[0] ^= 1
    layout.pages.unlink()
    file = PagesFile(layout.pages, Extent())
    file.add(pages)
    file.close()
    tables["session"]["1"]["pages"] = file.extent.model_dump()
    layout.database.write_text(json.dumps(tables))
    assert any(f.what == "records" and "other things" in f.sentence for f in diagnose(lived))
    diagnose(lived, repair=True)
    assert [f for f in bad(diagnose(lived)) if f.what != "objects"] == []


def test_tables_are_not_thrown_away_for_a_journal_with_gaps(sound: Path) -> None:
    path = sound / "session.json"
    tables = json.loads(path.read_text())
    tables["steps"]["1"]["outcome"] = "committed"
    path.write_text(json.dumps(tables))
    part = sound / "journal" / "000000.jsonl"
    lines = part.read_bytes().splitlines(keepends=True)
    part.write_bytes(b"".join([*lines[:3], *lines[4:]]))
    found = bad(diagnose(sound, repair=True))
    assert any(f.what == "journal" and "missing before 000000.jsonl goes on" in f.sentence
               for f in found)  # fmt: skip
    assert SessionReader.open(sound).state.steps[1].outcome == "committed"


def test_garbage_in_the_journal_is_found_where_it_is(sound: Path) -> None:
    part = sound / "journal" / "000001.jsonl"
    lines = part.read_bytes().splitlines(keepends=True)
    part.write_bytes(b"".join([lines[0], b"garbage\n", *lines[1:]]))
    checked(sound, "journal", "fail", "000001.jsonl: the line before byte")


def test_leftovers_and_a_torn_tail_are_cleared(sound: Path) -> None:
    for name in (".tmp-1-a", "journal/.tmp-1-b", "inbox/.tmp-1-c", "objects/.tmp-1-d"):
        (sound / name).write_text("x")
    with (sound / "journal" / "000002.jsonl").open("ab") as file:
        file.write(b'{"seq":')
    found = {f.what: f.sentence for f in bad(diagnose(sound))}
    assert "4 temporary files" in found["leftovers"]
    assert "half-written" in found["journal"]
    assert bad(diagnose(sound, repair=True)) == []
    assert not list(sound.rglob(".tmp-*"))


def test_an_open_folder_is_closed(sound: Path) -> None:
    sound.chmod(0o755)
    checked(sound, "permissions", "warn", "755")
    assert bad(diagnose(sound, repair=True)) == []
    assert sound.stat().st_mode & 0o777 == 0o700


def test_a_running_session_is_looked_at_and_left_alone(writer: SessionWriter) -> None:
    writer.record(ev.AgentText(block="b", text="x"))
    found = diagnose(writer.folder)
    assert bad(found) == []
    assert any("holds the session since" in f.sentence for f in found)
    (writer.folder / ".tmp-1-a").write_text("being written")
    assert bad(diagnose(writer.folder)) == []
    writer.folder.chmod(0o755)
    (refused,) = [f for f in diagnose(writer.folder, repair=True) if f.what == "repair"]
    assert "an engine holds the session" in refused.sentence
    assert writer.folder.stat().st_mode & 0o777 == 0o755


def test_an_engine_that_went_without_closing_is_told(
    folder: Path, abandon: Callable[[SessionWriter], None]
) -> None:
    writer = SessionWriter.create(folder, session_record())
    writer.record(ev.StateChanged(state="running"))
    abandon(writer)
    checked(folder, "lock", "warn", "ended without closing")
    assert any("the run was running when its engine went" in f.sentence for f in diagnose(folder))
    assert bad(diagnose(folder, repair=True)) == []


def test_the_inbox_is_looked_at(sound: Path) -> None:
    send_command(sound, Pause())
    (sound / "inbox" / "x.json").write_text("{")
    checked(sound, "inbox", "warn", "inbox/x")
    assert any(f.sentence == "1 command waits in the inbox" for f in diagnose(sound))


def test_what_cannot_be_mended_is_said(sound: Path) -> None:
    (sound / "session.json").write_bytes(b"")
    (sound / "session.json.previous").write_bytes(b"")
    (sound / "journal" / "000000.jsonl").unlink()
    found = bad(diagnose(sound, repair=True))
    assert any(f.what == "repair" and "cannot be read" in f.sentence for f in found)


def test_what_is_no_session_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(SessionNotFound):
        diagnose(tmp_path / "none")


def test_a_hash_in_prose_is_no_object(sound: Path) -> None:
    with SessionWriter.open(sound) as writer:
        writer.record(ev.ToolCalled(call="1", tool="t", arguments={"candidate": "f" * 64}, at=AT))
    assert bad(diagnose(sound)) == []


def test_what_two_engines_wrote_at_once_is_mended(
    lived: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events that are there twice, and lines that are none, go; what they said is kept beside."""
    monkeypatch.setattr(doctor, "NAMED", 100)
    before = SessionReader.open(lived).state
    part = Layout(lived).part(1)
    lines = part.read_text().splitlines()
    twice = [line for first in lines for line in (first, first)]
    part.write_text("\n".join(["nonsense", *twice, '{"seq":9,"kind":"plan_set","items":1}']) + "\n")
    sentences = [f.sentence for f in diagnose(lived) if f.what == "journal"]
    assert any("there twice" in s for s in sentences)
    assert any("not an event: plan_set." in s for s in sentences), sentences
    assert max(map(len, sentences)) < 200
    left = [f for f in diagnose(lived, repair=True) if f.what == "journal" and not f.repaired]
    assert [f.level for f in left] == ["ok"]
    assert part.read_text().splitlines() == lines
    assert not list(differences(SessionReader.open(lived).state, before))
    assert "nonsense" in part.with_suffix(".damaged").read_text()


def _alter(folder: Path, **changes: object) -> None:
    tables = json.loads((folder / "session.json").read_text())
    tables["session"]["1"] |= changes
    (folder / "session.json").write_text(json.dumps(tables))


def test_tables_that_say_too_low_a_number_are_not_counted_on(lived: Path) -> None:
    """No event is applied twice, and what is wrong is said."""
    before = SessionReader.open(lived).state
    assert before.session.spend.evaluations
    for number in (1, before.session.applied // 2, before.session.applied - 1):
        _alter(lived, applied=number)
        reader = SessionReader.open(lived)
        assert not list(differences(reader.state, before))
        assert f"the tables go beyond event {number}" in reader.damage
    found = bad(diagnose(lived, repair=True))
    assert [f for f in found if f.what != "objects"] == []
    assert not list(differences(SessionReader.open(lived).state, before))


def test_tables_of_another_session_are_not_taken(lived: Path, tmp_path: Path) -> None:
    before = SessionReader.open(lived).state
    other = tmp_path / "other"
    with SessionWriter.create(other, session_record().model_copy(update={"created": LATER})) as one:
        for _ in range(before.session.applied + 5):
            one.record(ev.StateChanged(state="running"))
    (lived / "session.json").write_bytes((other / "session.json").read_bytes())
    reader = SessionReader.open(lived)
    assert not list(differences(reader.state, before)) and "avo doctor" in reader.damage
    diagnose(lived, repair=True)
    assert [f for f in bad(diagnose(lived)) if f.what != "objects"] == []


def test_what_a_newer_version_wrote_is_not_mended(sound: Path) -> None:
    _alter(sound, format=99)
    before = (sound / "session.json").read_bytes()
    found = diagnose(sound, repair=True)
    assert any(f.what == "repair" and "newer avo-tui" in f.sentence for f in found)
    assert (sound / "session.json").read_bytes() == before


def test_a_session_stays_known_when_its_first_line_gets_a_checksum(
    sound: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    part = sound / "journal" / "000000.jsonl"
    first, *rest = part.read_bytes().splitlines(keepends=True)
    part.write_bytes(apart(first[:-1])[0] + b"}\nnonsense\n" + b"".join(rest))
    known_sessions.remember(sound)
    diagnose(sound, repair=True)
    assert b"nonsense" not in part.read_bytes() and b'"crc"' in part.read_bytes().splitlines()[0]
    monkeypatch.setattr(known_sessions, "_of_this_process", set())
    assert known_sessions.is_known(sound)


def test_many_damaged_lines_are_counted_not_listed(sound: Path) -> None:
    part = sound / "journal" / "000001.jsonl"
    part.write_text("nonsense\n" * 500 + part.read_text())
    found = [f.sentence for f in bad(diagnose(sound)) if f.what == "journal"]
    assert len(found) == 11 and found[-1] == "and 490 more lines like these"
