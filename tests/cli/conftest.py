import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from avo_tui.cli.main import app
from avo_tui.store import SessionReader, known_sessions, places
from tests.cli.command_line import Result, make_session, run_engine, running
from tests.shipped import shipped_sessions
from tests.waiting import wait_for


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sessions, settings and keys of the test alone."""
    root = tmp_path / "sessions"
    root.mkdir()
    monkeypatch.setenv("AVO_SESSIONS", str(root))
    monkeypatch.setattr(places, "shipped_roots", lambda: [_shipped(tmp_path / "shipped")])
    monkeypatch.setenv("AVO_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("AVO_SEAT_AS", raising=False)
    monkeypatch.setenv("COLUMNS", "120")
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "AVO_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    return root


def _shipped(folder: Path) -> Path:
    """The sessions that ship, without those that somebody made in this checkout, as `demo` does."""
    if not folder.exists():
        folder.mkdir()
        for session in shipped_sessions():
            (folder / session.name).symlink_to(session)
    return folder


@pytest.fixture
def avo() -> Callable[..., Result]:
    """Runs `avo` in this process."""
    runner = CliRunner()

    def run(*arguments: str) -> Result:
        result = runner.invoke(app, list(arguments), prog_name="avo")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Result(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session that has run to the end of its budget; copied by those who use it."""
    root = tmp_path_factory.mktemp("recorded")
    folder = make_session(root, "done", evaluations=12)
    process = run_engine(folder)
    assert process.wait(240) == 0
    return folder


@pytest.fixture
def done(finished_run: Path, own_places: Path) -> Path:
    """The finished session, among this test's sessions."""
    folder = own_places / "done"
    shutil.copytree(finished_run, folder)
    known_sessions.vouch_for(folder)
    return folder


@pytest.fixture
def live(own_places: Path) -> Iterator[Path]:
    """A session whose engine runs, with at least two versions."""
    folder = make_session(own_places, "live")
    with running(folder, 0.15):
        reader = SessionReader.open(folder)
        wait_for(lambda: reader.poll() is not None and len(reader.state.versions) >= 2)
        yield folder
