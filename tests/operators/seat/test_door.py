"""The seat's socket lies where its path is short enough, however deep temporary files lie."""

import asyncio
import os
import stat
import tempfile
from pathlib import Path
from typing import Literal

import pytest

from avo_tui.operators.seat.door import SOCKET, SOCKET_BYTES, Door, private_folder
from avo_tui.operators.seat.wire import Hello
from avo_tui.seat.client import SeatClient


@pytest.fixture
def deep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files whose path is too long for a socket."""
    folder = tmp_path / ("d" * 60) / ("e" * 60)
    folder.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


async def test_an_agent_sits_down_where_temporary_files_lie_deep(deep: Path) -> None:
    door = Door(tools=())
    await door.open(deep)
    try:
        client = await SeatClient.sit_down(deep, Hello(client="agent", way="mcp"))
        assert door.visitor is not None
        await client.close()
    finally:
        await door.close("the test ends")
    assert [path.name for path in deep.iterdir()] == []


def test_the_folder_is_private_and_short(
    deep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    folder = private_folder()
    try:
        assert len(os.fsencode(folder / SOCKET)) <= SOCKET_BYTES
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    finally:
        folder.rmdir()


def test_without_any_short_folder_it_says_what_to_do(
    deep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(prefix: str, dir: str) -> str:
        raise PermissionError(13, "Permission denied", dir)

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    with pytest.raises(OSError, match="set TMPDIR to a folder that can be written"):
        private_folder()


async def test_a_door_that_closes_logs_no_error(
    deep: Path, caplog: pytest.LogCaptureFixture
) -> None:
    door = Door(tools=())
    await door.open(deep)
    client = await SeatClient.sit_down(deep, Hello(client="agent", way="mcp"))
    await door.close("the test ends")
    await client.close()
    assert caplog.text == ""
    await door.open(deep)  # and it can be opened again
    await (await SeatClient.sit_down(deep, Hello(client="agent", way="mcp"))).close()
    await door.close("the test ends")


@pytest.mark.parametrize("way", ["command_line", "mcp"])
async def test_what_a_caller_has_read_is_known_at_its_next_call(
    tmp_path: Path, way: Literal["command_line", "mcp"]
) -> None:
    """Each call from the command line is a connection; another client that comes again is new."""
    door = Door(tools=())
    await door.open(tmp_path)
    try:
        for known in (set[str](), {"the task"} if way == "command_line" else set[str]()):
            client = await SeatClient.sit_down(tmp_path, Hello(client="agent", way=way))
            assert door.visitor is not None and door.visitor.read == known
            door.visitor.read.add("the task")
            await client.close()
            async with asyncio.timeout(60):
                while door.visitor is not None:
                    await asyncio.sleep(0)
    finally:
        await door.close("the test ends")
