"""Sessions to test the store with."""

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest

from avo_tui.store import SessionWriter, journal, pages
from tests.session_life import build, session_record


@pytest.fixture(autouse=True)
def short_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock of another machine is not watched for seconds."""
    monkeypatch.setattr(import_module("avo_tui.store.engine_presence"), "WATCH_SECONDS", 0.05)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "one"


@pytest.fixture
def writer(folder: Path) -> Iterator[SessionWriter]:
    with SessionWriter.create(folder, session_record()) as session:
        yield session


@pytest.fixture
def lived(folder: Path) -> Path:
    """A closed session with three steps behind it."""
    return build(folder)


@pytest.fixture
def abandon() -> Iterator[Callable[[SessionWriter], None]]:
    """Leave a writer as SIGKILL would: nothing written, nothing released in good order."""

    def leave(session: SessionWriter) -> None:

        session._background_writer.stop()
        session._lock.abandon()
        session._closed = True

    yield leave


@pytest.fixture(autouse=True, scope="session")
def one_part_a_step() -> Iterator[None]:
    """Begin a part of the journal with each step, so that small sessions have several parts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "PART_BYTES", 1)
        yield


@pytest.fixture(autouse=True, scope="session")
def two_records_a_page() -> Iterator[None]:
    """Pack records early, so that small sessions have pages."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "PAGE", 2)
        yield
