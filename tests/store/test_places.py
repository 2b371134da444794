"""Where sessions are, and lists of them."""

from collections.abc import Callable
from pathlib import Path

import pytest

import avo_tui
from avo_tui.domain import events as ev
from avo_tui.store import (
    BadName,
    SeenMarks,
    SessionExists,
    SessionNotFound,
    SessionWriter,
    find_session,
    new_session_folder,
    sessions_roots,
    summaries,
    summary,
)
from tests.session_life import build, life, session_record


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AVO_SESSIONS", str(tmp_path / "sessions"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "sessions"


def test_the_first_root_is_the_persons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AVO_SESSIONS", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    assert sessions_roots()[0] == tmp_path / "data" / "avo-tui" / "sessions"
    (tmp_path / "kernels").mkdir()  # tasks lie there: that says nothing of sessions
    assert sessions_roots()[0] == tmp_path / "data" / "avo-tui" / "sessions"
    (tmp_path / "sessions").mkdir()
    assert sessions_roots()[0] == tmp_path / "sessions"
    (tmp_path / "sessions" / "login.py").touch()  # a folder of something else
    assert sessions_roots()[0] == tmp_path / "data" / "avo-tui" / "sessions"
    monkeypatch.setenv("AVO_SESSIONS", str(tmp_path / "else"))
    assert sessions_roots()[0] == tmp_path / "else"


def test_recordings_that_ship_come_after_it(root: Path) -> None:
    shipped = Path(avo_tui.__file__).parent.parent / "sessions"
    assert sessions_roots()[0] == root
    assert shipped in sessions_roots()[1:]


def test_one_folder_is_one_root(monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = Path(avo_tui.__file__).parent.parent / "sessions"
    monkeypatch.setenv("AVO_SESSIONS", str(shipped / ".." / "sessions"))
    assert len(sessions_roots()) == len({r.resolve() for r in sessions_roots()})


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "/abs", "-x", ".x", "a b", "a\n", "é", "a" * 65, "a\0", "x."]
)
def test_a_bad_name_is_refused(root: Path, name: str) -> None:
    with pytest.raises(BadName, match="letters, digits"):
        new_session_folder(name)
    with pytest.raises(SessionNotFound):
        find_session(name)


def test_a_name_is_free_or_taken(root: Path) -> None:
    folder = new_session_folder("mha-1.2_x")
    assert folder == root / "mha-1.2_x" and not root.exists()
    build(folder, steps=0)
    with pytest.raises(SessionExists, match="choose another name"):
        new_session_folder("mha-1.2_x")


def test_a_session_is_found_by_name_or_path(root: Path) -> None:
    folder = build(root / "attention", steps=0)
    assert find_session("attention") == folder
    assert find_session("./sessions/attention") == folder
    assert find_session(str(folder)) == folder
    with pytest.raises(SessionNotFound, match=r"did you mean attention\b"):
        find_session("atention")
    with pytest.raises(SessionNotFound, match="`avo sessions` lists"):
        find_session("zzz")
    with pytest.raises(SessionNotFound, match="is not a session folder"):
        find_session("./sessions")


def test_where_there_is_none_it_says_how_to_begin(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("avo_tui.store.places.sessions_roots", lambda: [root])
    with pytest.raises(SessionNotFound, match="`avo run TASK` starts one"):
        find_session("x")
    assert summaries() == []


def test_a_list_says_how_each_session_stands(root: Path) -> None:
    build(root / "old", steps=4)
    new = SessionWriter.create(root / "new", session_record("new"))
    broken = root / "broken"
    (broken / "journal").mkdir(parents=True)
    (broken / "session.json").write_text("{")
    (root / "no-session").mkdir()
    (root / "file").write_text("")
    try:
        new.record(ev.StateChanged(state="paused", reason="by ann"))
        found = summaries([root])
        assert [s.name for s in found] == ["new", "old", "broken"]
        one, other, last = found
        assert one.state == "paused" and one.engine.alive and one.state_reason == "by ann"
        assert one.best is None and one.sparkline == () and one.versions == 0
        assert other.state == "lost" and other.error is None
        assert (other.versions, other.attempts, other.step, other.best) == (3, 15, 4, 2)
        assert other.ratio == other.sparkline[-1] and list(other.sparkline) == sorted(
            other.sparkline
        )
        assert other.geomean == pytest.approx(100 * other.ratio) and other.unit == "GFLOP/s"
        assert other.task == "attention_cpu" and other.operator == "tuner"
        assert other.spend.evaluations == 15
        assert last.error is not None and "session.json" in last.error and last.state is None
    finally:
        new.close()


def test_a_list_follows_a_running_session(
    root: Path, abandon: Callable[[SessionWriter], None]
) -> None:
    writer = SessionWriter.create(root / "one", session_record())
    assert summary(root / "one").versions == 0
    for event in life(2):
        writer.record(event)
    seen = summary(root / "one")
    assert (seen.versions, seen.state, seen.step) == (2, "running", 2)
    assert summary(root / "one") == seen
    abandon(writer)
    assert summary(root / "one").state == "lost"


def test_a_list_reads_only_what_changed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(root / "one", steps=2)
    first = summaries([root])

    def no_reading(*_: object) -> None:
        raise AssertionError("read again without a change")

    monkeypatch.setattr("avo_tui.store.listing.SessionReader.open", no_reading)
    monkeypatch.setattr("avo_tui.store.reader.SessionReader.poll", no_reading)
    assert summaries([root]) == first


def test_a_long_sparkline_keeps_its_ends(root: Path) -> None:
    folder = build(root / "long", steps=65, attempts=1, commit_every=1, chatter=0)
    found = summary(folder)
    assert found.versions == 66 and len(found.sparkline) == 60
    assert found.sparkline[-1] == found.ratio and found.sparkline[0] < 0.06


def test_the_first_root_wins_where_two_have_a_name(root: Path, tmp_path: Path) -> None:
    build(root / "one", steps=0)
    build(tmp_path / "other" / "one", steps=1)
    (found,) = summaries([root, tmp_path / "other"])
    assert found.folder == root / "one"


def test_marks_of_what_was_seen(tmp_path: Path) -> None:
    marks = SeenMarks(tmp_path / "state" / "seen.json")
    folder = tmp_path / "one"
    assert marks.get(folder) == 0
    marks.set(folder, 41)
    marks.set(tmp_path / "two", 7)
    again = SeenMarks(tmp_path / "state" / "seen.json")
    assert again.get(folder) == 41 and again.get(tmp_path / "x" / ".." / "two") == 7
    for junk in ("", "[]", "{", '{"a":'):
        (tmp_path / "state" / "seen.json").write_text(junk)
        assert again.get(folder) == 0
    again.set(folder, 42)
    assert again.get(folder) == 42


def test_an_installed_package_brings_its_sessions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site-packages"
    package = site / "avo_tui"
    (package / "data" / "sessions").mkdir(parents=True)
    (package / "__init__.py").touch()
    (site / "sessions").mkdir()  # another package's
    monkeypatch.setattr(avo_tui, "__file__", str(package / "__init__.py"))
    monkeypatch.setenv("AVO_SESSIONS", str(tmp_path / "mine"))
    assert sessions_roots() == [tmp_path / "mine", package / "data" / "sessions"]
