"""Every command that reads gives what is whole of a damaged session, or one clear sentence."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from avo_tui.cli import starting
from avo_tui.evolution.process import is_kept
from avo_tui.store import SessionReader, SessionWriter, diagnose, pages
from avo_tui.store.layout import Layout
from tests.cli.command_line import Result, make_session
from tests.waiting import wait_for

Avo = Callable[..., Result]
Damage = Callable[[Layout], object]

READS = (
    ("sessions",), ("status", "NAME"), ("lineage", "NAME"), ("show", "NAME", "v1"),
    ("show", "NAME", "1.1"), ("attempts", "NAME", "rejected"), ("memory", "NAME"),
    ("budget", "NAME"), ("set", "NAME"), ("workers", "NAME"), ("doctor", "NAME"),
    ("compare", "NAME", "other"), ("export", "NAME", "--as", "git", "--to", "DIR"),
    ("export", "NAME", "--as", "html", "--to", "DIR"),
    ("export", "NAME", "--as", "source", "--to", "DIR"),
)  # fmt: skip


def _no_objects(layout: Layout) -> None:
    for path in layout.objects.rglob("*"):
        if path.is_file():
            path.unlink()


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


def _tables_and_a_line(layout: Layout) -> None:
    _middle_of_the_journal(layout)
    _tables(layout)


def _pages_and_journal(layout: Layout) -> None:
    _garbage(layout.pages)
    shutil.rmtree(layout.journal)


DAMAGES: dict[str, Damage] = {
    "tables and a line of the journal": _tables_and_a_line,
    "no objects": _no_objects,
    "the older records and the journal": _pages_and_journal,
    "everything": _all_of_it,
}


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
    make_session(done.parent, "other")
    DAMAGES[what](layout)
    lost = what == "everything"
    for number, command in enumerate(READS):
        target = str(tmp_path / f"out-{number}")
        given = [{"NAME": "done", "DIR": target}.get(word, word) for word in command]
        result = avo(*given)
        assert result.code in {0, 1}, (command, result.err)
        if result.code:
            sentence = result.err.strip() or result.out.strip()
            assert sentence and "Traceback" not in sentence, command
        if lost and command[0] not in {"sessions", "doctor"}:
            assert result.code == 1 and "cannot be read" in result.err, command
        if not lost and command[0] in {"status", "lineage", "attempts", "memory", "budget"}:
            assert result.code == 0, (command, result.err)
    listed = avo("sessions", "--json").json["sessions"]
    assert "done" in {row["session"] for row in listed}
    if not lost and "older" not in what:
        assert len(avo("lineage", "done", "--json").json["versions"]) == versions
    assert any(f.level != "ok" for f in diagnose(done))


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
