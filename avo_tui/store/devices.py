"""Samples of a run's devices over the last minutes, for screens: one line each, in two files.

They are stored outside the journal because they may be lost: they are never synced, and the older
of the two files is replaced when the newer one is full. What matters to a measurement is stored in
its report.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from avo_tui.domain.device import DeviceState
from avo_tui.store.files import open_own, open_regular
from avo_tui.store.layout import Layout

FULL_BYTES = 512 << 10
"""Size in bytes at which the next file is begun: about fifty minutes of one device, every 2 s."""

TAIL_BYTES = 128 << 10
"""Bytes that are read of each file: a screen draws a few minutes."""

_OLD = ".previous"


class DeviceLog:
    """Appends samples. It holds the folder open, so that it never writes into another one."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError where the folder cannot be opened."""
        self._name = Layout(folder).devices.name
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def add(self, states: Sequence[DeviceState]) -> None:
        """Append one sample of each device. Raises OSError where the disk takes no write."""
        lines = b"".join(
            state.model_dump_json(exclude_defaults=True).encode() + b"\n" for state in states
        )
        file = open_own(Path(self._name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, self._folder)
        try:
            size = os.fstat(file).st_size
            os.write(file, lines)
        finally:
            os.close(file)
        if size + len(lines) >= FULL_BYTES:
            os.replace(
                self._name, self._name + _OLD, src_dir_fd=self._folder, dst_dir_fd=self._folder
            )

    def close(self) -> None:
        """Let go of the folder."""
        os.close(self._folder)


def device_history(folder: Path, most: int = 200) -> dict[str, tuple[DeviceState, ...]]:
    """Device → its last samples, at most `most`, in the order of time; {} where there are none.

    Devices are keyed by host, name and number. A line that cannot be read is left out.
    """
    path = Layout(folder).devices
    lines = [line for file in (Path(f"{path}{_OLD}"), path) for line in _tail(file)]
    history: dict[str, list[DeviceState]] = {}
    for line in reversed(lines):
        try:
            state = DeviceState.model_validate_json(line)
        except ValidationError:
            continue
        samples = history.setdefault(f"{state.host}/{state.name}/{state.index}", [])
        if len(samples) < most:
            samples.append(state)
    return {key: tuple(reversed(history[key])) for key in sorted(history)}


def _tail(path: Path) -> list[bytes]:
    """The lines of a file's last part; [] where it cannot be read."""
    try:
        with open_regular(path) as file:
            start = max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES)
            file.seek(start)
            lines = file.read().split(b"\n")
    except OSError:
        return []
    return lines[1:] if start else lines
