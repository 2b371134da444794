"""A run's devices, for screens and other processes, in small files beside the journal.

What matters to a measurement is stored in its report, and what became of a device (lost, back, set
aside) in the journal: these files may be lost, so they are never synced. `devices.jsonl` has a line
for each sample of the last minutes; the older of two such files is replaced when the newer one is
full. `workers.json` says what each device does at present; it is replaced as a whole, so that a
reader has the old or the new content.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from avo_tui.domain.device import DeviceState
from avo_tui.domain.workers import WorkersSeen
from avo_tui.store.files import TEMPORARY, open_own, open_regular, read_regular, write_all
from avo_tui.store.layout import Layout

FULL_BYTES = 512 << 10
"""Size in bytes at which the next file is begun: about fifty minutes of one device, every 2 s."""

TAIL_BYTES = 128 << 10
"""Bytes that are read of each file: a screen draws a few minutes."""

_OLD = ".previous"


class _HeldFolder:
    """Holds the session's folder open, so that nothing is ever written into another one."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError where the folder cannot be opened."""
        self._layout = Layout(folder)
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def _write(self, name: str, flags: int, data: bytes) -> int:
        """Write into a file of the folder; returns the size that it has then. Raises OSError where
        the disk takes no write."""
        file = open_own(Path(name), os.O_WRONLY | os.O_CREAT | flags, self._folder)
        try:
            write_all(file, data)
            return os.fstat(file).st_size
        finally:
            os.close(file)

    def _rename(self, old: str, new: str) -> None:
        os.replace(old, new, src_dir_fd=self._folder, dst_dir_fd=self._folder)

    def close(self) -> None:
        os.close(self._folder)


class DeviceLog(_HeldFolder):
    def add(self, states: Sequence[DeviceState]) -> None:
        """Append one sample of each device. Raises OSError where the disk takes no write."""
        lines = [state.model_dump_json(exclude_defaults=True).encode() + b"\n" for state in states]
        name = self._layout.devices.name
        if self._write(name, os.O_APPEND, b"".join(lines)) >= FULL_BYTES:
            self._rename(name, name + _OLD)


class WorkersFile(_HeldFolder):
    def write(self, seen: WorkersSeen) -> None:
        """Replace the content. Raises OSError where the disk takes no write."""
        name = self._layout.workers.name
        new = f"{TEMPORARY}{os.getpid()}-{name}"
        text = seen.model_dump_json(exclude_defaults=True)
        self._write(new, os.O_TRUNC, text.encode() + b"\n")
        self._rename(new, name)


def read_workers(folder: Path) -> WorkersSeen | None:
    """The devices as the session's last engine told of them; None where it did not.

    They are the present only while an engine lives: ask it.
    """
    try:
        return WorkersSeen.model_validate_json(read_regular(Layout(folder).workers))
    except (OSError, ValidationError):
        return None


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
