"""A disk that refuses for a while holds a run up; only the end of the patience ends it."""

import errno
import logging
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from avo_tui.cli.json_output import status_form
from avo_tui.domain.budget import Budget, Caps
from avo_tui.domain.run_settings import RunSettings
from avo_tui.evolution import process
from avo_tui.evolution.clock import Clock
from avo_tui.evolution.create import create_session
from avo_tui.evolution.options import PATIENCE_OPTION
from avo_tui.store import FolderLost, SessionReader, SessionWriter, diagnose, summaries
from avo_tui.ui.session.feed import Feed
from tests.evolution.fake_evaluator import TASK
from tests.evolution.laboratory import MakeLab
from tests.faulty_disk import CALLS, failing


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory, where syncing is quick: what is tried here is what happens when it fails."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.mark.parametrize(
    ("call", "code"),
    [(call, errno.EIO) for call in CALLS]
    + [("write", errno.ENOSPC), ("open", errno.EMFILE), ("replace", errno.EROFS)],
    ids=str,
)
async def test_a_disk_that_blinks_does_not_end_the_run(
    call: str, code: int, make_lab: MakeLab
) -> None:
    lab = make_lab(RunSettings(budget=Budget(run=Caps(evaluations=4))))
    lab.start()
    await lab.until(lambda: len(lab.state.versions) >= 1)
    with failing(call, code, lab.folder) as count:
        await lab.until(lambda: count[0] >= 3 or lab.has_ended)
    assert await lab.ended(20.0) == "finished", lab._last()
    reader = SessionReader.open(lab.folder)
    assert reader.state.session.spend.evaluations == 4
    assert [f.sentence for f in diagnose(lab.folder) if f.level == "fail"] == []


async def test_the_disk_may_refuse_from_the_first_event_on(make_lab: MakeLab) -> None:
    lab = make_lab(RunSettings(budget=Budget(run=Caps(evaluations=3))))
    lab.start()
    with failing("write", errno.EIO, lab.folder) as count:
        await lab.until(lambda: count[0] >= 3 or lab.has_ended)
    assert await lab.ended() == "finished"


async def test_a_disk_that_seems_well_and_refuses_again_is_not_asked_without_a_pause(
    make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file may be too large for the room that a smaller one found."""
    monkeypatch.setattr(SessionWriter, "probe", lambda writer, trouble: None)
    lab = make_lab(RunSettings(budget=Budget(run=Caps(evaluations=4))))
    lab.start()
    await lab.until(lambda: len(lab.state.versions) >= 1)
    with failing("mkdir", errno.EIO, lab.folder) as count:
        await lab.until(lambda: count[0] >= 3 or lab.has_ended)
    assert await lab.ended(60.0) == "finished", lab._last()


async def test_patience_ends(make_lab: MakeLab) -> None:
    options = {PATIENCE_OPTION: 0.00002}
    lab = make_lab(RunSettings(budget=Budget(run=Caps(evaluations=4)), options=options))
    lab.start()
    await lab.until(lambda: len(lab.state.versions) >= 1)
    with failing("write", errno.EIO, lab.folder):
        assert await lab.ended() == "stopped"


async def test_an_engine_whose_folder_is_gone_ends_at_once(
    make_lab: MakeLab, tmp_path: Path
) -> None:
    lab = make_lab(RunSettings(budget=Budget(run=Caps(evaluations=500))))
    lab.start()
    await lab.until(lambda: len(lab.state.versions) >= 1)
    lab.folder.rename(tmp_path / "moved")
    with pytest.raises(FolderLost):
        await lab.ended()
    assert not lab.folder.exists()
    assert [f.sentence for f in diagnose(tmp_path / "moved") if f.level == "fail"] == []


def test_time_in_which_the_process_stood_still_is_not_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = [100.0]
    monkeypatch.setattr("avo_tui.evolution.clock.monotonic", lambda: real[0])
    clock = Clock(lambda: real[0])
    clock.start()
    real[0] += 3.0
    assert clock.beat(3.0) == 0.0
    real[0] += 1003.0
    assert clock.beat(3.0) == 1000.0
    assert clock.pending == pytest.approx(6.0)
    clock.hold("paused")
    real[0] += 500.0
    assert clock.beat(3.0) == 497.0
    assert clock.pending == pytest.approx(6.0)


def test_time_in_doubt_counts_once_it_is_confirmed() -> None:
    real = [100.0]
    clock = Clock(lambda: real[0])
    clock.start()
    clock.doubt()
    real[0] += 50.0
    clock.doubt()  # still the same doubt
    clock.hold("paused")
    real[0] += 1000.0
    clock.release("paused")
    real[0] += 10.0
    assert clock.pending == 0.0 and clock.take() == 0.0
    clock.confirm()
    assert clock.pending == 60.0
    clock.confirm()
    clock.doubt()
    real[0] += 500.0
    clock.discard()
    real[0] += 1.0
    assert clock.take() == 61.0


def test_the_log_is_its_owner_s_alone(tmp_path: Path) -> None:
    path = tmp_path / "engine.log"
    path.touch(0o644)
    handler = process._log_to(path)
    handler.close()
    logging.getLogger().removeHandler(handler)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_wait_that_cannot_be_written_down_is_seen(make_lab: MakeLab) -> None:
    """The disk takes nothing at all, so the record says `running`; viewers are told otherwise."""
    lab = make_lab(RunSettings(budget=Budget(run=Caps(evaluations=4))))
    lab.start()
    await lab.until(lambda: len(lab.state.versions) >= 1)
    reader = SessionReader.open(lab.folder)
    feed = Feed(reader)
    with failing("write", errno.EIO, lab.folder):
        await lab.until(lambda: reader.standing()[0] == "parked")
        reader.poll()
        assert reader.state.session.state != "parked"
        state, reason = reader.standing()
        assert "Input/output error" in reason and str(lab.folder) in reason
        feed.publish()
        assert feed.latest is not None
        assert (feed.latest.run_state, feed.latest.session.state_reason) == (state, reason)
        (listed,) = summaries([lab.folder.parent])
        assert (listed.state, listed.state_reason) == (state, reason)
        assert listed.progress is not None and listed.progress.waits_for == "disk"
        assert feed.latest.progress.waits_for == "disk"
        form = status_form(reader)
        assert (form["state"], form["reason"]) == (state, reason)
    assert await lab.ended(20.0) == "finished"
    reader.poll()
    assert reader.standing()[0] == "finished"


@pytest.mark.parametrize("hours", ["soon", "-1", "nan", True])
def test_a_bad_patience_is_refused_at_once(hours: str | bool, tmp_path: Path) -> None:
    settings = RunSettings(operator="tuner", options={PATIENCE_OPTION: hours})
    with pytest.raises(ValueError, match="must be a number of hours"):
        create_session("odd", TASK, settings)


def test_a_full_disk_prints_no_message_that_the_log_would_have_redacted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = process.PrivateLog(tmp_path / "engine.log")

    def full(_: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(log.stream, "write", full)
    log.handle(logging.LogRecord("x", logging.ERROR, "x", 1, "the key is sk-ant", (), None))
    assert capsys.readouterr().err == ""
