"""What stands in place of a file of the session: nothing blocks, nothing outside is changed."""

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from avo_tui.domain import events as ev
from avo_tui.evolution.process import open_private
from avo_tui.store import SessionReader, SessionWriter, StoreError, diagnose
from avo_tui.store.layout import Layout

PRECIOUS = b"not part of the session\n" * 20

FILES = (
    "session.json.previous",
    "records.pages",
    "engine.lock",
    "engine.lease",
    "engine.log",
    "reserve",
    "progress.jsonl",
    "devices.jsonl",
    "workers.json",
)


def _socket(path: Path, _outside: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(path.parent)  # the name of a socket has at most 107 characters
        try:
            listening.bind(path.name)
        finally:
            os.chdir(here)


def _full_folder(path: Path, _outside: Path) -> None:
    path.mkdir()
    (path / "x").write_text("x")


KINDS: dict[str, Callable[[Path, Path], None]] = {
    "a pipe": lambda path, _: os.mkfifo(path),
    "a folder": _full_folder,
    "a socket": _socket,
    "a link to another file": lambda path, outside: path.symlink_to(outside),
    "a link to nothing": lambda path, outside: path.symlink_to(outside.with_name("nothing")),
    "a loop of links": lambda path, _: path.symlink_to(path),
    "a link to a device": lambda path, _: path.symlink_to("/dev/full"),
}


def _removed(path: Path) -> Path:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    return path


def _goes_on(folder: Path, seq: int) -> None:
    """A writer opens the session, uses everything and closes it; a reader sees what it wrote."""
    with open_private(folder / "engine.log") as output:
        output.write(b"started")
    with SessionWriter.open(folder) as writer:
        writer.record(ev.PlanSet(title="on"))
        writer.put(b"an object")
        writer.heartbeat()
        writer.flush()
    assert SessionReader.open(folder).state.session.applied == seq + 1


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    path = tmp_path / "outside"
    path.write_bytes(PRECIOUS)
    return path


@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", KINDS)
def test_the_place_of_every_file(kind: str, lived: Path, outside: Path) -> None:
    before = SessionReader.open(lived).state
    for name in FILES:
        KINDS[kind](_removed(lived / name), outside)
    for name in ("inbox", "objects"):
        if kind != "a folder":
            KINDS[kind](_removed(lived / name), outside)
    assert SessionReader.open(lived).state == before
    named = {f.sentence.split(" is ")[0] for f in diagnose(lived) if f.what == "files"}
    assert named == {*FILES, "inbox", "objects"} - (
        {"inbox", "objects"} if kind == "a folder" else set()
    ) - ({"records.pages"} if kind == "a link to another file" else set())
    _goes_on(lived, before.session.applied)
    assert outside.read_bytes() == PRECIOUS and not outside.with_name("nothing").exists()
    assert os.path.lexists(lived / "engine.lock.damaged")
    assert {f.what for f in diagnose(lived) if f.level != "ok"} <= {"objects"}


def test_pages_behind_a_link_are_copied(lived: Path, tmp_path: Path) -> None:
    """A file that was moved to another disk is used, and left as it is."""
    before, pages = SessionReader.open(lived).state, lived / "records.pages"
    moved = tmp_path / "moved"
    moved.write_bytes(pages.read_bytes() + b"the next session's")
    content = moved.read_bytes()
    pages.unlink()
    pages.symlink_to(moved)
    _goes_on(lived, before.session.applied)
    assert moved.read_bytes() == content
    assert not pages.is_symlink() and pages.stat().st_size < len(content)
    assert SessionReader.open(lived).problems == []


@pytest.mark.parametrize("kind", ["a pipe", "a folder", "a loop of links", "a link to a device"])
@pytest.mark.parametrize("part", [1, 3])
def test_the_place_of_a_part_of_the_journal(
    kind: str, part: int, lived: Path, outside: Path
) -> None:
    before = SessionReader.open(lived).state
    KINDS[kind](_removed(Layout(lived).part(part)), outside)
    assert SessionReader.open(lived).state.attempts == before.attempts
    assert any(f.what == "journal" and f.level == "fail" for f in diagnose(lived))
    _goes_on(lived, before.session.applied)
    assert SessionReader.open(lived).state.attempts == before.attempts


@pytest.mark.parametrize("repair", [True, False])
def test_a_link_as_the_newest_part_is_refused_with_what_to_do(
    repair: bool, lived: Path, tmp_path: Path
) -> None:
    part = Layout(lived).part(3)
    moved = part.rename(tmp_path / "moved")
    content = moved.read_bytes()
    part.symlink_to(moved)
    before = SessionReader.open(lived).state
    if repair:
        assert any("put that file itself in its place" in f.sentence for f in diagnose(lived, True))
    else:
        with pytest.raises(StoreError, match="put that file itself in its place"):
            SessionWriter.open(lived)
    assert moved.read_bytes() == content
    part.unlink()
    moved.rename(part)
    _goes_on(lived, before.session.applied)


@pytest.mark.parametrize("how", ["emptied", "garbage", "removed"])
def test_repair_keeps_the_tables_where_the_journal_lost_its_end(how: str, lived: Path) -> None:
    before, part = SessionReader.open(lived).state, Layout(lived).part(3)
    if how == "removed":
        part.unlink()
    else:
        part.write_bytes(b"\0" * 99 + b"\n" if how == "garbage" else b"")
    diagnose(lived, repair=True)
    after = SessionReader.open(lived).state
    assert (after.versions, after.attempts, after.steps) == (
        before.versions,
        before.attempts,
        before.steps,
    )
    assert after.session.applied == before.session.applied
    _goes_on(lived, before.session.applied)


def test_repair_builds_anew_where_only_the_number_of_events_was_altered(lived: Path) -> None:
    before = SessionReader.open(lived).state.session.applied
    database = lived / "session.json"
    text = database.read_text()
    assert text.count(f'"applied":{before},') == 1
    database.write_text(text.replace(f'"applied":{before},', f'"applied":{before + 800},'))
    assert any(f"counts {before + 800} events" in f.sentence for f in diagnose(lived))
    diagnose(lived, repair=True)
    assert SessionReader.open(lived).state.session.applied == before
