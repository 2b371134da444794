"""Older formats: migrated, with a copy kept. Format 0 is made up here, format 1 is the first."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from avo_tui.domain import events as ev
from avo_tui.store import OlderFormat, SessionReader, SessionWriter, files, format_migration
from avo_tui.store.doctor import diagnose, differences
from avo_tui.store.format_migration import RawEvent, migrate
from avo_tui.store.layout import Layout


def from_0(event: RawEvent) -> RawEvent:
    """In the made-up format 0, prose was called `prose` and had its text in `words`."""
    if event["kind"] == "prose":
        event = {**event, "kind": "agent_text", "text": event["words"]}
        del event["words"]
    return event


@pytest.fixture
def old(lived: Path) -> Path:
    """A session as the made-up format 0 would have written it."""
    for part in (lived / "journal").iterdir():
        lines = []
        for line in part.read_text().splitlines():
            event = json.loads(line)
            if event["kind"] == "session_created":
                event["session"]["format"] = 0
            if event["kind"] == "agent_text":
                event["kind"], event["words"] = "prose", event.pop("text")
            lines.append(json.dumps(event))
        part.write_text("\n".join(lines) + "\n")
    for name in ("session.json", "session.json.previous"):
        path = lived / name
        path.write_text(re.sub('"format":[12]', '"format":0', path.read_text()))
    return lived


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(format_migration.MIGRATIONS, 0, from_0)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and p.name != "engine.lock"
    }


def test_an_older_folder_is_not_read_before_it_is_migrated(old: Path) -> None:
    with pytest.raises(OlderFormat, match=r"format 0.*--repair.*copy"):
        SessionReader.open(old)


def test_a_format_that_nobody_knows_any_more_is_refused_and_left_alone(old: Path) -> None:
    before = contents(old)
    with pytest.raises(OlderFormat, match="cannot migrate"):
        SessionWriter.open(old)
    assert contents(old) == before


@pytest.mark.usefixtures("known")
def test_opening_migrates_and_keeps_a_copy(old: Path) -> None:
    before = contents(old)
    with SessionWriter.open(old) as writer:
        assert any("migrated from format 0 to 1" in note for note in writer.recovered)
        assert writer.state.session.format == 1
        assert len(writer.state.versions) == 2 and len(writer.state.attempts) == 12
    kept = contents(old / "backup-format-0")
    assert kept == {name: before[name] for name in kept}
    assert {"session.json", "journal/000000.jsonl", "records.pages"} <= set(kept)
    reader = SessionReader.open(old)
    assert reader.problems == []
    texts = [e.text for e in reader.events() if isinstance(e, ev.AgentText)]
    assert len(texts) == 24 and texts[0].startswith("text 0")
    assert SessionWriter.open(old).recovered == ()


@pytest.mark.usefixtures("known")
def test_a_migration_that_was_cut_off_is_done_again(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(old)
    real = files.replace_file
    for allowed in range(6):
        left = allowed

        def cut_off(path: Path, data: bytes) -> None:
            nonlocal left
            if left == 0:
                raise KeyboardInterrupt
            left -= 1
            real(path, data)

        with monkeypatch.context() as patch:
            patch.setattr(format_migration, "replace_file", cut_off)
            try:
                migrate(Layout(old))
            except KeyboardInterrupt:
                continue
            break
    else:
        pytest.fail("the migration never came to its end")
    assert allowed == 4, "each of the four parts was the place of a cut"
    kept = contents(old / "backup-format-0")
    assert kept == {name: before[name] for name in kept}
    state = SessionReader.open(old).state
    assert len(state.versions) == 2 and state.session.format == 1


@pytest.mark.usefixtures("known")
def test_the_doctor_migrates_when_asked_to(old: Path) -> None:
    before = contents(old)
    found = diagnose(old)
    assert any("format 0" in f.sentence for f in found if f.level == "fail")
    assert contents(old) == before
    found = diagnose(old, repair=True)
    assert any("format 0" in f.sentence and f.repaired for f in found)
    assert not [f for f in found if f.level == "fail" and not f.repaired and f.what != "objects"]


@pytest.mark.usefixtures("known")
def test_migrating_gives_what_the_journal_gives(old: Path, tmp_path: Path) -> None:
    from tests.session_life import build

    fresh = SessionReader.open(build(tmp_path / "fresh" / "one")).state
    SessionWriter.open(old).close()
    state = SessionReader.open(old).state
    # only the times differ
    assert set(differences(state, fresh)) <= {"session", "steps", "hints"}


def test_a_current_folder_is_not_touched(lived: Path) -> None:
    before = contents(lived)
    assert migrate(Layout(lived)) == []
    assert contents(lived) == before
