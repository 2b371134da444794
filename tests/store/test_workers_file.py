"""What the devices of a run do, in a file for other processes."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from avo_tui.domain.workers import (
    WorkersSeen,
    WorkerStatus,
    doing_text,
    figures_text,
    loss_text,
    usable_text,
)
from avo_tui.store import WorkersFile, read_workers

AT = datetime(2026, 1, 1, tzinfo=UTC)
BUSY = WorkerStatus(
    name="ssh://node7:1", state="busy", since=AT, joined=AT - timedelta(hours=2),
    operation="evaluate", candidate="0123456789abcdef", evaluations=90, busy_seconds=3600,
    losses=1, loss="no route to host", lost_at=AT - timedelta(minutes=30), failures=2,
    device="NVIDIA H200", host="node7",
)  # fmt: skip
LOST = WorkerStatus(name="local:0", state="lost", reason="it was killed", since=AT)


def test_what_was_written_is_read_and_replaced_as_a_whole(tmp_path: Path) -> None:
    assert read_workers(tmp_path) is None
    file = WorkersFile(tmp_path)
    for workers in ((BUSY, LOST), (LOST,), ()):
        seen = WorkersSeen(at=AT, workers=workers)
        file.write(seen)
        assert read_workers(tmp_path) == seen
    file.close()
    assert [path.name for path in tmp_path.iterdir()] == ["workers.json"]


def test_a_file_that_is_no_such_file_is_none(tmp_path: Path) -> None:
    path = tmp_path / "workers.json"
    for content in (b"", b"{", b"[]", b'{"at": "yesterday"}', b"\xff" * 10):
        path.write_bytes(content)
        assert read_workers(tmp_path) is None
    path.unlink()
    path.mkdir()
    assert read_workers(tmp_path) is None


def test_a_folder_that_was_moved_is_not_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "session"
    folder.mkdir()
    file = WorkersFile(folder)
    folder.rename(tmp_path / "moved")
    file.write(WorkersSeen(at=AT))
    assert not folder.exists() and read_workers(tmp_path / "moved") is not None
    (tmp_path / "moved" / "workers.json").unlink()
    (tmp_path / "moved").rmdir()
    with pytest.raises(OSError):
        file.write(WorkersSeen(at=AT))
    file.close()


def test_words_name_what_it_does_since_when_and_what_it_did() -> None:
    later = AT + timedelta(seconds=12)
    assert doing_text(BUSY, later) == "evaluate 01234567 for 12 s"
    assert doing_text(LOST, later) == "lost for 12 s: it was killed"
    assert figures_text(BUSY, AT) == (
        "90 answered, 45 an hour, busy 50% of the time, 2 failed, lost 1 time"
    )
    assert loss_text(BUSY, AT) == "last lost 30 min ago: no route to host"
    assert loss_text(LOST, AT) == "" and figures_text(LOST, AT) == "0 answered"
    assert usable_text([BUSY, LOST]) == "1 of 2 devices can be used"


def test_what_runs_now_counts_as_busy() -> None:
    assert BUSY.busy_share(AT + timedelta(hours=2)) == 0.75
    assert LOST.busy_share(AT) is None and LOST.per_hour(AT) is None
