"""Which sessions a person made or agreed to, and that a note is no key to another folder."""

import shutil
from pathlib import Path

import pytest

from avo_tui.domain import events as ev
from avo_tui.store import SessionWriter, StoreError, known_sessions
from tests.session_life import session_record


@pytest.fixture(autouse=True)
def own_notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Notes of this test alone."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(known_sessions, "_of_this_process", set())
    return tmp_path / "state"


def in_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_sessions, "_of_this_process", set())


def new_session(folder: Path) -> Path:
    SessionWriter.create(folder, session_record(folder.name)).close()
    return folder


def test_a_note_holds_for_other_processes_and_while_the_session_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = new_session(tmp_path / "one")
    assert not known_sessions.is_known(folder)
    with pytest.raises(known_sessions.NotTrusted, match="avo session trust"):
        known_sessions.require_known(folder)
    known_sessions.remember(folder)
    in_another_process(monkeypatch)
    with SessionWriter.open(folder) as writer:
        writer.record(ev.StateChanged(state="running"))
        writer.record(ev.OptionsChanged(options={"allow_weak_sandbox": True}))
    known_sessions.require_known(folder)


def test_a_copy_and_another_session_in_its_place_are_asked_about_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = new_session(tmp_path / "one")
    known_sessions.remember(folder)
    in_another_process(monkeypatch)
    shutil.copytree(folder, tmp_path / "copy")
    assert not known_sessions.is_known(tmp_path / "copy")
    shutil.rmtree(folder)
    new_session(folder)
    assert not known_sessions.is_known(folder)


def test_a_link_is_known_as_what_it_leads_to(tmp_path: Path) -> None:
    folder = new_session(tmp_path / "one")
    known_sessions.remember(folder)
    (tmp_path / "link").symlink_to(folder)
    assert known_sessions.is_known(tmp_path / "link")
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to(new_session(tmp_path / "two"))
    assert not known_sessions.is_known(tmp_path / "link")


def test_without_a_place_for_notes_a_new_session_is_known_here_only(
    tmp_path: Path, own_notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_notes.write_text("no folder")
    folder = new_session(tmp_path / "one")
    known_sessions.remember_own(folder)
    assert known_sessions.is_known(folder)
    in_another_process(monkeypatch)
    assert not known_sessions.is_known(folder)
    with pytest.raises(StoreError):
        known_sessions.remember(folder)


def test_a_journal_that_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    import os

    folder = new_session(tmp_path / "one")
    part = folder / "journal" / "000000.jsonl"
    part.unlink()
    os.mkfifo(part)
    assert not known_sessions.is_known(folder)
