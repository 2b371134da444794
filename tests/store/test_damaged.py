"""A damaged session is named, read as far as it is whole, and hides no other."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from avo_tui.domain import events as ev
from avo_tui.store import (
    SessionReader,
    SessionWriter,
    StoreError,
    engine_status,
    find_session,
    summaries,
)
from avo_tui.store.doctor import diagnose
from avo_tui.store.layout import Layout
from tests.session_life import build

Damage = Callable[[Layout], None]


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _rows(layout: Layout, change: Callable[[dict[str, object]], None]) -> None:
    tables = json.loads(layout.database.read_text())
    change(tables)
    layout.database.write_text(json.dumps(tables))


def _odd_lock(path: Path) -> None:
    lock = {"pid": 10**30, "host": "elsewhere", "since": "yesterday"}
    path.write_text(json.dumps(lock))


def _holder(path: Path, pid: int, host: str) -> None:
    path.write_text(json.dumps({"pid": pid, "host": host, "leased": True}))
    os.utime(path, (0, 0))  # no heart beats


def _prefixed(path: Path, text: str) -> None:
    path.write_bytes(text.encode() + path.read_bytes())


def _nested(path: Path) -> None:
    path.write_text("[" * 200_000)


def _odd_pages(tables: dict[str, object]) -> None:
    session = tables["session"]
    assert isinstance(session, dict)
    session["1"]["pages"] = [1, 2]


def _hole(path: Path) -> None:
    """More than any memory holds, and no block of the disk."""
    os.truncate(path, 1 << 40)


def _number(path: Path, number: bytes) -> None:
    line = path.read_bytes().splitlines()[0]
    with path.open("ab") as file:
        file.write(b'{"seq":' + number + line[line.index(b",") :] + b"\n")


DAMAGES: dict[str, Damage] = {
    "session.json has a hole": lambda s: _hole(s.database),
    "records.pages has a hole": lambda s: _hole(s.pages),
    "the lock has a hole": lambda s: _hole(s.lock),
    "a number of the journal has thousands of digits": lambda s: _number(s.part(1), b"9" * 5000),
    "a part is named with other digits": lambda s: os.link(
        s.part(1), s.journal / "\u0660\u0660\u0660\u0660\u0660\u0669.jsonl"
    ),
    "session.json is a pipe": lambda s: _fifo(s.database),
    "session.json is a loop of links": lambda s: _loop(s.database),
    "session.json is a folder": lambda s: _folder(s.database),
    "session.json is nested without end": lambda s: _nested(s.database),
    "a row has a name for a number": lambda s: _rows(
        s, lambda t: t.update(versions={"first": {"number": 0}})
    ),
    "a row's number is Arabic-Indic": lambda s: _rows(s, lambda t: t.update(steps={"٣": {}})),
    "a table is a list": lambda s: _rows(s, lambda t: t.update(hints=[])),
    "a part of the journal is a folder": lambda s: _folder(s.part(1)),
    "a part of the journal is a pipe": lambda s: _fifo(s.part(1)),
    "a part of the journal is a loop": lambda s: _loop(s.part(1)),
    "a line of the journal is nested without end": lambda s: _prefixed(
        s.part(1), "[" * 200_000 + "\n"
    ),
    "records.pages is a pipe": lambda s: _fifo(s.pages),
    "records.pages is a folder": lambda s: _folder(s.pages),
    "records.pages is cut": lambda s: os.truncate(s.pages, s.pages.stat().st_size // 2),
    "records.pages is garbage": lambda s: _prefixed(s.pages, "7 9 12\n{"),
    "session.json promises pages of another kind": lambda s: _rows(s, _odd_pages),
    "the lock is nested without end": lambda s: _nested(s.lock),
    "the lock is a folder": lambda s: _folder(s.lock),
    "the lock is a pipe": lambda s: _fifo(s.lock),
    "the lock names a process that never was": lambda s: _holder(s.lock, -1, socket.gethostname()),
    "the lock names a host of control characters": lambda s: _holder(s.lock, 1, "\x1b]0;x\x07"),
    "a command has a name of control characters": lambda s: (s.inbox / "\x1b[2J.json").mkdir(),
    "the lock names a time that never was": lambda s: _odd_lock(s.lock),
}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("what", DAMAGES)
def test_a_damaged_session_is_one_of_many(what: str, tmp_path: Path) -> None:
    build(tmp_path / "whole")
    hurt = Layout(build(tmp_path / "hurt"))
    DAMAGES[what](hurt)
    listed = {s.name: s for s in summaries([tmp_path])}
    assert set(listed) == {"whole", "hurt"}
    assert listed["whole"].error is None and listed["whole"].versions > 0
    # what is left of it is read: here either the tables or the journal are whole
    assert listed["hurt"].error is None and listed["hurt"].versions > 0
    reader = SessionReader.open(hurt.folder)
    assert (
        reader.state.versions.keys() == SessionReader.open(tmp_path / "whole").state.versions.keys()
    )
    assert not engine_status(hurt.lock).alive
    found = diagnose(hurt.folder)
    assert any(f.level != "ok" for f in found) or "lock" in what
    assert all(f.sentence.isprintable() for f in found)
    with SessionWriter.open(hurt.folder) as writer:
        writer.record(ev.TroubleNoted(where="test", message="goes on"))


@pytest.mark.timeout(240)
def test_a_session_that_cannot_be_read_at_all_is_listed_with_the_reason(tmp_path: Path) -> None:
    build(tmp_path / "whole")
    hurt = Layout(build(tmp_path / "hurt"))
    for path in (hurt.database, hurt.previous):
        path.unlink(missing_ok=True)
        os.mkfifo(path)
    for part in hurt.parts():
        _folder(hurt.part(part))
    listed = {s.name: s for s in summaries([tmp_path])}
    assert listed["whole"].error is None
    assert "cannot be read" in (listed["hurt"].error or "")
    with pytest.raises(StoreError, match=r"session\.json cannot be read: it is not a regular file"):
        SessionReader.open(hurt.folder)


def test_an_exception_that_nobody_thought_of_is_the_session_s_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path / "one")
    build(tmp_path / "two")
    real = SessionReader.open.__func__  # type: ignore[attr-defined]

    def odd(cls: type[SessionReader], folder: Path, *most: int) -> SessionReader:
        if folder.name == "one":
            raise ZeroDivisionError("odd")
        reader: SessionReader = real(cls, folder, *most)
        return reader

    monkeypatch.setattr(SessionReader, "open", classmethod(odd))
    listed = {s.name: s.error for s in summaries([tmp_path])}
    assert listed["two"] is None and "ZeroDivisionError" in (listed["one"] or "")


def test_a_copy_is_called_what_its_folder_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    build(tmp_path / "first")
    shutil.copytree(tmp_path / "first", tmp_path / "second")
    (tmp_path / "second" / "session.json").unlink()
    (tmp_path / "second" / "session.json.previous").unlink(missing_ok=True)
    (tmp_path / "first").rename(tmp_path / "third")
    monkeypatch.setenv("AVO_SESSIONS", str(tmp_path))
    for name in ("second", "third"):
        reader = SessionReader.open(find_session(name))
        assert reader.name == name == reader.state.session.name
        failed = {f.what for f in diagnose(reader.folder) if f.level == "fail"}
        assert failed <= {"database", "objects"}  # these sessions speak of objects they never had


@pytest.mark.parametrize(("most", "bad"), [(1000, ""), (1 << 20, "{}\n" * 300)])
def test_a_journal_that_is_too_long_holds_up_no_list(
    most: int, bad: str, lived: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("avo_tui.store.listing.LONGEST_JOURNAL", most)
    other = build(lived.with_name("other"))
    for name in ("session.json", "session.json.previous"):
        (lived / name).unlink()
    _prefixed(Layout(lived).part(1), bad)
    listed = {one.name: one.error or "" for one in summaries([lived.parent])}
    assert listed.keys() == {"one", "other"}
    assert listed["other"] == "" and "`avo doctor one --repair`" in listed["one"]
    assert SessionReader.open(lived).state.versions  # on its own it is read
    diagnose(lived, repair=True)
    os.utime(lived / "session.json")
    assert not any(one.error for one in summaries([lived.parent]))
    assert SessionReader.open(other).problems == []
