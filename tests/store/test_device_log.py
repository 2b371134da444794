"""The last minutes of the devices, in two files beside the journal."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from avo_tui.domain.device import DeviceState
from avo_tui.store import DeviceLog, device_history
from avo_tui.store import devices as module

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def states(second: int) -> list[DeviceState]:
    moment = BEGAN + timedelta(seconds=second)
    return [
        DeviceState(name="gpu", index=i, at=moment, clock_mhz=1000.0 + second) for i in range(2)
    ]


def test_what_was_added_is_read_in_the_order_of_time(tmp_path: Path) -> None:
    log = DeviceLog(tmp_path)
    for second in range(5):
        log.add(states(second))
    history = device_history(tmp_path, most=3)
    assert len(history) == 2
    for samples in history.values():
        assert [state.clock_mhz for state in samples] == [1002.0, 1003.0, 1004.0]
    log.close()


def test_no_file_and_torn_lines_are_no_error(tmp_path: Path) -> None:
    assert device_history(tmp_path) == {}
    log = DeviceLog(tmp_path)
    log.add(states(0))
    path = tmp_path / "devices.jsonl"
    path.write_bytes(path.read_bytes() + b'{"name": "gpu", "at": "20\x00\xff')
    assert [len(samples) for samples in device_history(tmp_path).values()] == [1, 1]
    log.close()


def test_it_stays_small_and_keeps_the_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FULL_BYTES", 2000)
    log = DeviceLog(tmp_path)
    for second in range(200):
        log.add(states(second))
        assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 5000
        for samples in device_history(tmp_path).values():
            assert samples[-1].clock_mhz == 1000.0 + second
            seconds = [state.at for state in samples]
            assert seconds == sorted(set(seconds))
    log.close()


def test_a_folder_that_was_moved_away_is_still_the_one_written_to(tmp_path: Path) -> None:
    folder, other = tmp_path / "run", tmp_path / "moved"
    folder.mkdir()
    log = DeviceLog(folder)
    folder.rename(other)
    folder.mkdir()
    log.add(states(0))
    assert device_history(folder) == {}
    assert len(device_history(other)) == 2
    log.close()
