"""The list of sessions is remembered between two starts, and never believed when it is old."""

from pathlib import Path

import pytest

from avo_tui.store import SessionWriter, listing
from avo_tui.store.listing import SummaryCache
from avo_tui.store.reader import SessionReader
from tests.session_life import build, engine_started


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "cache" / "sessions.json"
    _restart(path, monkeypatch)
    return path


def _restart(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As another process would: nothing in memory."""
    monkeypatch.setattr(listing, "_cache", {})
    monkeypatch.setattr(listing, "_remembered", SummaryCache(path))


def _no_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object) -> SessionReader:
        raise AssertionError("a session was read")

    monkeypatch.setattr(SessionReader, "open", read)


def test_what_did_not_change_is_not_read_again(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots = tmp_path / "sessions"
    roots.mkdir()
    for name in ("one", "two"):
        build(roots / name)
    _at_rest(roots)
    first = listing.summaries([roots])
    _restart(cache, monkeypatch)
    with monkeypatch.context() as patch:
        _no_reading(patch)
        assert listing.summaries([roots]) == first


def test_what_changed_is_read(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    roots = tmp_path / "sessions"
    roots.mkdir()
    build(roots / "one")
    _at_rest(roots)
    before = listing.summaries([roots])[0]
    with SessionWriter.open(roots / "one") as writer:
        writer.record(engine_started())
    _restart(cache, monkeypatch)
    assert listing.summaries([roots])[0].last_activity != before.last_activity


@pytest.mark.parametrize("content", ["", "[1]", "{" * 9, '{"version": "0", "sessions": {}}'])
def test_an_odd_file_is_none(
    content: str, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots = tmp_path / "sessions"
    roots.mkdir()
    build(roots / "one")
    cache.parent.mkdir()
    cache.write_text(content)
    assert [s.name for s in listing.summaries([roots])] == ["one"]


def test_a_folder_that_cannot_be_written_is_no_trouble(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    remembered = SummaryCache(tmp_path / "file" / "sessions.json")
    remembered.put(tmp_path, (1,), "{}")
    remembered.save()


def _at_rest(roots: Path) -> None:
    """Sessions of the test generator may be in any state: end them."""
    from avo_tui.domain import events as ev

    for folder in roots.iterdir():
        with SessionWriter.open(folder) as writer:
            writer.record(ev.StateChanged(state="finished", reason="the test is over"))
