"""Every command that reads gives what is whole of a damaged session, or one clear sentence."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from avo_tui.cli import starting
from avo_tui.evolution.process import is_kept
from avo_tui.store import SessionReader, SessionWriter, pages
from avo_tui.store.layout import Layout
from tests.cli.command_line import Result
from tests.waiting import wait_for

Avo = Callable[..., Result]
Damage = Callable[[Layout], object]

READS = (
    ("sessions",), ("status", "NAME"), ("lineage", "NAME"), ("show", "NAME", "v1"),
    ("show", "NAME", "1.1"), ("attempts", "NAME", "rejected"), ("memory", "NAME"),
    ("budget", "NAME"), ("set", "NAME"), ("workers", "NAME"), ("doctor", "NAME"),
    ("compare", "NAME", "other"), ("export", "NAME", "--as", "git", "--to", "DIR"),
    ("export", "NAME", "--as", "html", "--to", "DIR"),
    ("export", "NAME", "--as", "source", "--to", "DIR"), ("replay", "NAME"), ("brief", "NAME"),
    ("session", "trust", "NAME"), ("hint", "NAME", "x"),
)  # fmt: skip
NEED_NO_OBJECT = {"status", "lineage", "attempts", "memory", "budget"}


def _each_object(layout: Layout, damage: Callable[[Path], object]) -> None:
    for path in layout.objects.rglob("*"):
        if path.is_file():
            damage(path)


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 8
    path.write_bytes(data)


def _no_folder(layout: Layout) -> None:
    shutil.rmtree(layout.objects)
    layout.objects.write_text("")


def _row(layout: Layout, **changes: object) -> None:
    tables = json.loads(layout.database.read_text())
    tables["session"]["1"] |= changes
    layout.database.write_text(json.dumps(tables))


def _garbage(path: Path) -> None:
    path.write_bytes(b"\0{garbage" * 20)


def _middle_of_the_journal(layout: Layout) -> None:
    path = layout.part(layout.parts()[0])
    lines = path.read_bytes().splitlines(keepends=True)
    lines[len(lines) // 2] = b"\0\0\0\n"
    path.write_bytes(b"".join(lines))


def _tables(layout: Layout) -> None:
    _garbage(layout.database)
    layout.previous.unlink(missing_ok=True)


def _all_of_it(layout: Layout) -> None:
    _tables(layout)
    _garbage(layout.part(layout.parts()[0]))


def _only_others(layout: Layout) -> None:
    """Tables that are another program's file, and a journal without its beginning."""
    _all_of_it(layout)
    layout.database.write_bytes(b"\x89PNG\r\n\x1a\n")
    (layout.journal / "notes.txt").write_text("of somebody")


def _tables_and_a_line(layout: Layout) -> None:
    _middle_of_the_journal(layout)
    _tables(layout)


def _pages_and_journal(layout: Layout) -> None:
    _garbage(layout.pages)
    shutil.rmtree(layout.journal)


DAMAGES: dict[str, Damage] = {
    "the tables": _tables,
    "tables and a line of the journal": _tables_and_a_line,
    "tables of a later event than they say": lambda s: _row(s, applied=4),
    "tables of an earlier event than they say": lambda s: _row(s, applied=10**6),
    "tables of no session": lambda s: _row(s, format=None),
    "no objects": lambda s: _each_object(s, Path.unlink),
    "a bit of each object": lambda s: _each_object(s, _flip),
    "a file for the folder of objects": _no_folder,
    "the older records and the journal": _pages_and_journal,
    "everything": _all_of_it,
    "everything, and files of others": _only_others,
}  # fmt: skip


@pytest.mark.parametrize("what", DAMAGES)
def test_it_is_read_as_far_as_it_is_whole(
    what: str, avo: Avo, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(pages, "PAGE", 2)
        with SessionWriter.open(done) as writer:
            writer._projection.applied = 0  # as after an event, without one
    layout = Layout(done)
    assert layout.pages.exists()
    versions = len(SessionReader.open(done).state.versions)
    shutil.copytree(done, done.parent / "other")
    DAMAGES[what](layout)
    lost = what.startswith("everything")
    told = 0
    for number, command in enumerate(READS):
        target = str(tmp_path / f"out-{number}")
        given = [{"NAME": "done", "DIR": target}.get(word, word) for word in command]
        result = avo(*given)
        assert result.code in {0, 1}, (command, result.err)
        assert "Traceback" not in result.err and "unexpected" not in result.err, command
        if command[0] == "doctor":
            assert "avo doctor done --repair" in result.out
        if command[0] in {"sessions", "doctor", "replay", "workers"}:
            continue  # they say so in their own words, or are refused for another reason
        if result.code or lost:
            assert result.code == 1 and "avo doctor done" in result.err, (command, result.err)
        elif result.err:
            told += 1
            assert "avo doctor done" in result.err, (command, result.err)
        if not lost and command[0] in NEED_NO_OBJECT:
            assert result.code == 0, (command, result.err)
        if "line of the journal" in what and command[0] in NEED_NO_OBJECT:
            assert "session.json" in result.err and "not an event" in result.err, (
                command,
                result.err,
            )
    assert lost or told, "what is damaged was said by some command"
    listed = avo("sessions", "--json").json["sessions"]
    assert "done" in {row["session"] for row in listed}
    if not lost and "older" not in what:
        assert len(avo("lineage", "done", "--json").json["versions"]) == versions


def test_resume_and_keep_on_a_live_run_keep_it(
    avo: Avo, live: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It attaches to the engine, starts a keeper once, and says which of the two it did."""
    opened: list[Path] = []
    monkeypatch.setattr(starting, "open_app", opened.append)
    engine = SessionReader.open(live).engine()
    assert not is_kept(live)
    first = avo("run", "--resume", "live", "--keep")
    assert first.code == 0 and "kept alive from now on" in first.out
    wait_for(lambda: is_kept(live))
    again = avo("run", "--resume", "live", "--keep")
    assert again.code == 0 and "kept alive already" in again.out
    assert opened == [live, live]
    assert SessionReader.open(live).engine().pid == engine.pid, "the engine was left alone"
    assert avo("stop", "live").code == 0
    wait_for(lambda: SessionReader.open(live).state.session.state == "stopped")
    wait_for(lambda: not is_kept(live))
    assert not SessionReader.open(live).engine().alive, "what ended in good order stays ended"
