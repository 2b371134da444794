"""The secret that the hidden cases of a session are drawn by."""

from pathlib import Path

import pytest

from avo_tui.evaluation import evaluators
from avo_tui.evolution import process
from avo_tui.evolution.run import EngineMode
from avo_tui.store import SessionWriter, known_sessions
from avo_tui.store.session_secret import secret_of
from tests.evolution.fake_evaluator import FakeEvaluator
from tests.session_life import session_record


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


def test_each_session_has_one_and_another_user_another(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = session_record("one"), session_record("other")
    assert secret_of(one) == secret_of(one) != secret_of(other)
    (key,) = state.rglob("drawn-cases/key")
    assert key.stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv("XDG_STATE_HOME", str(state / "of another"))
    before = secret_of(one)
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
    assert secret_of(one) != before
    key.write_bytes(b"")
    assert secret_of(one) == "", "then workers draw by secrets of their own"


def test_the_engine_sends_it_with_its_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "session"
    with SessionWriter.create(folder, session_record("one")) as writer:
        session = writer.state.session
    known_sessions.vouch_for(folder)
    used = FakeEvaluator()
    monkeypatch.setattr(evaluators, "make_evaluator", lambda *_, **__: used)
    process.run_engine(folder, log_to_file=False, mode=EngineMode(only_inbox=True))
    assert used.drawn_by == secret_of(session)
    with SessionWriter.open(folder) as writer:
        assert used.drawn_by == secret_of(writer.state.session), "the same when it goes on"
    stored = b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
    assert used.drawn_by.encode() not in stored
