"""Text sources for the log screen, read in pieces: a file, or a log that still grows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from avo_tui.store.files import open_regular

CHUNK = 1 << 20
"""Bytes that are read at a time."""


def of_file(path: Path, *, follow: bool = False) -> Iterator[bytes]:
    """A file piece by piece; with `follow` also what is written to it from then on, for ever.

    Raises ValueError where it cannot be read.
    """
    try:
        with open_regular(path) as file:
            while (chunk := file.read(CHUNK)) or follow:
                if not chunk and file.tell() > path.stat().st_size:
                    file.seek(0)  # the file was replaced
                yield chunk
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise ValueError(f"this session has no {path.name} here") from error
        raise ValueError(f"{path.name} cannot be read: {error.strerror}") from error


def of_growing(log: Callable[[], tuple[str, bool]]) -> Iterator[bytes]:
    """A text piece by piece that is asked for again and again: (all of it, whether it is whole).

    Where it is another one than before, that one comes below.
    """
    before, whole = "", False
    while not whole:
        now, whole = log()
        if now.startswith(before):
            more = now[len(before) :]
        else:
            more = now if before.endswith("\n") else f"\n{now}"
        before = now
        if more:
            yield more.encode("utf-8", "replace")
        yield b""
