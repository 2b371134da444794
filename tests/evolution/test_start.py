"""Starting the engine of a session while a short one carries out its inbox."""

import threading
from pathlib import Path

import pytest

from avo_tui.domain import events as ev
from avo_tui.evolution import process
from avo_tui.evolution.lifecycle.seeding import said_of_base
from avo_tui.store import SessionReader, SessionWriter, StoreError
from tests.session_life import session_record


def new_session(root: Path) -> Path:
    folder = root / "one"
    SessionWriter.create(folder, session_record()).close()
    return folder


def start(folder: Path, *, resume: bool = False, inbox_only: bool = False) -> int:
    """What `start_engine` does as far as the lock is concerned."""
    assert resume and not inbox_only
    try:
        SessionWriter.open(folder).close()
    except StoreError as error:
        raise process.EngineFailed(str(error)) from error
    return 4711


def test_the_short_engine_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = new_session(tmp_path)
    monkeypatch.setattr(process, "start_engine", start)
    waits = threading.Event()
    wait_for_end = process.wait_for_end

    def wait(folder: Path, seconds: float) -> bool:
        waits.set()
        return wait_for_end(folder, seconds)

    monkeypatch.setattr(process, "wait_for_end", wait)
    with SessionWriter.open(folder) as short:
        short.record(ev.StateChanged(state="stopped"))
        pids: list[int] = []
        thread = threading.Thread(target=lambda: pids.append(process.start_after_inbox(folder)))
        thread.start()
        assert waits.wait(30) and not pids
    thread.join(30)
    assert pids == [4711]


def test_a_run_that_goes_on_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = new_session(tmp_path)
    monkeypatch.setattr(process, "start_engine", start)
    with SessionWriter.open(folder) as engine:
        engine.record(ev.StateChanged(state="running"))
        assert SessionReader.open(folder).run_state() == "running"
        with pytest.raises(process.EngineFailed):
            process.start_after_inbox(folder)


@pytest.mark.parametrize(("ratio", "busy"), [(0.5214, True), (1.0, False), (1.03, False)])
def test_a_base_that_differs_from_itself_tells_of_a_busy_machine(ratio: float, busy: bool) -> None:
    said = said_of_base(ratio)
    assert said.startswith("the base starts the lineage")
    assert ("busy" in said, "0.52" in said) == (busy, busy)
